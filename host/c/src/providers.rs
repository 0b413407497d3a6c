//! Providers of one service, in the order in which they are asked: those that are available, and a call that goes on to the next.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use softfuse::{Breaker, MoveOn, Outcome, OutcomeKind, Providers, ProvidersError, RawPermit, Score, Signal, Time};

use crate::breaker::sf_breaker;
use crate::code::sf_code;
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::outcome::sf_outcome;
use crate::permit::sf_permit;
use crate::registry::sf_registry;
use crate::text::owned;

/// Providers in the order in which they are to be asked, each with a breaker, whose name is the provider's. Whoever got it frees it
/// with `sf_providers_free`. Any threads, at once too.
pub struct sf_providers {
    inner: Providers,
}

impl From<ProvidersError> for Fault {
    fn from(error: ProvidersError) -> Self {
        let message = error.to_string();
        match error {
            ProvidersError::Policy(error) => Self::from(error),
            ProvidersError::Registry(error) => Self::from(error),
            _ => Self::argument(&message),
        }
    }
}

/// The providers of `count` breakers, in this order: 1 to 64, each of a name of its own. The handles stay the caller's.
///
/// `SF_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_providers_new(
    breakers: *const *const sf_breaker,
    count: usize,
    providers: Option<&mut MaybeUninit<*mut sf_providers>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let to = providers.ok_or_else(|| Fault::null("providers"))?.write(ptr::null_mut());
        if breakers.is_null() && count > 0 {
            return Err(Fault::null("breakers"));
        }
        let breaker = |at| {
            // SAFETY: by the header's rule of arrays; each is NULL or a handle that lives.
            let breaker = unsafe { breakers.add(at).read().as_ref() };
            handle(breaker, "breakers[]").map(|breaker| breaker.inner.clone())
        };
        let list: Vec<Breaker> = (0..count).map(breaker).collect::<Result<_, Fault>>()?;
        *to = Box::into_raw(Box::new(sf_providers { inner: Providers::new(list)? }));
        Ok(())
    })
}

/// OpenAI, then Azure, then Anthropic, with breakers of the names `openai`, `azure` and `anthropic` in this registry: 5 failures and
/// 60 s, 5 and 60, 3 and 120.
///
/// `SF_POLICY_DIFFERS`, `SF_NO_ROOM`.
#[unsafe(no_mangle)]
pub extern "C" fn sf_providers_presets(
    registry: Option<&sf_registry>,
    providers: Option<&mut MaybeUninit<*mut sf_providers>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let to = providers.ok_or_else(|| Fault::null("providers"))?.write(ptr::null_mut());
        let inner = Providers::presets(&handle(registry, "registry")?.inner)?;
        *to = Box::into_raw(Box::new(sf_providers { inner }));
        Ok(())
    })
}

/// Frees providers. Their breakers stay. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_providers_free(providers: Option<Box<sf_providers>>) {
    ask((), || drop(providers));
}

/// The providers that would admit a call now, in order: as `sf_registry_list`, up to `capacity` handles, each the caller's, to be freed
/// with `sf_breaker_free`; `count` is how many are available. An open circuit whose time has passed is among them. Asking takes no
/// probe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_providers_available(
    providers: Option<&sf_providers>,
    breakers: *mut *mut sf_breaker,
    capacity: usize,
    count: Option<&mut MaybeUninit<usize>>,
) -> sf_code {
    run(None, || {
        let list = handle(providers, "providers")?.inner.available();
        // SAFETY: by the header's rule of arrays.
        unsafe { sf_breaker::give_list(list, breakers, capacity, count) }
    })
}

/// When a call goes on to the next provider.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_move_on {
    /// Where this one's breaker refuses it, or it fails. A neutral outcome ends the chain all the same.
    SF_ON_FAILURE = 0,
    /// Where its breaker refuses it. A call that was made is not made again.
    SF_ON_REJECTION = 1,
}

/// One attempt, at the provider of `breaker`, whose name `sf_breaker_name` gives. It may report a score on `permit`, but mustn't settle
/// it: `outcome`, a success as it is handed in, says how the attempt ended. All three are the library's, and end with the
/// function. It must return: no `longjmp`, no exception through it.
pub type sf_attempt_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        breaker: *const sf_breaker,
        permit: *mut sf_permit,
        outcome: *mut sf_outcome,
    ),
>;

/// Makes a call: of the first provider that admits it, and of those that follow as `move_on`, an `sf_move_on`, says. Each is asked once
/// at most, and each attempt is an outcome of its provider's breaker.
///
/// `SF_OK`: an attempt ended in a success. `SF_NO_PROVIDER`: none did, and `error` says of each why. An outcome that is wrong is
/// taken for an error of the service.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_providers_call(
    providers: Option<&sf_providers>,
    attempt: sf_attempt_fn,
    user: *mut c_void,
    move_on: i32,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let providers = &handle(providers, "providers")?.inner;
        let attempt = attempt.ok_or_else(|| Fault::null("attempt"))?;
        let move_on = match move_on {
            on if on == sf_move_on::SF_ON_FAILURE as i32 => MoveOn::OnFailure,
            on if on == sf_move_on::SF_ON_REJECTION as i32 => MoveOn::OnRejection,
            other => return Err(Fault::argument(&format!("`move_on` is {other}, which is no sf_move_on"))),
        };
        let chain = providers.chain::<Outcome, Failed>().move_on(move_on);
        let chain = chain.classify(|result| match result {
            Ok(outcome) => *outcome,
            Err(Failed(outcome)) => *outcome,
        });
        let called = chain.call(|one| {
            let Some(breaker) = providers.get(one.provider()) else {
                return Err(Failed(Outcome::new(OutcomeKind::Cancelled)));
            };
            let handle = sf_breaker::new(breaker.clone());
            // It takes a score, and is settled by the chain: a number that no component gives says so, should it be settled here.
            let mut permit = sf_permit::taken(&handle, RawPermit::from_parts(u64::MAX, Time::ZERO));
            let mut given = sf_outcome::success();
            // SAFETY: the header asks that it is such a function; all three are good for the call's duration.
            unsafe { attempt(user, &raw const handle, &raw mut permit, &raw mut given) };
            let mut outcome = given.take().unwrap_or_else(|_| Outcome::new(OutcomeKind::Error));
            if let (Signal::None, Some(score)) = (outcome.signal, permit.reported()) {
                outcome.signal = Signal::Score(score);
            }
            if outcome.signal == Signal::Pending {
                // Nobody could pay: the permit ends here.
                outcome.signal = Signal::None;
            }
            if outcome.kind == OutcomeKind::Success { Ok(outcome) } else { Err(Failed(outcome)) }
        });
        called.map(drop).map_err(|none| Fault::new(sf_code::SF_NO_PROVIDER, none.to_string()))
    })
}

/// How an attempt failed, in words for the chain's error.
#[derive(Debug)]
struct Failed(Outcome);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.kind.fmt(f)
    }
}

impl sf_breaker {
    fn new(inner: Breaker) -> Self {
        let name = owned(inner.name());
        Self { inner, name }
    }
}

impl sf_permit {
    /// The score that was reported last.
    fn reported(&self) -> Option<Score> {
        (self.has_score != 0).then(|| Score::new(self.score).ok()).flatten()
    }
}
