//! Where a host gets its time from: the component has no clock, so every call hands one reading in.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::caught::caught;
use crate::types::Time;

/// A monotonic clock.
pub trait Clock: Send + Sync + 'static {
    /// Now. A reading that is earlier than one before is taken as the latest, since threads race.
    fn now(&self) -> Time;
}

/// The system's monotonic clock, from the moment that this was made. It is the default.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(monotonic::Origin);

impl Default for SystemClock {
    fn default() -> Self {
        Self(monotonic::Origin::now())
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Time {
        Time::from_nanos(self.0.elapsed_nanos())
    }
}

/// The clock that `Instant` reads as well, as one number: `Instant` keeps seconds and nanoseconds apart, and with it a guarded call
/// that reads the clock twice took 17 % longer.
#[cfg(target_os = "linux")]
mod monotonic {
    use rustix::time::{ClockId, clock_gettime};

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Origin(i64);

    impl Origin {
        pub(super) fn now() -> Self {
            Self(nanos())
        }

        #[inline]
        pub(super) fn elapsed_nanos(self) -> i64 {
            nanos() - self.0
        }
    }

    /// Since the machine was started: an `i64` has room for 292 years.
    #[inline]
    fn nanos() -> i64 {
        let reading = clock_gettime(ClockId::Monotonic);
        reading.tv_sec * 1_000_000_000 + reading.tv_nsec
    }
}

#[cfg(not(target_os = "linux"))]
mod monotonic {
    use std::time::Instant;

    use crate::types::span_nanos;

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Origin(Instant);

    impl Origin {
        pub(super) fn now() -> Self {
            Self(Instant::now())
        }

        pub(super) fn elapsed_nanos(self) -> i64 {
            i64::try_from(span_nanos(self.0.elapsed())).unwrap_or(i64::MAX)
        }
    }
}

/// A registry's clock. The system's is called by itself, since calls read it twice, and since it doesn't panic.
#[derive(Clone)]
pub(crate) enum RegistryClock {
    System(SystemClock),
    /// The user's own.
    Own(Arc<dyn Clock>),
}

impl Default for RegistryClock {
    fn default() -> Self {
        Self::System(SystemClock::default())
    }
}

impl RegistryClock {
    /// Now.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        match self {
            Self::System(clock) => clock.now(),
            Self::Own(clock) => clock.now(),
        }
    }

    /// Now; none by a clock that panics, which is logged.
    #[inline]
    pub(crate) fn now_unless_it_panics(&self) -> Option<Time> {
        match self {
            Self::System(clock) => Some(clock.now()),
            Self::Own(clock) => caught("the clock", || clock.now()),
        }
    }
}

/// A clock that is set by hand, for tests and replay.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self(AtomicI64::new(now.as_nanos()))
    }

    /// Sets it.
    pub fn set(&self, now: Time) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Moves it on.
    pub fn advance(&self, span: Duration) {
        self.set(self.now() + span);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Time {
        (**self).now()
    }
}
