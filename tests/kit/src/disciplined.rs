//! What the contract asks of a host, done around any subject: permits are values that settle once, a score that is
//! reported before its call is settled is kept by the permit, where the last one wins, and a neutral call's late scores are dropped.
//!
//! Hosts promise this to their users, so they are compared with the core behind this discipline.

use crate::{Ending, NEUTRAL, Seen, SignalIn, StatusSeen, Subject};
use std::collections::BTreeMap;

/// A permit as a host's user holds it.
#[derive(Clone, Copy)]
struct Held {
    inner: u64,
    score: Option<f64>,
    settled: bool,
    neutral: bool,
}

/// A subject behind a host's discipline.
pub struct Disciplined<S> {
    subject: S,
    permits: BTreeMap<u64, Held>,
    given: u64,
    verdicts: usize,
}

impl<S: Subject> Disciplined<S> {
    /// Of a subject whose policy names so many conditions of the host's own.
    pub fn new(subject: S, verdicts: usize) -> Self {
        Self { subject, permits: BTreeMap::new(), given: 0, verdicts }
    }
}

/// Whether a host's score type takes it.
pub fn is_score(score: f64) -> bool {
    (-1e6..=1e6).contains(&score)
}

/// What every host answers where a permit's value is gone: the type system's job in some languages.
pub fn gone() -> Seen {
    Seen { error: Some("gone".into()), ..Seen::default() }
}

/// What every host answers to a number that is no score.
pub fn invalid_score() -> Seen {
    Seen { error: Some("invalid-score".into()), ..Seen::default() }
}

/// What every host answers to a score that it keeps for the settlement.
pub fn kept() -> Seen {
    Seen { effect: Some("pending".into()), ..Seen::default() }
}

/// What every host answers to a late score of a neutral call.
pub fn ignored() -> Seen {
    Seen { effect: Some("ignored".into()), ..Seen::default() }
}

impl<S: Subject> Subject for Disciplined<S> {
    fn before(&mut self, now: u64) -> Seen {
        let mut seen = self.subject.before(now);
        if let Some(inner) = seen.permit {
            self.given += 1;
            self.permits.insert(self.given, Held { inner, score: None, settled: false, neutral: false });
            seen.permit = Some(self.given);
        }
        seen
    }

    fn settle(&mut self, permit: u64, ending: &Ending, now: u64) -> Seen {
        let Some(held) = self.permits.get_mut(&permit).filter(|held| !held.settled) else { return gone() };
        let mut ending = ending.clone();
        match ending.signal {
            SignalIn::Score(score) if !is_score(score) => return invalid_score(),
            SignalIn::Score(_) => {}
            SignalIn::None | SignalIn::Pending => {
                ending.signal = held.score.map_or(ending.signal, SignalIn::Score);
            }
        }
        ending.verdicts.resize(self.verdicts, None);
        (held.settled, held.neutral) = (true, NEUTRAL.contains(&ending.kind));
        self.subject.settle(held.inner, &ending, now)
    }

    fn report(&mut self, permit: u64, score: Option<f64>, now: u64) -> Seen {
        let Some(held) = self.permits.get_mut(&permit) else { return gone() };
        if score.is_some_and(|score| !is_score(score)) {
            return invalid_score();
        }
        if held.neutral {
            return ignored();
        }
        if held.settled {
            let mut seen = self.subject.report(held.inner, score, now);
            // A score that came too late is no mistake of the user's.
            if seen.error.as_deref() == Some("stale") {
                (seen.error, seen.effect) = (None, Some("stale".into()));
            }
            return seen;
        }
        held.score = score.or(held.score);
        kept()
    }

    fn would_refuse(&mut self, now: u64) -> Seen {
        self.subject.would_refuse(now)
    }

    fn status(&mut self, now: u64) -> StatusSeen {
        self.subject.status(now)
    }

    fn reset(&mut self, now: u64) -> Seen {
        self.subject.reset(now)
    }

    fn operator(&mut self, state: &str, now: u64) -> Seen {
        self.subject.operator(state, now)
    }

    fn trip(&mut self, reason: &str, open_for: Option<u64>, now: u64) -> Seen {
        self.subject.trip(reason, open_for, now)
    }

    /// A host restarts, so nobody holds a permit any more.
    fn reincarnate(&mut self, now: u64, then: u64, away: u64) {
        self.permits.clear();
        self.subject.reincarnate(now, then, away);
    }
}
