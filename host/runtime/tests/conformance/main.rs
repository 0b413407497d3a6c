//! The native core, the component called eagerly, and the component behind the Rust host: the same vectors, and the same
//! decisions, reasons and statuses on random histories.

mod component;
mod host;

use component::Instance;
use host::Host;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use softfuse_core::Policy;
use softfuse_testkit::history::{history, run};
use softfuse_testkit::policies::{load_bad, policy};
use softfuse_testkit::vectors::load;
use softfuse_testkit::{CoreSubject, Disciplined};
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

/// Histories that each pair is compared on.
const HISTORIES: u32 = 100_000;
const OPS_MAX: usize = 60;
/// Conditions of the host's own in random policies: `h0` and `h1`.
const HOST_CONDITIONS: usize = 2;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

fn core(text: &str) -> CoreSubject {
    CoreSubject::new(Arc::new(Policy::parse(text).expect("a good policy")))
}

#[test]
fn the_component_runs_every_vector() {
    let mut instance = Instance::new();
    let failures: Vec<String> = load(&folder())
        .expect("the vectors load")
        .iter()
        .filter(|vector| !vector.is_hosts_own())
        .filter_map(|vector| vector.run(&mut instance.breaker(&vector.policy)).err())
        .map(|error| format!("{error:#}"))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    for bad in load_bad(&folder()).expect("the vectors load") {
        bad.check(&instance.problems(&bad.text)).expect("the same problems");
    }
}

#[test]
fn the_host_runs_every_vector_leased_and_eager() {
    for leased in [true, false] {
        let registry = host::registry(leased);
        let failures: Vec<String> = load(&folder())
            .expect("the vectors load")
            .iter()
            .filter(|vector| !vector.is_raw())
            .filter_map(|vector| vector.run(&mut Host::new(&registry, &vector.policy)).err())
            .map(|error| format!("{error:#}"))
            .collect();
        assert!(failures.is_empty(), "leased: {leased}: {}", failures.join("\n\n"));
        for bad in load_bad(&folder()).expect("the vectors load") {
            bad.check(&host::problems(&registry, &bad.text)).expect("the same problems");
        }
    }
}

/// Counts what was compared, since histories that never trip prove nothing.
#[derive(Default)]
struct Compared {
    answers: usize,
    trips: usize,
    tripped: u32,
}

impl Compared {
    fn add(&mut self, observed: &softfuse_testkit::history::Observed) {
        self.answers += observed.answers.len();
        self.trips += observed.trips();
        self.tripped += u32::from(observed.trips() > 0);
    }

    fn report(&self, of: &str) {
        let Self { answers, trips, tripped } = self;
        println!("{of}: {HISTORIES} histories, {answers} answers equal, {trips} trips in {tripped} of them");
        assert!(*tripped > HISTORIES / 10, "histories that never trip prove nothing");
    }
}

fn compare(
    of: &str,
    test: impl Fn(&str, usize, &[softfuse_testkit::history::Op], &mut Compared) -> Result<(), TestCaseError>,
) {
    let compared = RefCell::new(Compared::default());
    let histories = prop_oneof![3 => Just(0), 1 => Just(HOST_CONDITIONS)]
        .prop_flat_map(|conditions| (policy(conditions > 0), history(OPS_MAX, conditions)));
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&histories, |(text, ops)| {
        let named = Policy::parse(&text).map_err(|problems| TestCaseError::fail(format!("{problems:?}")))?;
        test(&text, named.host_conditions().len(), &ops, &mut compared.borrow_mut())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    compared.borrow().report(of);
}

#[test]
fn the_component_decides_as_the_core() {
    let instance = RefCell::new(Instance::new());
    compare("the component", |text, _, ops, compared| {
        let expected = run(ops, &mut core(text));
        let found = run(ops, &mut instance.borrow_mut().breaker(text));
        prop_assert_eq!(&expected, &found, "{}", text);
        compared.add(&expected);
        Ok(())
    });
}

/// Under leases, and one history in four without.
#[test]
fn the_host_decides_as_the_core() {
    let (leased, eager) = (host::registry(true), host::registry(false));
    compare("the host", |text, conditions, ops, compared| {
        let expected = run(ops, &mut Disciplined::new(core(text), conditions));
        let registry = if ops.len() % 4 == 0 { &eager } else { &leased };
        let found = run(ops, &mut Host::new(registry, text));
        prop_assert_eq!(&expected, &found, "{}", text);
        compared.add(&expected);
        Ok(())
    });
}
