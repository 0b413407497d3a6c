//! The checks on a recorded trace of a small model that is healthy, degrades, and recovers.

use softfuse_scorer_text::TextScorer;

#[path = "../../common/tests/trace/mod.rs"]
mod trace;

#[test]
fn a_healthy_model_keeps_its_score_and_a_degraded_one_loses_it() {
    let means = trace::means("text", &trace::scores::<TextScorer>(""));
    assert!(means["healthy"] > 0.95 && means["recovered"] > 0.95, "{means:?}");
    assert!(means["degraded"] < 0.8, "{means:?}");
}
