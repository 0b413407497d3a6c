//! What HTTP statuses count as, by the vectors that every host runs.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;

use serde::Deserialize;
use softfuse_outcome::OutcomeKind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    status: Vec<Status>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    name: String,
    from: u16,
    to: Option<u16>,
    kind: String,
}

#[test]
fn every_status_counts_as_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/http/statuses.toml");
    let file: File = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut next = 0;
    for Status { name, from, to, kind } in file.status {
        assert_eq!(from, next, "{name}: the statuses go on one after another");
        for status in from..=to.unwrap_or(from) {
            assert_eq!(OutcomeKind::from_http_status(status).as_str(), kind, "{status}: {name}");
            next = status + 1;
        }
    }
    assert_eq!(next, 1000, "every status up to 999 is named");
}

#[test]
fn beyond_what_three_digits_can_say_it_is_an_error() {
    assert_eq!(OutcomeKind::from_http_status(u16::MAX), OutcomeKind::Error);
}

#[test]
fn a_kind_counts_for_the_service_against_it_or_neither() {
    for kind in OutcomeKind::ALL {
        let sides = [kind == OutcomeKind::Success, kind.is_failure(), kind.is_neutral()];
        assert_eq!(sides.into_iter().filter(|side| *side).count(), 1, "{kind}");
    }
}
