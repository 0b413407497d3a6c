//! Compositions: `any_of` and `all_of`, nested to any depth that a policy may have.

use super::{Cause, Condition, LeafState, Record};
use crate::time::{Instant, Nanos};
use alloc::{boxed::Box, vec::Vec};
use core::ops::{Deref, DerefMut};
use core::slice;
use serde::Serialize;

/// A condition with its place in the policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Leaf {
    /// What it looks for.
    pub(crate) condition: Condition,
    /// Its path below `trip_on`, as in `any_of[1].error_rate_above`.
    pub(crate) path: Box<str>,
}

/// A policy's conditions as a tree over its leaves. Its depth is bounded by [`DEPTH_MAX`](crate::policy::DEPTH_MAX).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) enum Node {
    /// The leaf of this number.
    Leaf(u32),
    /// Holds where a child does.
    Any(Box<[Node]>),
    /// Holds where every child does.
    All(Box<[Node]>),
}

impl Node {
    /// Whether it holds, given which leaves do.
    pub(crate) fn holds(&self, leaf: &impl Fn(usize) -> bool) -> bool {
        match self {
            Self::Leaf(index) => leaf(*index as usize),
            Self::Any(children) => children.iter().any(|child| child.holds(leaf)),
            Self::All(children) => children.iter().all(|child| child.holds(leaf)),
        }
    }

    /// What the leaves by which it holds have to say; nothing where it doesn't.
    pub(crate) fn causes(&self, leaf: &impl Fn(usize) -> bool, cause: impl Fn(usize) -> Cause) -> Vec<Cause> {
        let mut found = Vec::new();
        if self.holds(leaf) {
            self.holding(leaf, &mut found);
        }
        found.into_iter().map(cause).collect()
    }

    /// The leaves by which it holds.
    fn holding(&self, leaf: &impl Fn(usize) -> bool, found: &mut Vec<usize>) {
        match self {
            Self::Leaf(index) => found.push(*index as usize),
            Self::Any(children) => {
                children.iter().filter(|child| child.holds(leaf)).for_each(|child| child.holding(leaf, found));
            }
            Self::All(children) => children.iter().for_each(|child| child.holding(leaf, found)),
        }
    }
}

/// The states of one breaker's leaves, in their order; where they are few, without an allocation of their own. It acts as
/// the slice of them.
#[derive(Clone, Debug)]
pub(crate) enum States {
    One(LeafState),
    Two([LeafState; 2]),
    Many(Box<[LeafState]>),
}

impl FromIterator<LeafState> for States {
    fn from_iter<T: IntoIterator<Item = LeafState>>(states: T) -> Self {
        let mut states = states.into_iter();
        match (states.next(), states.next(), states.next()) {
            (Some(one), None, _) => Self::One(one),
            (Some(one), Some(two), None) => Self::Two([one, two]),
            (one, two, three) => Self::Many(one.into_iter().chain(two).chain(three).chain(states).collect()),
        }
    }
}

impl Deref for States {
    type Target = [LeafState];

    fn deref(&self) -> &[LeafState] {
        match self {
            Self::One(state) => slice::from_ref(state),
            Self::Two(states) => states,
            Self::Many(states) => states,
        }
    }
}

impl DerefMut for States {
    fn deref_mut(&mut self) -> &mut [LeafState] {
        match self {
            Self::One(state) => slice::from_mut(state),
            Self::Two(states) => states,
            Self::Many(states) => states,
        }
    }
}

impl<'a> IntoIterator for &'a States {
    type Item = &'a LeafState;
    type IntoIter = slice::Iter<'a, LeafState>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut States {
    type Item = &'a mut LeafState;
    type IntoIter = slice::IterMut<'a, LeafState>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// Whether any of them has a window by time.
pub(crate) fn any_by_time(leaves: &[Leaf]) -> bool {
    leaves.iter().filter_map(|leaf| leaf.condition.window()).any(|window| window.extent.is_by_time())
}

/// When the first record came since the windows were fresh: those by time are aligned to it. Where there are none, nothing is
/// kept.
#[derive(Clone, Debug)]
pub(crate) struct Origin(Option<Box<Option<Instant>>>);

impl Origin {
    pub(crate) fn new(leaves: &[Leaf], at: Option<Instant>) -> Self {
        Self(any_by_time(leaves).then(|| Box::new(at)))
    }

    pub(crate) fn at(&self) -> Option<Instant> {
        self.0.as_deref().copied().flatten()
    }

    /// How far from it a record comes that may be the first; 0 where nobody looks at it.
    pub(crate) fn distance(&mut self, now: Instant) -> Nanos {
        self.0.as_deref_mut().map_or(0, |at| now.since(*at.get_or_insert(now)))
    }

    pub(crate) fn forget(&mut self) {
        if let Some(at) = self.0.as_deref_mut() {
            *at = None;
        }
    }
}

/// The leaves' states of one breaker.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) states: States,
}

impl Tree {
    pub(crate) fn new(leaves: &[Leaf]) -> Self {
        Self { states: leaves.iter().map(|leaf| LeafState::new(&leaf.condition)).collect() }
    }

    /// Shows a record to every leaf.
    pub(crate) fn record(&mut self, leaves: &[Leaf], record: &Record<'_>, since_origin: Nanos) {
        for (leaf, state) in leaves.iter().zip(&mut self.states) {
            state.record(&leaf.condition, record, since_origin);
        }
    }

    /// Shows a late score to the leaves that look at scores.
    pub(crate) fn record_late(&mut self, leaves: &[Leaf], score: crate::score::Score, since_origin: Nanos) {
        for (leaf, state) in leaves.iter().zip(&mut self.states) {
            if let Condition::QualityBelow { window, .. } = leaf.condition {
                state.record_score(window, Some(score), since_origin);
            }
        }
    }

    /// Empties every window.
    pub(crate) fn refresh(&mut self) {
        self.states.iter_mut().for_each(LeafState::clear);
    }

    /// Whether a leaf holds; `failures` overrides the limit of `consecutive_failures`.
    pub(crate) fn leaf_holds(&self, leaves: &[Leaf], index: usize, failures: Option<u32>) -> bool {
        match (leaves.get(index), self.states.get(index)) {
            (Some(leaf), Some(state)) => state.holds(&leaf.condition, failures),
            _ => false,
        }
    }

    /// What makes the policy hold now; empty where it doesn't.
    pub(crate) fn causes(&self, node: &Node, leaves: &[Leaf], failures: Option<u32>) -> Vec<Cause> {
        let holds = |index| self.leaf_holds(leaves, index, failures);
        node.causes(&holds, |index| self.states[index].cause(&leaves[index], failures))
    }
}
