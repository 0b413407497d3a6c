//! The metrics on a recorded trace of a small model that is healthy, degrades, and recovers.

use softfuse_scorer_logprobs::LogprobsScorer;

#[path = "../../common/tests/trace/mod.rs"]
mod trace;

#[test]
fn every_metric_tells_the_phases_apart() {
    // The bars hold with room; a mean over a phase says little of a single answer, which the windows are for.
    for (metric, healthy_min, degraded_max) in [
        ("mean_confidence", 0.6, 0.2),
        ("worst_token", 0.3, 0.1),
        ("perplexity", 0.8, 0.4),
        ("margin", 0.5, 0.4),
        ("entropy", 0.5, 0.45),
    ] {
        let scores = trace::scores::<LogprobsScorer>(&format!("metric = \"{metric}\""));
        let means = trace::means(metric, &scores);
        assert!(means["healthy"] > healthy_min && means["recovered"] > healthy_min, "{metric}: {means:?}");
        assert!(means["degraded"] < degraded_max, "{metric}: {means:?}");
    }
}

#[test]
fn mean_confidence_agrees_with_the_traces_own_figures() {
    // From the table beside the trace, which another program has computed.
    let means = trace::means("mean_confidence", &trace::scores::<LogprobsScorer>(""));
    for (phase, mean) in [("healthy", 0.7336), ("degraded", 0.0741), ("recovered", 0.7213)] {
        assert!((means[phase] - mean).abs() < 0.0005, "{phase}: {} and not {mean}", means[phase]);
    }
}

#[test]
fn a_window_of_twenty_tells_the_phases_apart() {
    let scores = trace::scores::<LogprobsScorer>("");
    for window in scores.windows(20) {
        let mean = window.iter().map(|(_, score)| score).sum::<f64>() / 20.0;
        if window.iter().all(|(phase, _)| phase == "degraded") {
            assert!(mean < 0.3, "{mean}");
        } else if window.iter().all(|(phase, _)| phase != "degraded") {
            assert!(mean > 0.5, "{mean}");
        }
    }
}
