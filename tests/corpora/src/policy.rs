//! The target `policy`: any text is a policy or a list of problems that lie within it.

use crate::drive::{Bounds, Driver};
use crate::ops::{Ending, EntryIn, Number, Op, SignalIn, Span, Which};
use softfuse_core::policy::{POLICY_BYTES_MAX, PROBES_MAX};
use softfuse_core::{Breaker, Policy, Problem};

/// What a text turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Not UTF-8: no host can hand it in.
    NotText,
    /// A policy.
    Policy,
    /// So many problems.
    Problems(usize),
}

/// Checks one text.
///
/// # Panics
/// Where something doesn't hold.
pub fn run(bytes: &[u8]) -> Reached {
    let Ok(text) = std::str::from_utf8(bytes) else { return Reached::NotText };
    let parsed = Policy::parse(text);
    assert_eq!(parsed, Policy::parse(text), "parsing twice differs");
    match parsed {
        Ok(policy) => {
            check_fingerprint(text, &policy);
            drive(policy);
            Reached::Policy
        }
        Err(problems) => {
            check_problems(text, &problems);
            Reached::Problems(problems.len())
        }
    }
}

/// A comment changes neither a policy nor its fingerprint; one setting more changes both.
fn check_fingerprint(text: &str, policy: &Policy) {
    let commented = format!("# why\n{text}\n# why not\n");
    if commented.len() > POLICY_BYTES_MAX {
        return;
    }
    let again = Policy::parse(&commented).unwrap_or_else(|problems| panic!("a comment made it bad: {problems:?}"));
    assert_eq!(again.fingerprint(), policy.fingerprint(), "a comment changed the fingerprint");
    assert_eq!(again, *policy, "a comment changed the policy");
    // The key may be there already, or the text may end within a table: then this is no policy.
    if let Ok(other) = Policy::parse(&format!("retry_after_max = \"1d 3h 7s\"\n{text}")) {
        assert_eq!(other == *policy, other.fingerprint() == policy.fingerprint(), "fingerprints tell policies apart");
    }
}

fn check_problems(text: &str, problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused without a problem");
    // The lines as the positions count them: a newline ends one, and the last has none.
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in problems {
        let shown = problem.to_string();
        assert!(!problem.message.is_empty(), "a problem without a message: {shown}");
        let line = (problem.line as usize).checked_sub(1).and_then(|line| lines.get(line));
        let line = line.unwrap_or_else(|| panic!("the text has {} lines: {shown}", lines.len()));
        // One past the last character is where something is missing.
        let columns = 1..=line.chars().count() + 1;
        assert!(columns.contains(&(problem.column as usize)), "the line has the columns {columns:?}: {shown}");
        assert_ne!(problem.nearest.as_deref(), Some(""), "the nearest key has no name: {shown}");
    }
    let in_order = problems.is_sorted_by_key(|problem| (problem.line, problem.column));
    assert!(in_order, "the problems are out of order: {problems:#?}");
}

/// A breaker of the policy takes calls that end in every way, a trip, probes, a lease and a restore.
fn drive(policy: Policy) {
    let bounds = Bounds { probes_max: PROBES_MAX, passes_needed: PROBES_MAX };
    let mut driver = Driver::new(Breaker::new(policy.into(), "fuzz", 1, 0), bounds);
    for op in steps() {
        driver.step(&op);
    }
}

fn steps() -> Vec<Op> {
    let call = |kind: u8, millis: u8, share: u8| {
        Op::Calls(3, Ending::new(kind, Span::Millis(millis), SignalIn::Score(Number::Share(share))))
    };
    let unscored = Op::Calls(2, Ending::new(0, Span::Most, SignalIn::None));
    let entries =
        (0..8).map(|tenth| EntryIn::Success(Span::Millis(tenth), Some(i64::from(tenth) * 100_000_000), false));
    let probing = [Op::Trip(Some(Span::Seconds(1))), Op::Advance(Span::Seconds(1)), call(0, 1, 255), call(1, 200, 0)];
    [
        call(0, 1, 255),
        Op::Lease,
        Op::Batch(Which::Newest, Span::Millis(1), 1, entries.collect()),
        call(1, 30, 20),
        unscored,
    ]
    .into_iter()
    .chain((0..12).map(|kind| call(kind, 10, 120)))
    .chain(probing)
    .chain([Op::Reincarnate(9), Op::Advance(Span::Most), Op::Before, Op::Reset])
    .collect()
}
