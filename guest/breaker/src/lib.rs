//! The breaker component: converts, calls the core, converts back. It imports nothing.
//!
//! A component's instance is entered by one thread at a time, so its breakers live in one static.
#![cfg_attr(target_family = "wasm", no_std)]
#![cfg(target_family = "wasm")]

extern crate alloc;
extern crate softfuse_bare;

mod breakers;
mod convert;
mod leased;

#[allow(missing_docs, unexpected_cfgs, clippy::all, reason = "generated from the WIT, where everything is documented")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/breaker",
        world: "circuit-breaker",
        std_feature,
    });
}

use alloc::{string::String, sync::Arc, vec::Vec};
use bindings::exports::softfuse::breaker::breaker as wit;
use breakers::Breakers;
use core::cell::RefCell;
use slab::Slab;
use softfuse_core::{Breaker, LeasedBatch, Permit, Policy};

/// Most policies at once.
const POLICIES_MAX: u32 = 1 << 20;

struct Component;

/// What the instance holds.
struct Instance {
    policies: RefCell<Slab<Arc<Policy>>>,
    breakers: RefCell<Breakers>,
}

// SAFETY: the target has no threads: an instance is entered by one at a time.
unsafe impl Sync for Instance {}

static INSTANCE: Instance = Instance { policies: RefCell::new(Slab::new()), breakers: RefCell::new(Breakers::new()) };

/// A handle for a policy; the bound, where there are too many.
fn keep_policy(policy: Arc<Policy>) -> Result<u32, u32> {
    let mut policies = INSTANCE.policies.borrow_mut();
    if policies.len() >= POLICIES_MAX as usize {
        return Err(POLICIES_MAX);
    }
    // A key is below the most policies that there ever were at once, and that is a u32.
    Ok(policies.insert(policy) as u32)
}

/// Does something with a breaker; none where there is no such breaker.
fn with<R>(breaker: wit::BreakerId, act: impl FnOnce(&mut Breaker) -> R) -> Option<R> {
    INSTANCE.breakers.borrow_mut().get_mut(breaker).map(act)
}

fn policy(id: wit::PolicyId) -> Option<Arc<Policy>> {
    INSTANCE.policies.borrow().get(id as usize).cloned()
}

fn record(
    breaker: wit::BreakerId,
    permit: wit::Permit,
    outcome: wit::Outcome,
    verdicts: &[Option<String>],
    now: wit::Nanos,
) -> Result<wit::Settlement, wit::RecordError> {
    let outcome = convert::outcome(outcome, verdicts);
    with(breaker, |breaker| {
        let settled = breaker.record_outcome(Permit::from_bits(permit), &outcome, now);
        settled.map(convert::settlement).map_err(convert::record_error)
    })
    .unwrap_or(Err(wit::RecordError::UnknownBreaker))
}

impl wit::Guest for Component {
    fn load_policy(text: String) -> Result<wit::PolicyInfo, Vec<wit::PolicyProblem>> {
        let policy =
            Policy::parse(&text).map_err(|problems| problems.into_iter().map(convert::problem).collect::<Vec<_>>())?;
        let policy = Arc::new(policy);
        let id = keep_policy(policy.clone()).map_err(|most| {
            let message = alloc::format!("{most} policies are loaded, and no more can be: drop some");
            alloc::vec![wit::PolicyProblem { line: 1, column: 1, key: String::new(), message, nearest: None }]
        })?;
        Ok(convert::policy_info(id, &policy))
    }

    fn drop_policy(policy: wit::PolicyId) {
        INSTANCE.policies.borrow_mut().try_remove(policy as usize);
    }

    fn create(
        policy_id: wit::PolicyId,
        name: String,
        salt: u64,
        now: wit::Nanos,
    ) -> Result<wit::BreakerId, wit::CreateError> {
        let policy = policy(policy_id).ok_or(wit::CreateError::UnknownPolicy)?;
        let breaker = Breaker::new(policy, &name, salt, now);
        INSTANCE.breakers.borrow_mut().keep(breaker).map_err(wit::CreateError::TooMany)
    }

    fn drop_breaker(breaker: wit::BreakerId) {
        INSTANCE.breakers.borrow_mut().remove(breaker);
    }

    fn before_call(breaker: wit::BreakerId, now: wit::Nanos) -> Result<wit::Admission, wit::Refusal> {
        with(breaker, |breaker| match breaker.before_call(now) {
            Ok(admission) => {
                Ok(wit::Admission { permit: admission.permit.bits(), event: admission.event.map(convert::event) })
            }
            Err(rejection) => Err(wit::Refusal::Rejected(convert::rejection(rejection))),
        })
        .unwrap_or(Err(wit::Refusal::UnknownBreaker))
    }

    fn record_outcome(
        breaker: wit::BreakerId,
        permit: wit::Permit,
        outcome: wit::Outcome,
        now: wit::Nanos,
    ) -> Result<wit::Settlement, wit::RecordError> {
        record(breaker, permit, outcome, &[], now)
    }

    fn record_judged_outcome(
        breaker: wit::BreakerId,
        permit: wit::Permit,
        outcome: wit::Outcome,
        verdicts: Vec<Option<String>>,
        now: wit::Nanos,
    ) -> Result<wit::Settlement, wit::RecordError> {
        record(breaker, permit, outcome, &verdicts, now)
    }

    fn report_quality(
        breaker: wit::BreakerId,
        permit: wit::Permit,
        report: wit::QualityReport,
        now: wit::Nanos,
    ) -> Result<wit::Settlement, wit::RecordError> {
        with(breaker, |breaker| {
            let settled = breaker.report_quality(Permit::from_bits(permit), convert::report(report), now);
            settled.map(convert::settlement).map_err(convert::record_error)
        })
        .unwrap_or(Err(wit::RecordError::UnknownBreaker))
    }

    fn permit_standing(breaker: wit::BreakerId, permit: wit::Permit, now: wit::Nanos) -> wit::Standing {
        with(breaker, |breaker| convert::standing(breaker.permit_standing(Permit::from_bits(permit), now)))
            .unwrap_or(wit::Standing::Unknown)
    }

    fn would_refuse(breaker: wit::BreakerId, now: wit::Nanos) -> Option<wit::Rejection> {
        with(breaker, |breaker| breaker.would_refuse(now).map(convert::rejection)).flatten()
    }

    fn status(breaker: wit::BreakerId, now: wit::Nanos) -> Option<wit::CircuitStatus> {
        with(breaker, |breaker| convert::status(breaker.status(now)))
    }

    fn reset(breaker: wit::BreakerId, now: wit::Nanos) -> Option<wit::Event> {
        with(breaker, |breaker| convert::event(breaker.reset(now)))
    }

    fn set_operator_state(breaker: wit::BreakerId, state: wit::OperatorState, now: wit::Nanos) -> Option<wit::Event> {
        with(breaker, |breaker| breaker.set_operator_state(convert::operator_state(state), now).map(convert::event))
            .flatten()
    }

    fn trip(
        breaker: wit::BreakerId,
        reason: String,
        open_for: Option<wit::Nanos>,
        now: wit::Nanos,
    ) -> Option<wit::Event> {
        with(breaker, |breaker| breaker.trip(reason, open_for, now).map(convert::event)).flatten()
    }

    fn snapshot(breaker: wit::BreakerId, now: wit::Nanos) -> Option<Vec<u8>> {
        with(breaker, |breaker| breaker.snapshot(now))
    }

    fn restore(
        policy_id: wit::PolicyId,
        snapshot: Vec<u8>,
        now: wit::Nanos,
        away: wit::Nanos,
    ) -> Result<wit::BreakerId, wit::RestoreError> {
        let policy = policy(policy_id).ok_or(wit::RestoreError::UnknownPolicy)?;
        let breaker = Breaker::restore(policy, &snapshot, now, away).map_err(convert::restore_error)?;
        INSTANCE.breakers.borrow_mut().keep(breaker).map_err(wit::RestoreError::TooMany)
    }

    fn grant_lease(breaker: wit::BreakerId, now: wit::Nanos) -> Option<wit::Lease> {
        with(breaker, |breaker| leased::lease(breaker.grant_lease(now)))
    }

    fn record_leased(
        breaker: wit::BreakerId,
        permit: wit::Permit,
        successes: u32,
        refused: u64,
        now: wit::Nanos,
        renew: bool,
    ) -> Result<wit::LeasedSettlement, wit::LeasedError> {
        let batch = LeasedBatch { successes, refused, ..LeasedBatch::default() };
        with(breaker, |breaker| leased::record(breaker, permit, batch, now, renew))
            .unwrap_or(Err(wit::LeasedError::UnknownBreaker))
    }

    fn record_leased_details(
        breaker: wit::BreakerId,
        permit: wit::Permit,
        successes: u32,
        settled_at: Vec<wit::Nanos>,
        latencies: Vec<wit::Nanos>,
        scores: Vec<wit::QuantisedScore>,
        refused: u64,
        now: wit::Nanos,
        renew: bool,
    ) -> Result<wit::LeasedSettlement, wit::LeasedError> {
        let scores = leased::scores(scores)?;
        let batch = LeasedBatch { successes, settled_at: &settled_at, latencies: &latencies, scores: &scores, refused };
        with(breaker, |breaker| leased::record(breaker, permit, batch, now, renew))
            .unwrap_or(Err(wit::LeasedError::UnknownBreaker))
    }
}

bindings::export!(Component with_types_in bindings);
