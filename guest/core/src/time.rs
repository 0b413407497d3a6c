//! Time as the breaker knows it: nanoseconds that a host hands in. Nothing here reads a clock.

use core::fmt;
use core::num::NonZeroU64;

/// A span, in nanoseconds.
pub type Nanos = u64;

/// Nanoseconds in a millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: Nanos = 1_000 * MILLISECOND;
/// Nanoseconds in a minute.
pub const MINUTE: Nanos = 60 * SECOND;

/// An instant, in nanoseconds of the host's monotonic clock. It is signed because a restored breaker remembers what
/// happened before that clock's origin. Arithmetic saturates: 2^63 ns are 292 years.
///
/// It is kept as its distance from -2^63, which is never 0, so that an instant that may be missing takes no more room: a
/// million idle breakers have a few of those each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

/// The distance of the clock's origin.
const ORIGIN: u64 = 1 << 63;

impl Instant {
    /// An instant that a host handed in; over 2^63 - 1 it counts as that.
    pub const fn from_host(nanos: Nanos) -> Self {
        Self::from_nanos(if nanos > i64::MAX as u64 { i64::MAX } else { nanos as i64 })
    }

    /// The instant at signed nanoseconds from the clock's origin; -2^63 counts as one more.
    pub const fn from_nanos(nanos: i64) -> Self {
        match NonZeroU64::new(nanos.cast_unsigned() ^ ORIGIN) {
            Some(distance) => Self(distance),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Nanoseconds from the clock's origin, negative before it.
    pub const fn as_nanos(self) -> i64 {
        (self.0.get() ^ ORIGIN).cast_signed()
    }

    /// The instant a span later.
    pub const fn plus(self, span: Nanos) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add_unsigned(span))
    }

    /// The instant a span earlier.
    pub const fn minus(self, span: Nanos) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub_unsigned(span))
    }

    /// The span since an earlier instant; 0 where that one is later.
    pub const fn since(self, earlier: Self) -> Nanos {
        self.0.get().saturating_sub(earlier.0.get())
    }

    /// The signed nanoseconds from another instant to this one.
    pub(crate) const fn offset_from(self, other: Self) -> i64 {
        self.as_nanos().saturating_sub(other.as_nanos())
    }

    /// The instant at a signed offset from this one.
    pub(crate) const fn offset(self, nanos: i64) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(nanos))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.as_nanos()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_saturate_instead_of_wrapping() {
        let last = Instant::from_host(u64::MAX);
        assert_eq!(last, Instant::from_nanos(i64::MAX));
        assert_eq!(last.plus(u64::MAX), last);
        let first = Instant::from_nanos(i64::MIN);
        assert_eq!(first.minus(1), first);
        assert_eq!(first, Instant::from_nanos(-i64::MAX));
        assert_eq!(last.since(first), u64::MAX - 1);
        assert_eq!(first.since(last), 0);
        assert_eq!(first.offset(i64::MIN), first);
        assert!(first < Instant::from_nanos(-1) && Instant::from_nanos(-1) < Instant::from_host(0));
    }
}
