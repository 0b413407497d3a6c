//! A chain: a call goes to the first provider that admits it, and on to the next where that one refuses or fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Providers;
use crate::breaker::{Breaker, Permit, Reporter};
use crate::calls::{classify_default, ended_at};
use crate::caught::caught;
use crate::error::{CallError, Rejected};
use crate::guard::{Ended, Guard};
use crate::text::shortened;
use crate::types::{InvalidScore, Outcome, Score};

type Classify<T, E> = Arc<dyn Fn(&Result<T, E>) -> Outcome + Send + Sync>;

/// When a call goes on to the next provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoveOn {
    /// Where this one's breaker refuses it. A call that was made is not made again.
    OnRejection,
    /// Where it fails as well, or is answered badly (see [`Guard::replace_below`]); it is the default. A neutral outcome ends
    /// the chain all the same: a request that is bad by itself is bad for everyone.
    #[default]
    OnFailure,
}

/// [`Providers`] with all that calls of one kind need besides. Made once by [`Providers::chain`], and used for many calls;
/// cheap to clone.
///
/// Each provider is asked once at most, and each attempt is an outcome of that provider's breaker. An answer that counts as a
/// failure, or is bad, is kept while others are asked: if none does better, the caller gets the best of them.
pub struct Chain<T, E> {
    guards: Arc<[Guard<T, E>]>,
    classify: Option<Classify<T, E>>,
    move_on: MoveOn,
}

impl<T, E> Clone for Chain<T, E> {
    fn clone(&self) -> Self {
        Self { guards: Arc::clone(&self.guards), classify: self.classify.clone(), move_on: self.move_on }
    }
}

impl<T, E> fmt::Debug for Chain<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let providers: Vec<&Breaker> = self.guards.iter().map(Guard::breaker).collect();
        f.debug_struct("Chain").field("providers", &providers).field("move_on", &self.move_on).finish_non_exhaustive()
    }
}

/// One attempt of a call, at one provider.
#[derive(Debug)]
pub struct Attempt<'a, 'b> {
    provider: &'a Arc<str>,
    permit: Option<&'a mut Permit<'b>>,
}

impl<'b> Attempt<'_, 'b> {
    /// The provider to call.
    #[must_use]
    pub fn provider(&self) -> &Arc<str> {
        self.provider
    }

    /// The permit of its breaker. `None` for an unknown provider, whose calls are unguarded.
    pub fn permit(&mut self) -> Option<&mut Permit<'b>> {
        self.permit.as_deref_mut()
    }

    /// Says how good the answer is: [`Permit::report_quality`]. Of an unknown provider's answer nobody takes note.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality(&mut self, score: f64) -> Result<(), InvalidScore> {
        match &mut self.permit {
            Some(permit) => permit.report_quality(score),
            None => Score::new(score).map(drop),
        }
    }
}

/// One attempt of an asynchronous call, at one provider.
#[derive(Debug)]
pub struct AsyncAttempt {
    provider: Arc<str>,
    reporter: Option<Reporter>,
}

impl AsyncAttempt {
    /// The provider to call.
    #[must_use]
    pub const fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    /// Takes the answer's score, now or later. `None` for an unknown provider, whose calls are unguarded.
    #[must_use]
    pub const fn reporter(&self) -> Option<&Reporter> {
        self.reporter.as_ref()
    }

    /// Says how good the answer is: [`Reporter::report_quality`]. Of an unknown provider's answer nobody takes note.
    ///
    /// # Errors
    /// For a number that is no score; nothing is changed by it.
    pub fn report_quality(&self, score: f64) -> Result<(), InvalidScore> {
        match &self.reporter {
            Some(reporter) => reporter.report_quality(score).map(drop),
            None => Score::new(score).map(drop),
        }
    }
}

impl<T, E> Chain<T, E> {
    pub(super) fn new(providers: &Providers) -> Self {
        let guards = providers.breakers().iter().map(Breaker::guard).collect();
        Self { guards, classify: None, move_on: MoveOn::default() }
    }

    /// When a call goes on to the next provider.
    #[must_use]
    pub const fn move_on(mut self, move_on: MoveOn) -> Self {
        self.move_on = move_on;
        self
    }

    /// Says what a result means, to every provider's breaker and to the chain. Without it, a value is a success, and an error
    /// is one of the service.
    #[must_use]
    pub fn classify(mut self, classify: impl Fn(&Result<T, E>) -> Outcome + Send + Sync + 'static) -> Self
    where
        T: 'static,
        E: 'static,
    {
        let classify: Classify<T, E> = Arc::new(classify);
        self.classify = Some(Arc::clone(&classify));
        self.guards_with(|guard| {
            let classify = Arc::clone(&classify);
            guard.classify(move |result| classify(result))
        })
    }

    /// Changes every provider's [`Guard`]: for a scorer, say, and [`Guard::replace_below`], by which bad answers go on to the
    /// next provider. A guard's own fallback is not asked, since the next provider is.
    #[must_use]
    pub fn guards_with(mut self, change: impl FnMut(Guard<T, E>) -> Guard<T, E>) -> Self {
        self.guards = self.guards.iter().cloned().map(change).collect();
        self
    }

    /// Makes the call: of the first provider that admits it, and of those that follow where need be. It runs once for each
    /// that admits it.
    ///
    /// # Errors
    /// Every provider tried and why it gave no answer, where none did.
    pub fn call(&self, call: impl FnMut(&mut Attempt<'_, '_>) -> Result<T, E>) -> Result<T, ChainError<E>> {
        self.run(self.guards.iter().map(Stop::Known), call)
    }

    /// [`call`](Self::call), of these providers in this order. One that isn't in the chain is called unguarded, and a warning
    /// is logged.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_among<N: AsRef<str>>(
        &self,
        names: &[N],
        call: impl FnMut(&mut Attempt<'_, '_>) -> Result<T, E>,
    ) -> Result<T, ChainError<E>> {
        self.run(names.iter().map(|name| self.stop(name.as_ref())), call)
    }

    /// Makes an asynchronous call, as [`call`](Self::call) does. A future that is dropped before it ends counts as cancelled
    /// for the provider that is being called.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_async<F: Future<Output = Result<T, E>>>(
        &self,
        call: impl FnMut(AsyncAttempt) -> F,
    ) -> Result<T, ChainError<E>> {
        self.run_async(self.guards.iter().map(Stop::Known), call).await
    }

    /// [`call_async`](Self::call_async), of these providers in this order. One that isn't in the chain is called unguarded,
    /// and a warning is logged.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_among_async<N: AsRef<str>, F: Future<Output = Result<T, E>>>(
        &self,
        names: &[N],
        call: impl FnMut(AsyncAttempt) -> F,
    ) -> Result<T, ChainError<E>> {
        self.run_async(names.iter().map(|name| self.stop(name.as_ref())), call).await
    }

    fn stop(&self, name: &str) -> Stop<'_, T, E> {
        match self.guards.iter().find(|guard| &**guard.breaker().name() == name) {
            Some(guard) => Stop::Known(guard),
            None => {
                // A log that panics costs nobody the call.
                caught("the log", || {
                    let provider = shortened(name);
                    tracing::warn!(%provider, "a provider that isn't in the chain is called unguarded");
                });
                Stop::Unknown(name.into())
            }
        }
    }

    fn run<'c>(
        &'c self,
        stops: impl Iterator<Item = Stop<'c, T, E>>,
        mut call: impl FnMut(&mut Attempt<'_, '_>) -> Result<T, E>,
    ) -> Result<T, ChainError<E>> {
        let mut progress = Progress::new(self.move_on);
        for stop in stops {
            let ended = match &stop {
                Stop::Known(guard) => guard.run_at(guard.breaker().now(), |permit| {
                    let result = call(&mut Attempt { provider: guard.breaker().name(), permit: Some(permit) });
                    let ended_at = ended_at(permit);
                    (result, ended_at)
                }),
                Stop::Unknown(name) => self.unguarded(call(&mut Attempt { provider: name, permit: None })),
            };
            if let Some(result) = progress.take(stop.name(), ended) {
                return result;
            }
        }
        progress.end()
    }

    async fn run_async<'c, F: Future<Output = Result<T, E>>>(
        &'c self,
        stops: impl Iterator<Item = Stop<'c, T, E>>,
        mut call: impl FnMut(AsyncAttempt) -> F,
    ) -> Result<T, ChainError<E>>
    where
        T: 'c,
        E: 'c,
    {
        let mut progress = Progress::new(self.move_on);
        for stop in stops {
            let provider = Arc::clone(stop.name());
            let ended = match &stop {
                Stop::Known(guard) => {
                    let attempt = |reporter| call(AsyncAttempt { provider, reporter: Some(reporter) });
                    guard.run_async(attempt).await
                }
                Stop::Unknown(_) => self.unguarded(call(AsyncAttempt { provider, reporter: None }).await),
            };
            if let Some(result) = progress.take(stop.name(), ended) {
                return result;
            }
        }
        progress.end()
    }

    /// How the call of an unknown provider has ended.
    fn unguarded(&self, result: Result<T, E>) -> Ended<T, E> {
        let classified = self.classify.as_ref().and_then(|classify| caught("classify", || classify(&result)));
        let outcome = classified.unwrap_or_else(|| classify_default(&result));
        Ended::Kept(result.map_err(CallError::Failed), outcome.kind)
    }
}

/// Where a call may stop on its way.
enum Stop<'c, T, E> {
    Known(&'c Guard<T, E>),
    Unknown(Arc<str>),
}

impl<T, E> Stop<'_, T, E> {
    fn name(&self) -> &Arc<str> {
        match self {
            Self::Known(guard) => guard.breaker().name(),
            Self::Unknown(name) => name,
        }
    }
}

/// How far a call has come.
struct Progress<T, E> {
    move_on: MoveOn,
    tried: Vec<Tried<E>>,
    /// The best of the answers that weren't good enough, and its score.
    kept: Option<(T, f64)>,
}

impl<T, E> Progress<T, E> {
    const fn new(move_on: MoveOn) -> Self {
        Self { move_on, tried: Vec::new(), kept: None }
    }

    /// Takes in what an attempt has come to. What the whole call has come to, where this was its end.
    fn take(&mut self, provider: &Arc<str>, ended: Ended<T, E>) -> Option<Result<T, ChainError<E>>> {
        let on_failure = self.move_on == MoveOn::OnFailure;
        let (cause, goes_on) = match ended {
            Ended::Kept(Ok(answer), kind) if kind.is_failure() && on_failure => {
                // Worse than any that is merely bad.
                self.keep(answer, f64::NEG_INFINITY);
                return None;
            }
            Ended::Bad(answer, score) if on_failure => {
                self.keep(answer, score.get());
                return None;
            }
            Ended::Kept(Ok(answer), _) | Ended::Bad(answer, _) => return Some(Ok(answer)),
            Ended::Rejected(rejected) => (CallError::Rejected(rejected), true),
            Ended::Tripped(error) => (CallError::Failed(error), on_failure),
            Ended::Kept(Err(cause), kind) => (cause, kind.is_failure() && on_failure),
        };
        self.tried.push(Tried { provider: Arc::clone(provider), cause });
        if goes_on { None } else { Some(self.end()) }
    }

    fn keep(&mut self, answer: T, score: f64) {
        if self.kept.as_ref().is_none_or(|(_, best)| score > *best) {
            self.kept = Some((answer, score));
        }
    }

    fn end(&mut self) -> Result<T, ChainError<E>> {
        match self.kept.take() {
            Some((answer, _)) => Ok(answer),
            None => Err(ChainError { tried: std::mem::take(&mut self.tried) }),
        }
    }
}

/// A provider that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried<E> {
    /// Its name.
    pub provider: Arc<str>,
    /// Whether its breaker refused, or the call failed.
    pub cause: CallError<E>,
}

/// No provider gave an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainError<E> {
    /// Every provider that was tried, in order, and why in vain. Those after it were not tried, where the last one's outcome
    /// was neutral, or a failure under [`MoveOn::OnRejection`]. Empty where [`call_among`](Chain::call_among) was given no names.
    pub tried: Vec<Tried<E>>,
}

impl<E> ChainError<E> {
    /// The refusals, in order.
    pub fn rejections(&self) -> impl Iterator<Item = &Rejected> {
        self.tried.iter().filter_map(|tried| tried.cause.rejected())
    }

    /// When to try again: the shortest wait that a refusal names. `None` where none does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.rejections().filter_map(|rejected| rejected.retry_after()).min()
    }

    /// The error of the last call that was made. `None` where every provider refused.
    #[must_use]
    pub fn last_failure(&self) -> Option<&E> {
        self.tried.iter().rev().find_map(|tried| tried.cause.failed())
    }
}

impl<E: fmt::Display> fmt::Display for ChainError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no provider gave an answer")?;
        if self.tried.is_empty() {
            return f.write_str(": none was named");
        }
        for (at, Tried { provider, cause }) in self.tried.iter().enumerate() {
            let verb = if cause.rejected().is_some() { "refused" } else { "failed" };
            write!(f, "{} `{provider}` {verb}: {cause}", if at == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for ChainError<E> {}
