//! What a lane holds, and in which order late scores come.

use softfuse_trace::LATE_SCORES_MAX;

use super::*;
use crate::host;

const THREE: &str = "[trip_on]\nconsecutive_failures = 3\n";

fn lane(policy: &str) -> Lane {
    let registry = host::registry(None).unwrap();
    let policy = registry.policy("p.toml", policy).unwrap();
    Lane::new(&registry, &Failures::of(&registry), "test", &policy, 0).unwrap()
}

fn call(line: u64, at: i64, late_scores: Vec<LateScore>) -> Call {
    Call {
        line,
        at,
        latency: 1_000_000_000,
        kind: softfuse_trace::OutcomeKind::Success,
        score: None,
        late_scores,
        retry_after: None,
        verdicts: Vec::new(),
    }
}

/// However the bytes are spread, over late scores here, and whether they are due while calls begin or after the last.
#[test]
fn what_is_under_way_is_bounded_by_bytes() {
    let mut lane = lane(THREE);
    let late: Vec<LateScore> = (0..LATE_SCORES_MAX as u64).map(|after| LateScore { after, score: 0.9 }).collect();
    let least = UNDER_WAY_BYTES_MAX / (LATE_SCORES_MAX * size_of::<LateScore>());
    let refused = (0..20_000).find_map(|index| {
        let begun = lane.begin(&call(index + 1, index as i64, late.clone()));
        assert!(lane.bytes <= UNDER_WAY_BYTES_MAX);
        begun.err().map(|error| (index as usize, error.to_string()))
    });
    let (begun, said) = refused.unwrap();
    assert!((least * 9 / 10..=least).contains(&begun), "{begun} of {least}");
    assert!(said.starts_with(&format!("line {}: ", begun + 1)) && said.contains("256 MiB"), "{said}");
}

/// One thing that is due stands for all late scores of a call.
#[test]
fn late_scores_take_no_more_than_their_calls() {
    let mut lane = lane("[trip_on]\nquality_below = { threshold = 0.5, window = 1000 }\n");
    let late = vec![LateScore { after: 1 << 40, score: 0.9 }; 100];
    for index in 0..100 {
        lane.begin(&call(index + 1, index as i64 * 2_000_000_000, late.clone())).unwrap();
    }
    assert_eq!(lane.due.len(), 100);
    lane.finish().unwrap();
    assert_eq!((lane.due.len(), lane.bytes), (0, 0));
    assert_eq!(lane.status().unwrap().conditions[0].filled, 1000);
}

/// By their times, and at one time in the line's order: the trip comes with the one that makes it.
#[test]
fn late_scores_come_in_their_order() {
    let policy = "[trip_on]\nquality_below = { threshold = 0.5, window = 2 }\n";
    let score = |after, score| LateScore { after, score };
    for (scores, trips) in [
        (vec![score(30, 0.1), score(10, 0.9), score(20, 0.6)], vec!["0.35"]),
        (vec![score(10, 0.2), score(10, 0.9), score(10, 0.2)], vec![]),
        (vec![score(10, 0.1), score(10, 0.28), score(10, 0.2)], vec!["0.19"]),
    ] {
        let mut lane = lane(policy);
        lane.begin(&call(1, 0, scores)).unwrap();
        lane.finish().unwrap();
        assert_eq!(lane.tally.trips.len(), trips.len());
        for (trip, mean) in lane.tally.trips.iter().zip(trips) {
            assert!(trip.reason.contains(mean), "{}", trip.reason);
        }
    }
}
