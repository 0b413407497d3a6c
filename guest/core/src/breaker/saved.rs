//! Snapshots: the whole state as bytes. They hold offsets from the moment of the snapshot, not instants, since another
//! process has another clock.
//!
//! The format: `SFBK`, a version byte, then postcard (varints, little-endian floats) with a CRC-32 at its end. Sums of
//! windows by count are computed anew; all else is checked, so that no snapshot makes a breaker that can't recover.

use super::half_open::{HalfOpen, Owed, Probe, Scores};
use super::{Breaker, FailureReport, History, Phase, TRANSITIONS_MAX, Totals, Transition};
use crate::condition::Tree;
use crate::event::{State, TEXT_BYTES_MAX, TripReason, bounded};
use crate::load::Load;
use crate::outcome::OutcomeKind;
use crate::policy::Policy;
use crate::score::{Score, UNITS_MAX};
use crate::time::{Instant, Nanos};
use crate::window::saved::SavedLeaf;
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
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

#[derive(Serialize, Deserialize)]
enum SavedPhase {
    Closed,
    Open { until: Offset },
    HalfOpen { live: Vec<SavedProbe>, passed: Vec<u32>, last: u32, scores: Scores },
    ForcedOpen,
    Disabled,
    MetricsOnly,
}

#[derive(Serialize, Deserialize)]
struct SavedProbe {
    number: u32,
    deadline: Offset,
    score: Option<i64>,
    owed: Option<Owed>,
}

#[derive(Serialize, Deserialize)]
struct SavedTransition {
    at: Offset,
    old: State,
    new: State,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    fingerprint: u64,
    jitter_seed: u64,
    latest: Offset,
    phase: SavedPhase,
    since: Offset,
    generation: u32,
    origin: Option<Offset>,
    leaves: Vec<SavedLeaf>,
    load: Option<Vec<Offset>>,
    hint_until: Option<Offset>,
    trip_count: u64,
    reopen_count: u32,
    totals: Totals,
    last_failure: Option<(Offset, OutcomeKind)>,
    consecutive_failures: u32,
    consecutive_successes: u32,
    last_trip: Option<(Offset, TripReason)>,
    transitions: Vec<SavedTransition>,
}

fn corrupt(place: &str, expected: &str) -> RestoreError {
    RestoreError::Corrupt(format!("{place}: expected {expected}"))
}

/// The magic, the version and the body of a snapshot's bytes.
fn body(bytes: &[u8]) -> Result<&[u8], RestoreError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(RestoreError::NotASnapshot)?;
    match rest.split_first() {
        Some((&VERSION, body)) => Ok(body),
        Some((version, _)) => Err(RestoreError::UnknownVersion(u32::from(*version))),
        None => Err(corrupt("byte 4", "the version of the format")),
    }
}

impl Breaker {
    /// The whole state as bytes. It changes nothing.
    pub fn snapshot(&self, now: Nanos) -> Vec<u8> {
        let now = self.peek(now);
        let ago = |at: Instant| at.offset_from(now);
        let history = self.history.as_deref();
        let saved = Saved {
            fingerprint: self.policy.fingerprint,
            jitter_seed: self.jitter_seed,
            latest: ago(self.latest),
            phase: self.saved_phase(&ago),
            since: ago(self.since),
            generation: self.generation,
            origin: self.tree.origin.map(ago),
            leaves: self
                .policy
                .leaves
                .iter()
                .zip(&self.tree.states)
                .map(|(l, s)| SavedLeaf::of(&l.condition, s))
                .collect(),
            load: self.load.as_ref().map(|load| load.settled.iter().map(|at| ago(*at)).collect()),
            hint_until: self.hint_until.map(ago),
            trip_count: self.trip_count,
            reopen_count: self.reopen_count,
            totals: self.totals,
            last_failure: self.last_failure.map(|failure| (ago(failure.at), failure.kind)),
            consecutive_failures: self.consecutive_failures,
            consecutive_successes: self.consecutive_successes,
            last_trip: history
                .and_then(|history| history.last_trip.as_ref())
                .map(|(at, reason)| (ago(*at), (**reason).clone())),
            transitions: history.map_or_else(Vec::new, |history| {
                let saved =
                    |t: &Transition| SavedTransition { at: ago(t.at), old: t.old, new: t.new, text: t.text.clone() };
                history.transitions.iter().map(saved).collect()
            }),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        // Writing these types into a growing vector can't fail; an empty body would be refused by `restore`.
        bytes.extend(postcard::to_allocvec_crc32(&saved, CRC.digest()).unwrap_or_default());
        bytes
    }

    fn saved_phase(&self, ago: &impl Fn(Instant) -> Offset) -> SavedPhase {
        match &self.phase {
            Phase::Closed => SavedPhase::Closed,
            Phase::Open { until } => SavedPhase::Open { until: ago(*until) },
            Phase::HalfOpen(half_open) => SavedPhase::HalfOpen {
                live: half_open
                    .live
                    .iter()
                    .map(|probe| SavedProbe {
                        number: probe.number,
                        deadline: ago(probe.deadline),
                        score: probe.score.map(Score::units),
                        owed: probe.owed.clone(),
                    })
                    .collect(),
                passed: half_open.passed.clone(),
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
        let saved: Saved = postcard::from_bytes_crc32(body(snapshot)?, CRC.digest())
            .map_err(|error| corrupt("the bytes after the version", &format!("postcard with a CRC-32 ({error})")))?;
        if saved.fingerprint != policy.fingerprint {
            return Err(RestoreError::PolicyDiffers(saved.fingerprint));
        }
        saved.check_times(&policy)?;
        let taken = Instant::from_host(now).minus(away);
        let at = |offset: Offset| taken.offset(offset);
        let phase = restore_phase(&policy, saved.phase, saved.latest, &at)?;
        let lived = saved.origin.map(|origin| saved.latest.abs_diff(origin));
        let states = restore_leaves(&policy, saved.leaves, lived)?;
        let load = match (saved.load, policy.adaptive.first()) {
            (None, None) => None,
            (Some(settled), Some(tier)) if settled.len() <= tier.calls_per_minute_above as usize + 1 => {
                if !settled.is_sorted() {
                    return Err(corrupt("the settled calls of the last minute", "times in order"));
                }
                Some(Box::new(Load { settled: settled.into_iter().map(at).collect() }))
            }
            _ => return Err(corrupt("the settled calls of the last minute", "as many as the policy's tiers ask for")),
        };
        if saved.transitions.len() > TRANSITIONS_MAX {
            return Err(corrupt("the transitions", "at most 16"));
        }
        let transition =
            |t: SavedTransition| Transition { at: at(t.at), old: t.old, new: t.new, text: bounded(t.text) };
        let history = History {
            last_trip: saved.last_trip.map(|(offset, reason)| (at(offset), Arc::new(reason))),
            transitions: saved.transitions.into_iter().map(transition).collect(),
        };
        let blank = history.last_trip.is_none() && history.transitions.is_empty();
        Ok(Self {
            policy,
            jitter_seed: saved.jitter_seed,
            latest: at(saved.latest),
            phase,
            since: at(saved.since),
            generation: saved.generation,
            tree: Tree { states, origin: saved.origin.map(at) },
            load,
            hint_until: saved.hint_until.map(at),
            trip_count: saved.trip_count,
            reopen_count: saved.reopen_count,
            totals: saved.totals,
            last_failure: saved.last_failure.map(|(offset, kind)| FailureReport { at: at(offset), kind }),
            consecutive_failures: saved.consecutive_failures,
            consecutive_successes: saved.consecutive_successes,
            history: (!blank).then(|| Box::new(history)),
        })
    }
}

/// The CRC that gzip and Ethernet use.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

impl Saved {
    /// Nothing may have happened after the latest time seen, and nothing be due later than the policy allows: time that
    /// is ahead of its clock would stand still.
    fn check_times(&self, policy: &Policy) -> Result<(), RestoreError> {
        let past = [Some(self.since), self.origin, self.last_failure.map(|(at, _)| at)].into_iter().flatten();
        let past = past.chain(self.last_trip.as_ref().map(|(at, _)| *at));
        let mut past = past.chain(self.load.iter().flatten().copied()).chain(self.transitions.iter().map(|t| t.at));
        if self.latest > 0 || past.any(|at| at > self.latest) {
            return Err(corrupt("the times", "none later than the latest seen, and that not later than the snapshot"));
        }
        let hint_max = self.latest.saturating_add_unsigned(policy.retry_after_max);
        if self.hint_until.is_some_and(|until| until > hint_max) {
            return Err(corrupt("the Retry-After", "no more than the policy's `retry_after_max`"));
        }
        Ok(())
    }
}

/// `lived` is how long the windows have been in use.
fn restore_leaves(
    policy: &Policy,
    saved: Vec<SavedLeaf>,
    lived: Option<Nanos>,
) -> Result<Box<[crate::condition::LeafState]>, RestoreError> {
    if saved.len() != policy.leaves.len() {
        return Err(corrupt("the conditions", &format!("{}, found {}", policy.leaves.len(), saved.len())));
    }
    let restored =
        policy.leaves.iter().zip(saved).map(|(leaf, saved)| {
            saved.restore(&leaf.condition, lived).map_err(|expected| corrupt(&leaf.path, expected))
        });
    restored.collect()
}

fn restore_phase(
    policy: &Policy,
    saved: SavedPhase,
    latest: Offset,
    at: &impl Fn(Offset) -> Instant,
) -> Result<Phase, RestoreError> {
    let (live, passed, last, scores) = match saved {
        SavedPhase::Closed => return Ok(Phase::Closed),
        SavedPhase::Open { until } => return Ok(Phase::Open { until: at(until) }),
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
    let probe = |probe: SavedProbe| {
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
