//! Snapshots: the whole state as bytes. They hold offsets from the moment of the snapshot, not instants, since another
//! process has another clock.
//!
//! The format: `SFBK`, a version byte, then postcard (varints, little-endian floats) with a CRC-32 at its end. Sums of
//! windows by count are computed anew; all else is checked, so that no snapshot makes a breaker that can't recover.
//!
//! Windows are written as they lie and read one by one into their places, so that beside a breaker its encoding is all
//! that a snapshot or a restore takes: an instance that is full of breakers must be able to save them still.

use super::half_open::{HalfOpen, Owed, Probe, Scores};
use super::rare::Rare;
use super::{Breaker, Phase, TRANSITIONS_MAX, Totals, Transition};
use crate::condition::{Origin, States, Tree};
use crate::event::{State, TEXT_BYTES_MAX, TripReason, bounded};
use crate::load::Load;
use crate::outcome::OutcomeKind;
use crate::policy::Policy;
use crate::score::{Score, UNITS_MAX};
use crate::time::{Instant, Nanos};
use crate::window::saved::{ReadLeaf, Seq, WrittenLeaf};
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::mem::size_of;
use postcard::{Deserializer, de_flavors::Slice, ser_flavors::Flavor};
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 4] = *b"SFBK";
const VERSION: u8 = 2;
/// Longest snapshot that is looked at: 256 windows of 100,000 varints fit, and so do 1,000 probes that are owed a score,
/// with 255 verdicts each.
const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a snapshot could not be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// These bytes are not a snapshot.
    NotASnapshot,
    /// A snapshot of a version that isn't read here.
    UnknownVersion(u32),
    /// Where the bytes are damaged, and what was expected there.
    Corrupt(String),
    /// It was taken under a policy with this fingerprint.
    PolicyDiffers(u64),
}

/// An instant, as nanoseconds after the snapshot was taken; mostly negative.
type Offset = i64;

/// What comes before the leaves. What differs between writing and reading is a parameter here and below: what is written
/// is borrowed.
#[derive(Serialize, Deserialize)]
struct Head<P> {
    fingerprint: u64,
    jitter_seed: u64,
    latest: Offset,
    phase: P,
    since: Offset,
    generation: u32,
    origin: Option<Offset>,
}

/// What comes after the leaves.
#[derive(Serialize, Deserialize)]
struct Tail<L, R, T> {
    load: Option<L>,
    hint_until: Option<Offset>,
    trip_count: u64,
    reopen_count: u32,
    totals: Totals,
    last_failure: Option<(Offset, OutcomeKind)>,
    consecutive_failures: u32,
    consecutive_successes: u32,
    last_trip: Option<(Offset, R)>,
    transitions: T,
}

#[derive(Serialize, Deserialize)]
enum SavedPhase<L, N> {
    Closed,
    Open { until: Offset },
    HalfOpen { live: L, passed: N, last: u32, scores: Scores },
    ForcedOpen,
    Disabled,
    MetricsOnly,
}

#[derive(Serialize, Deserialize)]
struct SavedProbe<O> {
    number: u32,
    deadline: Offset,
    score: Option<i64>,
    owed: Option<O>,
}

#[derive(Serialize, Deserialize)]
struct SavedTransition<T> {
    at: Offset,
    old: State,
    new: State,
    text: T,
}

type ReadPhase = SavedPhase<Vec<SavedProbe<Owed>>, Vec<u32>>;
type ReadTail = Tail<Vec<Offset>, TripReason, Vec<SavedTransition<String>>>;

/// Counts what is written, and keeps it where there is room for it: written twice, it needs no more than it takes.
struct Encoding {
    len: usize,
    room: Option<Vec<u8>>,
}

impl Flavor for Encoding {
    type Output = Self;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.len += 1;
        if let Some(room) = &mut self.room {
            room.push(byte);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Self> {
        Ok(self)
    }
}

/// The header, what is encoded, and its checksum, in one allocation of just that length.
fn encode(saved: &impl Serialize) -> Vec<u8> {
    const HEADER_BYTES: usize = MAGIC.len() + 1;
    const CHECKSUM_BYTES: usize = size_of::<u32>();
    // Writing these types into memory can't fail; nothing but a header would be refused by `restore`.
    let counted = postcard::serialize_with_flavor(saved, Encoding { len: 0, room: None });
    let len = counted.map_or(0, |counted| counted.len);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + len + CHECKSUM_BYTES);
    bytes.extend(MAGIC);
    bytes.push(VERSION);
    let written = postcard::serialize_with_flavor(saved, Encoding { len: 0, room: Some(bytes) });
    let mut bytes = written.ok().and_then(|written| written.room).unwrap_or_default();
    let checksum = CRC.checksum(bytes.get(HEADER_BYTES..).unwrap_or_default());
    bytes.extend(checksum.to_le_bytes());
    bytes
}

fn corrupt(place: &str, expected: &str) -> RestoreError {
    RestoreError::Corrupt(format!("{place}: expected {expected}"))
}

/// What a snapshot's bytes hold between their version and their checksum, which are right.
fn body(bytes: &[u8]) -> Result<&[u8], RestoreError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(RestoreError::NotASnapshot)?;
    let rest = match rest.split_first() {
        Some((&VERSION, rest)) => rest,
        Some((version, _)) => return Err(RestoreError::UnknownVersion(u32::from(*version))),
        None => return Err(corrupt("byte 4", "the version of the format")),
    };
    match rest.split_last_chunk() {
        Some((body, checksum)) if CRC.checksum(body) == u32::from_le_bytes(*checksum) => Ok(body),
        _ => Err(corrupt("the bytes after the version", "their CRC-32 at the end")),
    }
}

/// Reads the next part of the body.
fn read<'a, T: Deserialize<'a>>(body: &mut Deserializer<'a, Slice<'a>>, place: &str) -> Result<T, RestoreError> {
    T::deserialize(body).map_err(|error| corrupt(place, &format!("postcard of this version ({error})")))
}

impl Breaker {
    /// The whole state as bytes. It changes nothing.
    pub fn snapshot(&self, now: Nanos) -> Vec<u8> {
        let now = self.peek(now);
        let ago = move |at: Instant| at.offset_from(now);
        let head = Head {
            fingerprint: self.policy.fingerprint,
            jitter_seed: self.jitter_seed(),
            latest: ago(self.latest),
            phase: self.saved_phase(ago),
            since: ago(self.since),
            generation: self.generation,
            origin: self.origin.at().map(ago),
        };
        let leaves = self.policy.leaves.iter().zip(&self.tree.states);
        let leaves = Seq(leaves.map(|(leaf, state)| WrittenLeaf { condition: &leaf.condition, state }));
        let rare = self.rare.as_deref();
        let transition = |t| -> SavedTransition<&str> {
            let t: &Transition = t;
            SavedTransition { at: ago(t.at), old: t.old, new: t.new, text: &t.text }
        };
        let transitions = rare.map(|rare| rare.transitions.iter()).unwrap_or_default();
        let tail = Tail {
            load: self.load().map(|load| Seq(load.settled.iter().map(|at| ago(*at)))),
            hint_until: self.hint_until().map(ago),
            trip_count: self.trip_count(),
            reopen_count: self.reopen_count(),
            totals: self.totals(),
            last_failure: self.last_failure().map(|failure| (ago(failure.at), failure.kind)),
            consecutive_failures: self.consecutive_failures(),
            consecutive_successes: self.consecutive_successes(),
            last_trip: self.last_trip().map(|(at, reason)| (ago(*at), &**reason)),
            transitions: Seq(transitions.map(transition)),
        };
        encode(&(head, leaves, tail))
    }

    fn saved_phase(&self, ago: impl Fn(Instant) -> Offset + Clone) -> SavedPhase<impl Serialize, &[u32]> {
        match &self.phase {
            Phase::Closed => SavedPhase::Closed,
            Phase::Open { until } => SavedPhase::Open { until: ago(**until) },
            Phase::HalfOpen(half_open) => SavedPhase::HalfOpen {
                live: Seq(half_open.live.iter().map(move |probe| SavedProbe {
                    number: probe.number,
                    deadline: ago(probe.deadline),
                    score: probe.score.map(Score::units),
                    owed: probe.owed.as_ref(),
                })),
                passed: &half_open.passed,
                last: half_open.last,
                scores: half_open.scores,
            },
            Phase::ForcedOpen => SavedPhase::ForcedOpen,
            Phase::Disabled => SavedPhase::Disabled,
            Phase::MetricsOnly => SavedPhase::MetricsOnly,
        }
    }

    /// A breaker from a snapshot; it decides as the saved one would. `away` is the time since the snapshot was taken.
    ///
    /// # Errors
    /// For bytes that aren't an undamaged snapshot of this version and policy.
    pub fn restore(policy: Arc<Policy>, snapshot: &[u8], now: Nanos, away: Nanos) -> Result<Self, RestoreError> {
        if snapshot.len() > SNAPSHOT_BYTES_MAX {
            return Err(corrupt(
                "the snapshot",
                &format!("at most {SNAPSHOT_BYTES_MAX} bytes, found {}", snapshot.len()),
            ));
        }
        let mut body = Deserializer::from_bytes(body(snapshot)?);
        let head: Head<ReadPhase> = read(&mut body, "the state")?;
        if head.fingerprint != policy.fingerprint {
            return Err(RestoreError::PolicyDiffers(head.fingerprint));
        }
        let lived = head.origin.map(|origin| head.latest.abs_diff(origin));
        let states = restore_leaves(&policy, &mut body, lived)?;
        let tail: ReadTail = read(&mut body, "what follows the conditions")?;
        if !body.finalize().is_ok_and(<[u8]>::is_empty) {
            return Err(corrupt("the bytes before the checksum", "the end of the state"));
        }
        check_times(&head, &tail, &policy)?;
        let taken = Instant::from_host(now).minus(away);
        let at = |offset: Offset| taken.offset(offset);
        let phase = restore_phase(&policy, head.phase, head.latest, &at)?;
        let load = match (tail.load, policy.adaptive.first()) {
            (None, None) => None,
            (Some(settled), Some(tier)) if settled.len() <= tier.calls_per_minute_above as usize + 1 => {
                if !settled.is_sorted() {
                    return Err(corrupt("the settled calls of the last minute", "times in order"));
                }
                Some(Load { settled: settled.into_iter().map(at).collect() })
            }
            _ => return Err(corrupt("the settled calls of the last minute", "as many as the policy's tiers ask for")),
        };
        if tail.transitions.len() > TRANSITIONS_MAX {
            return Err(corrupt("the transitions", "at most 16"));
        }
        let transition =
            |t: SavedTransition<String>| Transition { at: at(t.at), old: t.old, new: t.new, text: bounded(t.text) };
        if tail.consecutive_failures.min(tail.consecutive_successes) > 0 {
            return Err(corrupt("the calls in a row", "failures or successes, not both"));
        }
        let Totals { successes, failures, neutral, rejections, stale } = tail.totals;
        let rare = Rare {
            load,
            jitter_seed: if policy.backoff.jitter == 0.0 { 0 } else { head.jitter_seed },
            hint_until: tail.hint_until.map(at),
            trip_count: tail.trip_count,
            reopen_count: tail.reopen_count,
            neutral,
            rejections,
            stale,
            last_trip: tail.last_trip.map(|(offset, reason)| (at(offset), Arc::new(reason))),
            transitions: tail.transitions.into_iter().map(transition).collect(),
        };
        Ok(Self {
            latest: at(head.latest),
            phase,
            since: at(head.since),
            generation: head.generation,
            tree: Tree { states },
            origin: Origin::new(&policy.leaves, head.origin.map(at)),
            successes,
            failures,
            last_failure_at: tail.last_failure.map(|(offset, _)| at(offset)),
            last_failure_kind: tail.last_failure.map_or(OutcomeKind::Success, |(_, kind)| kind),
            failing: tail.consecutive_failures > 0,
            streak: tail.consecutive_failures.max(tail.consecutive_successes),
            rare: rare.kept(),
            policy,
        })
    }
}

/// The CRC that gzip and Ethernet use.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Nothing may have happened after the latest time seen, and nothing be due later than the policy allows: time that is
/// ahead of its clock would stand still.
fn check_times(head: &Head<ReadPhase>, tail: &ReadTail, policy: &Policy) -> Result<(), RestoreError> {
    let past = [Some(head.since), head.origin, tail.last_failure.map(|(at, _)| at)].into_iter().flatten();
    let past = past.chain(tail.last_trip.as_ref().map(|(at, _)| *at));
    let mut past = past.chain(tail.load.iter().flatten().copied()).chain(tail.transitions.iter().map(|t| t.at));
    if head.latest > 0 || past.any(|at| at > head.latest) {
        return Err(corrupt("the times", "none later than the latest seen, and that not later than the snapshot"));
    }
    let hint_max = head.latest.saturating_add_unsigned(policy.retry_after_max);
    if tail.hint_until.is_some_and(|until| until > hint_max) {
        return Err(corrupt("the Retry-After", "no more than the policy's `retry_after_max`"));
    }
    Ok(())
}

/// Reads the leaves' samples, each into its place. `lived` is how long the windows have been in use.
fn restore_leaves<'a>(
    policy: &Policy,
    body: &mut Deserializer<'a, Slice<'a>>,
    lived: Option<Nanos>,
) -> Result<States, RestoreError> {
    let (count, found) = (policy.leaves.len(), read::<u32>(body, "the number of conditions")?);
    if found as usize != count {
        return Err(corrupt("the conditions", &format!("{count}, found {found}")));
    }
    let leaves = policy.leaves.iter().map(|leaf| {
        let saved: ReadLeaf<'_> = read(body, &leaf.path)?;
        saved.restore(&leaf.condition, lived).map_err(|expected| corrupt(&leaf.path, expected))
    });
    leaves.collect()
}

fn restore_phase(
    policy: &Policy,
    saved: ReadPhase,
    latest: Offset,
    at: &impl Fn(Offset) -> Instant,
) -> Result<Phase, RestoreError> {
    let (live, passed, last, scores) = match saved {
        SavedPhase::Closed => return Ok(Phase::Closed),
        SavedPhase::Open { until } => return Ok(Phase::Open { until: Box::new(at(until)) }),
        SavedPhase::ForcedOpen => return Ok(Phase::ForcedOpen),
        SavedPhase::Disabled => return Ok(Phase::Disabled),
        SavedPhase::MetricsOnly => return Ok(Phase::MetricsOnly),
        SavedPhase::HalfOpen { live, passed, last, scores } => (live, passed, last, scores),
    };
    let needed = policy.recovery_threshold as usize;
    if passed.len() >= needed
        || live.len() > policy.half_open_max_calls as usize
        || live.len() + passed.len() > needed
        || passed.is_empty() && scores.count > 0
    {
        return Err(corrupt("the probes", "no more than the policy admits"));
    }
    let numbers = || live.iter().map(|probe| probe.number).chain(passed.iter().copied());
    let mut sorted: Vec<u32> = numbers().collect();
    sorted.sort_unstable();
    if sorted.iter().any(|number| *number == 0 || *number > last) || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(corrupt("the probes", "numbers that were given, each once"));
    }
    let deadline_max = latest.saturating_add_unsigned(policy.probe_timeout);
    if live.iter().any(|probe| probe.deadline > deadline_max) {
        return Err(corrupt("the probes' deadlines", "no later than the policy's `probe_timeout`"));
    }
    let verdicts_fit = |owed: &Owed| {
        owed.verdicts.len() == policy.host_conditions.len()
            && owed.verdicts.iter().flatten().all(|reason| reason.len() <= TEXT_BYTES_MAX)
    };
    if !live.iter().filter_map(|probe| probe.owed.as_ref()).all(verdicts_fit) {
        return Err(corrupt(
            "a probe's verdicts",
            "one for each of the policy's host conditions, of 1024 bytes at most",
        ));
    }
    if scores.sum.unsigned_abs() > u128::from(scores.count) * u128::from(UNITS_MAX.unsigned_abs()) {
        return Err(corrupt("the probes' scores", "a sum within the range of their count"));
    }
    let probe = |probe: SavedProbe<Owed>| {
        let score = match probe.score {
            Some(units) => {
                Some(Score::from_units(units).ok_or_else(|| corrupt("a probe's score", "10^15 units at most"))?)
            }
            None => None,
        };
        Ok(Probe { number: probe.number, deadline: at(probe.deadline), score, owed: probe.owed })
    };
    let live = live.into_iter().map(probe).collect::<Result<Vec<Probe>, RestoreError>>()?;
    Ok(Phase::HalfOpen(Box::new(HalfOpen { live, passed, last, scores })))
}
