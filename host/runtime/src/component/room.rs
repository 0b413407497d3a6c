//! What an instance has room for: breakers whose windows are full, and one of them on its way out or in.
//!
//! An instance that runs out of memory fails for all who sit there, so what may fill it is refused beforehand. Of its
//! memory it keeps what it had when it was made, and an eighth: for policies, for what trips write into a breaker's history
//! beyond what is counted for each, and for what an allocator can't put to use. The rest is the breakers'. One encoding of
//! the largest of them must fit beside them: a snapshot is written, and read again, in one piece.

use std::collections::BTreeMap;

use super::Bounds;
use crate::policy::Policy;

/// What a breaker takes beside what its policy says, of the component that comes with the library (32 bits): up to 24 bytes
/// in the table of breakers, which doubles as it grows; 8 to 16 for each of some ten allocations; and what a first trip
/// leaves: its reason with a path and a sentence, and room for four of 16 transitions. Where thousands of tiny breakers have
/// all tripped once, 320 bytes were too few and 512 enough. Longer histories, 1 to 2 KiB with all 16 transitions, come out of
/// the eighth.
pub(crate) const BREAKER_OVERHEAD_BYTES: u64 = 512;

/// What a breaker may take of its instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// While it sits there.
    bytes: u64,
    /// More, while its snapshot is on the way. A varint of 64 bits has ten bytes at most, a fourth more than the sample.
    transit: u64,
}

impl Claim {
    /// What a breaker claims whose policy says that it takes so many bytes.
    pub(super) const fn of(breaker_bytes: u64) -> Self {
        Self {
            bytes: breaker_bytes.saturating_add(BREAKER_OVERHEAD_BYTES),
            transit: breaker_bytes.saturating_add(breaker_bytes / 4),
        }
    }

    /// What one claims that will come back from a snapshot of this length.
    pub(super) fn or_snapshot(self, bytes: usize) -> Self {
        Self { transit: self.transit.max(bytes as u64), ..self }
    }

    pub(crate) const fn bytes(self) -> u64 {
        self.bytes
    }

    /// More, while its snapshot is on the way.
    pub(super) const fn transit(self) -> u64 {
        self.transit
    }

    /// How many breakers with this claim an instance has room for.
    pub(super) const fn fit(self, bytes_max: u64) -> u64 {
        bytes_max.saturating_sub(self.transit) / self.bytes
    }
}

/// The longest snapshot that is tried under a policy: its windows in full, and on top of them more than all reasons, texts
/// and probes can have.
pub(crate) fn snapshot_bytes_max(policy: &Policy) -> u64 {
    /// 1,000 probes of up to 40 bytes, 16 transitions of 1 KiB, and a reason with 256 causes of up to 2 KiB.
    const TEXTS_BYTES_MAX: u64 = 1 << 20;
    /// The verdicts of one of the host's conditions on 1,000 probes, 1 KiB each.
    const VERDICTS_BYTES_MAX: u64 = 1 << 20;
    let info = policy.info();
    let verdicts = VERDICTS_BYTES_MAX.saturating_mul(info.host_conditions.len() as u64);
    Claim::of(info.breaker_bytes).transit.saturating_add(TEXTS_BYTES_MAX).saturating_add(verdicts)
}

/// What breakers may have of an instance that takes so much before there is any.
pub(super) fn breakers_bytes_max(bounds: Bounds, initial_bytes: usize) -> u64 {
    let bytes = bounds.memory_bytes_max as u64;
    (bytes - bytes / 8).saturating_sub(initial_bytes as u64)
}

/// The claims on one instance.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: u64,
    /// How many claim so much for their snapshots.
    transits: BTreeMap<u64, usize>,
}

impl Room {
    /// What would be claimed with one more.
    pub(super) fn with(&self, claim: Claim) -> u64 {
        let largest = self.transits.last_key_value().map_or(0, |(transit, _)| *transit);
        self.bytes.saturating_add(claim.bytes).saturating_add(largest.max(claim.transit))
    }

    pub(super) fn add(&mut self, claim: Claim) {
        self.bytes = self.bytes.saturating_add(claim.bytes);
        *self.transits.entry(claim.transit).or_default() += 1;
    }

    pub(super) fn remove(&mut self, claim: Claim) {
        self.bytes = self.bytes.saturating_sub(claim.bytes);
        if let Some(count) = self.transits.get_mut(&claim.transit) {
            *count -= 1;
            if *count == 0 {
                self.transits.remove(&claim.transit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_snapshot_has_room_beside_all() {
        let (small, large) = (Claim::of(1_000), Claim::of(100_000));
        let mut room = Room::default();
        assert_eq!(room.with(small), 1_000 + BREAKER_OVERHEAD_BYTES + 1_250);
        room.add(large);
        room.add(large);
        assert_eq!(room.with(small), 201_000 + 3 * BREAKER_OVERHEAD_BYTES + 125_000);
        assert_eq!(room.with(small.or_snapshot(200_000)), 201_000 + 3 * BREAKER_OVERHEAD_BYTES + 200_000);
        room.remove(large);
        assert_eq!(room.with(small), 101_000 + 2 * BREAKER_OVERHEAD_BYTES + 125_000);
        room.remove(large);
        assert_eq!(room.with(small), 1_000 + BREAKER_OVERHEAD_BYTES + 1_250);
        assert_eq!((small.fit(0), small.fit(1_250 + 3 * (1_000 + BREAKER_OVERHEAD_BYTES))), (0, 3));
    }

    #[test]
    fn an_eighth_and_the_beginning_are_not_the_breakers() {
        let bounds = Bounds { deadline: std::time::Duration::ZERO, memory_bytes_max: 16 << 20 };
        assert_eq!(breakers_bytes_max(bounds, 1 << 20), 13 << 20);
        assert_eq!(breakers_bytes_max(bounds, 16 << 20), 0);
    }
}
