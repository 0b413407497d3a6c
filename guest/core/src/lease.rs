//! The lease: what a host may do without asking, computed from the conditions so that no decision differs from the one
//! that recording every call at once would make.
//!
//! Each condition that is false now says what it takes to stay false while benign outcomes (successes, no slower than a
//! limit, scored within a budget) come in unseen. `any_of` needs all of its children to stay false, `all_of` one.

use crate::condition::{Condition, Leaf, LeafState, Node, Tree};
use crate::policy::Policy;
use crate::score::Score;
use crate::time::{Instant, Nanos};
use crate::window::{Extent, Samples, Window};
use alloc::vec::Vec;

/// Most outcomes that may wait under one lease, where nothing is asked of them but how many there are.
pub const LEASE_OUTCOMES_MAX: u32 = 1 << 16;
/// The same, where each one's details must be kept, or all scores.
pub const LEASE_KEPT_MAX: u32 = 256;
/// The longest table of bounds on sums of scores, and the most scores that are asked for where only the last matter.
pub const LEASE_SCORES_MAX: u32 = 256;

/// What is to be handed in of each success that is recorded late, beside that it was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// When it was settled.
    pub settled_at: bool,
    /// How long it took.
    pub latency: bool,
}

/// Under which terms calls may be admitted unasked, and benign outcomes recorded late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmitTerms {
    /// How many outcomes and late scores may wait; 0 where each must be recorded at once.
    pub outcomes_max: u32,
    /// Outcomes must be settled before this.
    pub until: Option<Instant>,
    /// Outcomes may take no longer than this.
    pub latency_max: Option<Nanos>,
    /// What a success without a score counts as.
    pub missing_score: Option<Score>,
    /// After k scores, their sum must be at least `score_sums_min[k - 1]`, in units of 10^-9. None where any score is benign.
    pub score_sums_min: Option<Vec<i64>>,
    /// Whether more scores than that may come: the sum of the last so many must then be at least the last bound.
    pub scores_roll: bool,
    /// How many scores are to be handed in: the last so many, or all if there are fewer.
    pub scores_last: u32,
    /// What is to be handed in of each success.
    pub details: Details,
}

impl AdmitTerms {
    /// Terms that ask for nothing.
    pub(crate) fn free(missing_score: Option<Score>) -> Self {
        Self {
            outcomes_max: LEASE_OUTCOMES_MAX,
            until: None,
            latency_max: None,
            missing_score,
            score_sums_min: None,
            scores_roll: false,
            scores_last: 0,
            details: Details::default(),
        }
    }

    /// Terms under which calls are admitted unasked, and nothing is recorded late.
    pub fn admit_only(missing_score: Option<Score>) -> Self {
        Self { outcomes_max: 0, ..Self::free(missing_score) }
    }

    /// Terms that keep both.
    fn and(mut self, other: Self) -> Self {
        self.outcomes_max = self.outcomes_max.min(other.outcomes_max);
        self.until = least(self.until, other.until);
        self.latency_max = least(self.latency_max, other.latency_max);
        (self.score_sums_min, self.scores_roll) = match (self.score_sums_min, other.score_sums_min) {
            (Some(sums), Some(others)) => {
                // Windows of one length roll as one. Otherwise there are as many as the shorter table has.
                let roll = self.scores_roll && other.scores_roll && sums.len() == others.len();
                (Some(sums.into_iter().zip(others).map(|(a, b)| a.max(b)).collect()), roll)
            }
            (Some(sums), None) => (Some(sums), self.scores_roll),
            (None, others) => (others, other.scores_roll),
        };
        self
    }

    /// How long such a lease is likely to last, in outcomes: a bound on scores ends it sooner than a plain count.
    fn expected_outcomes(&self) -> (u32, bool, bool) {
        // At most LEASE_SCORES_MAX.
        let scored = self.score_sums_min.as_ref().filter(|_| !self.scores_roll);
        let scored = scored.map_or(u32::MAX, |sums| sums.len() as u32);
        (self.outcomes_max.min(scored), self.latency_max.is_none(), self.score_sums_min.is_none())
    }
}

fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The terms under which a policy's tree, false now, stays false. None where every outcome must be asked about.
pub(crate) fn terms(
    policy: &Policy,
    tree: &Tree,
    origin: Option<Instant>,
    failures: Option<u32>,
    now: Instant,
) -> Option<AdmitTerms> {
    if !policy.host_conditions.is_empty() {
        return None;
    }
    let granting = Granting { policy, tree, origin, failures, now };
    let mut terms = granting.node(&policy.tree)?;
    granting.ask(&mut terms)?;
    (terms.outcomes_max > 0).then_some(terms)
}

struct Granting<'a> {
    policy: &'a Policy,
    tree: &'a Tree,
    origin: Option<Instant>,
    failures: Option<u32>,
    now: Instant,
}

impl Granting<'_> {
    fn node(&self, node: &Node) -> Option<AdmitTerms> {
        match node {
            Node::Leaf(index) => self.leaf(*index as usize),
            Node::Any(children) => {
                let mut terms = self.free();
                for child in children {
                    terms = terms.and(self.node(child)?);
                }
                Some(terms)
            }
            Node::All(children) => {
                children.iter().filter_map(|child| self.node(child)).max_by_key(AdmitTerms::expected_outcomes)
            }
        }
    }

    fn free(&self) -> AdmitTerms {
        AdmitTerms::free(self.policy.missing())
    }

    fn leaf(&self, index: usize) -> Option<AdmitTerms> {
        let (leaf, state) = (self.policy.leaves.get(index)?, self.tree.states.get(index)?);
        if self.tree.leaf_holds(&self.policy.leaves, index, self.failures) {
            return None;
        }
        let samples = match state {
            LeafState::Window(samples) => samples,
            // A success ends the streak. A late score doesn't, and by then the load may ask for another limit.
            LeafState::Streak(streak) => return (*streak < self.least_failures_limit(leaf)?).then(|| self.free()),
            LeafState::Verdict(_) => return None,
        };
        let window = leaf.condition.window()?;
        let mut terms = self.free();
        match leaf.condition {
            // Any latency within the limit keeps it false.
            Condition::LatencyAbove { threshold, .. } => terms.latency_max = Some(threshold),
            Condition::ErrorRateAbove { rate, .. } => {
                terms.outcomes_max = terms.outcomes_max.min(misses_max(samples, window, rate));
            }
            Condition::SlowCallRateAbove { rate, threshold, .. } => {
                terms.latency_max = Some(threshold);
                terms.outcomes_max = terms.outcomes_max.min(misses_max(samples, window, rate));
            }
            Condition::QualityBelow { threshold, .. } => {
                terms.score_sums_min = Some(score_sums_min(samples, window, threshold));
                // The last bound is that on a window which holds nothing but new scores.
                terms.scores_roll = matches!(window.extent, Extent::Count(capacity) if capacity <= LEASE_SCORES_MAX);
            }
            Condition::ConsecutiveFailures { .. } | Condition::Host { .. } => return None,
        }
        Some(terms)
    }

    /// The least limit that any load asks for.
    fn least_failures_limit(&self, leaf: &Leaf) -> Option<u32> {
        let Condition::ConsecutiveFailures { n } = leaf.condition else { return None };
        let tiers = self.policy.adaptive.iter().filter_map(|tier| tier.consecutive_failures);
        Some(tiers.fold(n, u32::min))
    }

    /// Adds what the conditions must be told of what is recorded late, those too on which the terms don't stand. None where
    /// one of them can't be told late.
    fn ask(&self, terms: &mut AdmitTerms) -> Option<()> {
        terms.details.settled_at = !self.policy.adaptive.is_empty();
        for (leaf, state) in self.policy.leaves.iter().zip(&self.tree.states) {
            if let LeafState::Window(samples) = state {
                terms.until = least(terms.until, self.slice_end(leaf.condition.window()?, samples)?);
            }
            match leaf.condition {
                Condition::QualityBelow { window, .. } => {
                    terms.scores_last = terms.scores_last.max(match window.extent {
                        Extent::Count(capacity) => capacity,
                        Extent::Span { .. } => u32::MAX,
                    });
                }
                Condition::LatencyAbove { .. } => terms.details.latency = true,
                // What takes no longer than the threshold is a miss, whatever it takes.
                Condition::SlowCallRateAbove { threshold, .. } => {
                    terms.details.latency |= terms.latency_max.is_none_or(|most| most > threshold);
                }
                Condition::ErrorRateAbove { .. } | Condition::ConsecutiveFailures { .. } | Condition::Host { .. } => {}
            }
        }
        let all = terms.details != Details::default() || terms.scores_last > LEASE_SCORES_MAX;
        if all {
            terms.outcomes_max = terms.outcomes_max.min(LEASE_KEPT_MAX);
        }
        Some(())
    }

    /// A window by time changes by itself when a slice begins: until then, samples only come. `Some(None)` for a window
    /// by count; none where the window hasn't come to the current slice yet.
    fn slice_end(&self, window: Window, samples: &Samples) -> Option<Option<Instant>> {
        let (Extent::Span { slice, .. }, Samples::Slices(ring)) = (window.extent, samples) else { return Some(None) };
        let origin = self.origin?;
        if self.now.since(origin) / slice != ring.index() {
            return None;
        }
        let end = ring.index().checked_add(1)?.checked_mul(slice)?;
        Some(Some(origin.plus(end)))
    }
}

/// How many misses may come before the rate could hold: it can only when they fill the window, since more misses
/// lower a rate.
fn misses_max(samples: &Samples, window: Window, rate: f64) -> u32 {
    let (count, hits) = (samples.count(), samples.hits());
    if count >= window.minimum || !crate::condition::rate_exceeds(hits, window.minimum, rate) {
        return LEASE_OUTCOMES_MAX;
    }
    window.minimum - count - 1
}

/// What the sum of k new scores must be at least, for k from 1 on.
///
/// With k new scores the window holds them and the newest of the old ones. Its mean is not below the threshold while
/// `sum(new) >= threshold * (k + len(old)) - sum(old)`: a sum, not a floor for each score, since scores wobble.
fn score_sums_min(samples: &Samples, window: Window, threshold: Score) -> Vec<i64> {
    // What the window's scores together are over the threshold.
    let surplus = samples.sum() - i128::from(threshold.units()) * i128::from(samples.count());
    // Scores are at most 10^15 in magnitude, so neither what leaves nor what comes moves it further than 2^60.
    match i64::try_from(surplus).ok().filter(|surplus| surplus.unsigned_abs() < 1 << 61) {
        Some(surplus) => sums_min(samples, window, surplus, threshold.units(), |sum| sum),
        None => sums_min(samples, window, surplus, i128::from(threshold.units()), clamp),
    }
}

fn sums_min<N>(samples: &Samples, window: Window, mut surplus: N, threshold: N, clamped: impl Fn(N) -> i64) -> Vec<i64>
where
    N: Copy + From<i64> + core::ops::AddAssign + core::ops::SubAssign + core::ops::Sub<Output = N>,
{
    let mut count = samples.count();
    let (capacity, ring) = match (window.extent, samples) {
        (Extent::Count(capacity), Samples::Values(ring)) => (capacity, Some(ring)),
        // In a window by time nothing leaves before the slice ends.
        _ => (u32::MAX, None),
    };
    let mut leaving = ring.into_iter().flat_map(|ring| ring.iter());
    let scores_max = capacity.min(LEASE_SCORES_MAX);
    let mut sums = Vec::with_capacity(scores_max as usize);
    let mut due = N::from(0);
    for scores in 1..=scores_max {
        due += threshold;
        // `count` is that of the old scores which stay.
        if u64::from(count) + u64::from(scores) > u64::from(capacity) {
            let Some(oldest) = leaving.next() else { break };
            surplus -= N::from(oldest) - threshold;
            count -= 1;
        }
        let filled = u64::from(count) + u64::from(scores) >= u64::from(window.minimum);
        sums.push(if filled { clamped(due - surplus) } else { i64::MIN });
    }
    sums
}

fn clamp(value: i128) -> i64 {
    // In range after the clamp.
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
