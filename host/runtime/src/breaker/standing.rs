//! How a permit stands.

/// The incarnation in which a permit was given, and how it stands, in one word: what is written as a word and read as one
/// again is known to the processor at once, and a permit's fields are read soon after they were written.
#[derive(Clone, Copy)]
pub(super) struct Standing(u64);

impl Standing {
    /// The guarded code runs: if the permit is dropped now, that code has panicked.
    pub(super) const IN_CALL: u64 = 1;
    /// Reports go no longer into the outcome.
    pub(super) const CLOSED: u64 = 2;
    /// Its outcome is recorded, or is somebody else's matter.
    pub(super) const SETTLED: u64 = 4;
    /// Where the incarnation begins.
    const SHIFT: u32 = 3;

    #[inline]
    pub(super) fn new(incarnation: u64) -> Self {
        Self(incarnation << Self::SHIFT)
    }

    #[inline]
    pub(super) fn incarnation(self) -> u64 {
        self.0 >> Self::SHIFT
    }

    #[inline]
    pub(super) fn is(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flag: u64, set: bool) {
        self.0 = if set { self.0 | flag } else { self.0 & !flag };
    }
}
