//! A host's own conditions: code in the host's language that sees every record and may hold, as a leaf of the policy.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::RegistryError;
use crate::policy::Policy;
use crate::text::shortened;
use crate::types::{Event, OutcomeKind, Score, Time};

/// One settled call, as a condition sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallRecord {
    /// How it ended: a success or a failure. Neutral outcomes are not shown.
    pub kind: OutcomeKind,
    /// How long it took.
    pub latency: Duration,
    /// Its score, where it had one when it was settled.
    pub score: Option<Score>,
    /// When it was settled, on the breaker's clock.
    pub at: Time,
}

/// A condition of the host's own, which a policy names by `host_condition = "name"`.
///
/// It runs under its breaker's lock, so it must be quick and must not call the breaker. It sees every record that takes
/// its place in the windows; those that came too late, and neutral ones, it doesn't see. A probe is judged alone: the
/// condition is reset before it. If it panics, it counts as not holding, and that is logged and told as an event.
pub trait Condition: Send + 'static {
    /// Takes a record. The reason, where the condition holds now; 1,024 bytes of it are kept.
    fn record(&mut self, call: &CallRecord) -> Option<String>;

    /// Forgets all records: the circuit went half-open, closed, or was reset.
    fn reset(&mut self);
}

/// Conditions by name, to be handed in when a breaker is made.
pub type Conditions = HashMap<String, Box<dyn Condition>>;

/// A breaker's conditions, in the order in which its policy asks for their verdicts.
pub(crate) struct Held(Vec<(Arc<str>, Box<dyn Condition>)>);

impl Held {
    /// Matches what was handed in with what the policy names.
    pub(crate) fn new(name: &Arc<str>, policy: &Policy, mut given: Conditions) -> Result<Self, RegistryError> {
        let mut held = Vec::new();
        for condition in &policy.info().host_conditions {
            let Some(found) = given.remove(condition) else {
                return Err(RegistryError::ConditionMissing {
                    name: Arc::clone(name),
                    policy: Arc::clone(policy.source_name()),
                    condition: condition.clone(),
                });
            };
            held.push((condition.as_str().into(), found));
        }
        match given.into_keys().min() {
            None => Ok(Self(held)),
            Some(condition) => Err(RegistryError::ConditionUnknown {
                name: Arc::clone(name),
                policy: Arc::clone(policy.source_name()),
                condition,
            }),
        }
    }

    pub(crate) const fn empty() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As many verdicts as the policy asks for, none of which holds.
    pub(crate) fn none(&self) -> Vec<Option<String>> {
        vec![None; self.0.len()]
    }

    /// Shows every condition the record.
    pub(crate) fn record(
        &mut self,
        breaker: &Arc<str>,
        call: &CallRecord,
        outbox: &mut Vec<Event>,
    ) -> Vec<Option<String>> {
        let mut verdicts = Vec::with_capacity(self.0.len());
        for (name, condition) in &mut self.0 {
            // What it leaves half-done is its own affair: it is asked again with the next record.
            let verdict = catch_unwind(AssertUnwindSafe(|| condition.record(call))).unwrap_or_else(|_| {
                panicked(breaker, name, outbox);
                None
            });
            verdicts.push(verdict.map(|reason| shortened(&reason).into_owned()));
        }
        verdicts
    }

    pub(crate) fn reset(&mut self, breaker: &Arc<str>, outbox: &mut Vec<Event>) {
        for (name, condition) in &mut self.0 {
            if catch_unwind(AssertUnwindSafe(|| condition.reset())).is_err() {
                panicked(breaker, name, outbox);
            }
        }
    }
}

fn panicked(breaker: &Arc<str>, condition: &Arc<str>, outbox: &mut Vec<Event>) {
    outbox.push(Event::ConditionPanicked { breaker: Arc::clone(breaker), condition: Arc::clone(condition) });
}
