//! Events: what happened to breakers, told to callbacks.

use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use softfuse::{Cause, Event, EventReason, Listener, StateChange, TripReason};

use crate::code::{sf_code, sf_kind, sf_state};
use crate::condition::{User, sf_user_fn};
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::registry::sf_registry;
use crate::text::owned;

/// What an event tells of. Later versions may add some: pass over what you don't know.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_event_kind {
    /// A breaker's state changed, or would have, where it is metrics-only.
    SF_STATE_CHANGED = 0,
    /// The breaker component failed in a call. It is told when it begins, not with every call while it lasts.
    SF_FAILED = 1,
    /// A breaker was brought back after its component had failed or was replaced.
    SF_RESTORED = 2,
    /// A scorer gave no score, and did not abstain.
    SF_SCORER_GAVE_NONE = 3,
    /// A condition of a host's own panicked. It never happens to conditions in C.
    SF_CONDITION_PANICKED = 4,
}

/// Why a state changed.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_change {
    /// The event is none of a state.
    SF_NO_CHANGE = 0,
    /// The circuit opened, or opened again: `trip` says why.
    SF_TRIPPED = 1,
    /// A metrics-only circuit would have opened: `trip` says why. Its state stays; its windows are fresh.
    SF_WOULD_HAVE_TRIPPED = 2,
    /// The open period has passed, and a call asked.
    SF_OPEN_PERIOD_OVER = 3,
    /// As many probes passed as the policy's `recovery_threshold` asks.
    SF_RECOVERED = 4,
    /// `sf_breaker_reset` was called.
    SF_RESET = 5,
    /// An operator's state was set.
    SF_OPERATOR = 6,
}

/// Why a circuit opened.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_trip {
    /// It didn't.
    SF_NO_TRIP = 0,
    /// Conditions of the policy held: `causes`.
    SF_TRIP_CONDITIONS = 1,
    /// A probe ended in a failure: `probe_kind`.
    SF_TRIP_PROBE_FAILED = 2,
    /// A probe was too slow, or failed a host's condition; or the probes' mean score was too low: `causes`.
    SF_TRIP_PROBE_CONDITIONS = 3,
    /// `sf_breaker_trip` was called, with `reason`.
    SF_TRIP_HOST = 4,
}

/// One condition's part in a trip.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_cause {
    /// The struct's size, as the library knows it: the step from one to the next in an array.
    pub size: usize,
    /// The condition's place in the policy, as in `any_of[1].error_rate_above`.
    pub path: *const c_char,
    /// A sentence with both numbers in it; for a host's own condition, the reason that it gave.
    pub text: *const c_char,
    /// The measured value: a mean score, a rate between 0 and 1, milliseconds, or a count.
    pub value: f64,
    /// The policy's limit, in the value's unit.
    pub limit: f64,
}

/// What happened. It and all its texts are the library's, and end with the callback: copy what you keep.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_event {
    /// The struct's size, as the library knows it. Later versions may add fields at the end.
    pub size: usize,
    /// What it tells of, an `sf_event_kind`.
    pub kind: i32,
    /// Of a change of state: why, an `sf_change`.
    pub change: i32,
    /// The breaker's name.
    pub breaker: *const c_char,
    /// In words, always there: a state's change's reason, or how the component or the scorer failed.
    pub reason: *const c_char,
    /// Of a change of state: when, in nanoseconds of the registry's clock. It may be negative, where a restored breaker
    /// remembers what was before the clock's origin.
    pub at_ns: i64,
    /// Of a change of state: the state that was left, an `sf_state`.
    pub old_state: i32,
    /// Of a change of state: the state that was entered, an `sf_state`. Of `SF_RESTORED`: the state in which it came back.
    pub new_state: i32,
    /// Of a change of state: the generation that begins here. Permits of earlier ones are stale.
    pub generation: u32,
    /// Of a change of state: 1 where `open_until_ns` is there.
    pub has_open_until: u32,
    /// While open: when the open period ends, unless a `Retry-After` extends it.
    pub open_until_ns: i64,
    /// Of a change of state: how often the circuit has opened, this included.
    pub trip_count: u64,
    /// Why it opened, an `sf_trip`.
    pub trip: i32,
    /// Of `SF_TRIP_PROBE_FAILED`: how the probe ended, an `sf_kind`.
    pub probe_kind: i32,
    /// The conditions' parts in the trip; NULL where there are none.
    pub causes: *const sf_cause,
    /// How many there are.
    pub cause_count: usize,
    /// Of `SF_SCORER_GAVE_NONE`: the scorer's name. Of `SF_CONDITION_PANICKED`: the condition's. Else NULL.
    pub who: *const c_char,
    /// Of `SF_RESTORED`: records that it had seen since its last snapshot, and that are lost.
    pub records_lost: u64,
    /// Of `SF_RESTORED`: 1 where it came back from a snapshot; else it is fresh.
    pub from_snapshot: u32,
    /// For later versions.
    pub reserved: u32,
}

/// Hears of an event. It runs under no lock and may use breakers and the registry. It must return: no `longjmp`, no exception
/// through it.
pub type sf_event_fn = Option<unsafe extern "C" fn(user: *mut c_void, event: *const sf_event)>;

/// A callback that hears of events, until `sf_listener_free`.
pub struct sf_listener {
    listener: Option<Listener>,
    gate: Arc<Gate>,
}

/// What stands between an event and the caller's function: nobody passes once it is shut.
struct Gate {
    call: unsafe extern "C" fn(*mut c_void, *const sf_event),
    user: User,
    /// Whether it is shut, and who is inside.
    standing: Mutex<Standing>,
    /// Held while the function runs.
    inside: Mutex<()>,
}

#[derive(Default)]
struct Standing {
    shut: bool,
    inside: Option<ThreadId>,
}

impl Gate {
    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: &sf_event) {
        let _inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut standing = self.standing();
            if standing.shut {
                return;
            }
            standing.inside = Some(thread::current().id());
        }
        // SAFETY: the header asks that it is such a function; the gate is open, and who shuts it waits until this is over.
        unsafe { (self.call)(self.user.data, event) };
        self.standing().inside = None;
    }

    /// Lets nobody in any more, and waits for whoever is inside, unless that is this thread.
    fn shut(&self) {
        let mut standing = self.standing();
        standing.shut = true;
        let own = standing.inside == Some(thread::current().id());
        drop(standing);
        if !own {
            drop(self.inside.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Calls `callback` with `user` for every event from now on: one event at a time, on the thread that made it, before the call
/// that made it returns; or on a thread of the registry's own, where several threads make some at once.
///
/// `listener` is to be freed with `sf_listener_free`, even if the registry goes before. `free_user`, if it isn't NULL, is called with
/// `user` once, when the callback won't be called any more; at once, where this fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_registry_listen(
    registry: Option<&sf_registry>,
    callback: sf_event_fn,
    user: *mut c_void,
    free_user: sf_user_fn,
    listener: Option<&mut MaybeUninit<*mut sf_listener>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        let user = User { data: user, free: free_user };
        let listener = listener.ok_or_else(|| Fault::null("listener"))?.write(ptr::null_mut());
        let call = callback.ok_or_else(|| Fault::null("callback"))?;
        let registry = handle(registry, "registry")?;
        let (standing, inside) = (Mutex::default(), Mutex::default());
        let gate = Arc::new(Gate { call, user, standing, inside });
        let told = Arc::clone(&gate);
        let added = registry.inner.listen(move |event| as_c(event, |event| told.tell(event)));
        *listener = Box::into_raw(Box::new(sf_listener { listener: Some(added), gate }));
        Ok(())
    })
}

/// Ends a callback. When this returns, it isn't running and won't be called again; an event that another thread is telling it is
/// waited for, so don't call this under a lock that the callback takes. The callback itself may call it. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_listener_free(listener: Option<Box<sf_listener>>) {
    ask((), || {
        if let Some(mut listener) = listener {
            listener.gate.shut();
            drop(listener.listener.take());
        }
    });
}

/// An event as C sees it, for as long as `tell` runs.
fn as_c(event: &Event, tell: impl FnOnce(&sf_event)) {
    let mut seen = sf_event {
        size: size_of::<sf_event>(),
        kind: sf_event_kind::SF_STATE_CHANGED as i32,
        change: sf_change::SF_NO_CHANGE as i32,
        breaker: ptr::null(),
        reason: ptr::null(),
        at_ns: 0,
        old_state: 0,
        new_state: 0,
        generation: 0,
        has_open_until: 0,
        open_until_ns: 0,
        trip_count: 0,
        trip: sf_trip::SF_NO_TRIP as i32,
        probe_kind: 0,
        causes: ptr::null(),
        cause_count: 0,
        who: ptr::null(),
        records_lost: 0,
        from_snapshot: 0,
        reserved: 0,
    };
    let (kind, breaker, reason, who) = match event {
        Event::StateChanged { breaker, change } => {
            (sf_event_kind::SF_STATE_CHANGED, breaker, change.reason.to_string(), None)
        }
        Event::ComponentFailed { breaker, failure } => (sf_event_kind::SF_FAILED, breaker, failure.to_string(), None),
        Event::BreakerRestored { breaker, state, records_lost, from_snapshot } => {
            seen.new_state = sf_state::of(*state);
            seen.records_lost = *records_lost;
            seen.from_snapshot = (*from_snapshot).into();
            (sf_event_kind::SF_RESTORED, breaker, format!("it came back, {records_lost} records lost"), None)
        }
        Event::ScorerFailed { breaker, scorer, failure } => {
            (sf_event_kind::SF_SCORER_GAVE_NONE, breaker, failure.to_string(), Some(scorer))
        }
        Event::ConditionPanicked { breaker, condition } => {
            (sf_event_kind::SF_CONDITION_PANICKED, breaker, "it panicked".to_owned(), Some(condition))
        }
        // Of a later version of the runtime: nothing to tell yet.
        _ => return,
    };
    let (breaker, reason, who) = (owned(breaker), owned(&reason), who.map(|who| owned(who)));
    seen.kind = kind as i32;
    seen.breaker = breaker.as_ptr();
    seen.reason = reason.as_ptr();
    seen.who = who.as_ref().map_or(ptr::null(), |who| who.as_ptr());
    let change = match event {
        Event::StateChanged { change, .. } => Some(change),
        _ => None,
    };
    let texts = change.map(|change| changed(&mut seen, change)).unwrap_or_default();
    let causes: Vec<sf_cause> = texts.iter().map(CauseTexts::as_c).collect();
    if !causes.is_empty() {
        (seen.causes, seen.cause_count) = (causes.as_ptr(), causes.len());
    }
    tell(&seen);
}

/// A cause's texts, which must live as long as the event is told.
struct CauseTexts {
    path: CString,
    text: CString,
    value: f64,
    limit: f64,
}

impl CauseTexts {
    fn of(cause: &Cause) -> Self {
        Self { path: owned(&cause.path), text: owned(&cause.text), value: cause.value, limit: cause.limit }
    }

    fn as_c(&self) -> sf_cause {
        let Self { path, text, value, limit } = self;
        let size = size_of::<sf_cause>();
        sf_cause { size, path: path.as_ptr(), text: text.as_ptr(), value: *value, limit: *limit }
    }
}

/// The part of a change of state; the causes of a trip.
fn changed(seen: &mut sf_event, change: &StateChange) -> Vec<CauseTexts> {
    seen.at_ns = change.at.as_nanos();
    seen.old_state = sf_state::of(change.old);
    seen.new_state = sf_state::of(change.new);
    seen.generation = change.generation;
    seen.trip_count = change.trip_count;
    seen.has_open_until = change.open_until.is_some().into();
    seen.open_until_ns = change.open_until.map_or(0, softfuse::Time::as_nanos);
    let (kind, trip) = match &change.reason {
        EventReason::Tripped(reason) => (sf_change::SF_TRIPPED, Some(reason)),
        EventReason::WouldHaveTripped(reason) => (sf_change::SF_WOULD_HAVE_TRIPPED, Some(reason)),
        EventReason::OpenPeriodOver => (sf_change::SF_OPEN_PERIOD_OVER, None),
        EventReason::Recovered => (sf_change::SF_RECOVERED, None),
        EventReason::Reset => (sf_change::SF_RESET, None),
        EventReason::Operator => (sf_change::SF_OPERATOR, None),
    };
    seen.change = kind as i32;
    let (trip, causes) = match trip {
        None => return Vec::new(),
        Some(TripReason::Conditions(causes)) => (sf_trip::SF_TRIP_CONDITIONS, &causes[..]),
        Some(TripReason::ProbeConditions(causes)) => (sf_trip::SF_TRIP_PROBE_CONDITIONS, &causes[..]),
        Some(TripReason::ProbeFailed(kind)) => {
            seen.probe_kind = sf_kind::of(*kind);
            (sf_trip::SF_TRIP_PROBE_FAILED, &[][..])
        }
        Some(TripReason::Host(_)) => (sf_trip::SF_TRIP_HOST, &[][..]),
    };
    seen.trip = trip as i32;
    causes.iter().map(CauseTexts::of).collect()
}
