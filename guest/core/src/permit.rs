//! Permits: the identified right to one call.

/// The right to one call: the generation in which it was given, and, for a probe, its number within it.
///
/// Permits of a closed circuit carry the generation alone, so nothing is stored for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permit(u64);

impl Permit {
    pub(crate) const fn of_generation(generation: u32) -> Self {
        Self((generation as u64) << 32)
    }

    pub(crate) const fn of_probe(generation: u32, probe: u32) -> Self {
        Self((generation as u64) << 32 | probe as u64)
    }

    /// A permit from the number that it crosses borders as. Any number is one; the breaker tells which it gave.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number that it crosses borders as.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The generation in which it was given.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The probe's number, from 1; 0 for a call that is none.
    pub(crate) const fn probe(self) -> u32 {
        self.0 as u32
    }
}
