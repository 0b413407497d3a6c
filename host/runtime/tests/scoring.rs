//! Scorers at work: built in and of one's own, inline and beside the call, whole answers and streams.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{POOR_QUALITY, engine, scorer};
use softfuse::{
    Body, Breaker, Builtin, Effect, Exchange, ExchangeHead, Outcome, ScoreOutcome, Scorer, ScorerFailure,
    ScorerSettings, Scoring, ScoringSettings, State,
};

fn own(bytes: &[u8], settings: ScorerSettings) -> Scorer {
    Scorer::from_bytes(&engine(), "own", bytes, settings).unwrap()
}

fn exchange(answer: &str) -> Exchange {
    Exchange::of_answer("text/plain", answer)
}

fn number(outcome: &ScoreOutcome) -> f64 {
    outcome.score().unwrap_or_else(|| panic!("{outcome:?}")).get()
}

/// A score of a thousandth per byte of the answer.
const BY_LENGTH: &str = "(call $scored (f64.div (f64.convert_i32_u (local.get $answer_length)) (f64.const 1000)))";

/// Waits until the breaker has seen so many scores or trips.
fn until(breaker: &Breaker, done: impl Fn(&Breaker) -> bool) {
    let started = std::time::Instant::now();
    while !done(breaker) {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", breaker.status());
        std::thread::yield_now();
    }
}

#[test]
fn a_built_in_scorer_tells_good_from_bad() {
    let scorer = Scorer::builtin(&engine(), Builtin::Text, ScorerSettings::default()).unwrap();
    assert_eq!(scorer.imports(), Vec::<String>::new());
    let good = number(&scorer.score(&exchange("The capital of France is Paris, on the river Seine.")));
    let empty = number(&scorer.score(&exchange("")));
    assert!(good > 0.7 && empty < 0.3, "{good} {empty}");
}

#[test]
fn instances_are_reused_or_fresh() {
    // Counts in a global: an instance that is reused counts on.
    let more = "(global $count (mut f64) (f64.const 0))";
    let score = "(global.set $count (f64.add (global.get $count) (f64.const 1))) (call $scored (global.get $count))";
    let bytes = common::scorer_with(more, score);
    let reused = own(&bytes, ScorerSettings::default());
    let fresh = own(&bytes, ScorerSettings { fresh: true, ..ScorerSettings::default() });
    let twice = |scorer: &Scorer| [(); 2].map(|()| number(&scorer.score(&exchange(""))));
    assert_eq!((twice(&reused), twice(&fresh)), ([1.0, 2.0], [1.0, 1.0]));
}

#[test]
fn an_abstention_is_no_failure() {
    let scorer = own(
        &scorer("(i32.store8 (i32.const 0) (i32.const 120)) (call $abstained (i32.const 0) (i32.const 1))"),
        ScorerSettings::default(),
    );
    assert_eq!(scorer.score(&exchange("")), ScoreOutcome::Abstained("x".to_owned()));
}

#[test]
fn threads_beyond_the_instances_wait_or_are_told() {
    let slow = own(
        &scorer("(loop $ever (br $ever)) unreachable"),
        ScorerSettings { deadline: Duration::from_millis(300), instances_max: 1, ..ScorerSettings::default() },
    );
    let outcomes: Vec<ScoreOutcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| slow.score(&exchange("")))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|outcome| matches!(
        outcome,
        ScoreOutcome::Failed(ScorerFailure::DeadlineExceeded(_) | ScorerFailure::Busy(_))
    )));
    let fast = own(&scorer(BY_LENGTH), ScorerSettings { instances_max: 2, ..ScorerSettings::default() });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(number(&fast.score(&exchange("ab"))), 0.002)));
        }
    });
}

#[test]
fn scores_beside_the_call_come_late_and_trip() {
    let (_, _, breaker) = common::breaker(POOR_QUALITY);
    let scoring =
        Scoring::start(own(&scorer(BY_LENGTH), ScorerSettings::default()), ScoringSettings::default()).unwrap();
    let guard = breaker.guard::<&str, ()>().scored_by(&scoring, |answer| Some(exchange(answer)));
    for _ in 0..2 {
        assert_eq!(guard.call(|_| Ok("short")), Ok("short"));
    }
    until(&breaker, |breaker| breaker.state() == State::Open);
    let reason = breaker.would_refuse().unwrap().reason.unwrap();
    assert!(reason.contains("0.005"), "{reason}");
}

#[test]
fn a_report_of_the_call_itself_wins() {
    let (_, _, breaker) = common::breaker(POOR_QUALITY);
    let scoring =
        Scoring::start(own(&scorer(BY_LENGTH), ScorerSettings::default()), ScoringSettings::default()).unwrap();
    for inline in [true, false] {
        let guard = breaker.guard::<&str, ()>().scored_by(&scoring, |answer| Some(exchange(answer)));
        let guard = if inline { guard.score_before_answer() } else { guard };
        let answer = guard.call(|permit| {
            permit.report_quality(0.9).unwrap();
            Ok("short")
        });
        assert_eq!((answer, scoring.waiting()), (Ok("short"), 0));
    }
    assert_eq!(breaker.status().unwrap().conditions[0].value, Some(0.9));
}

#[tokio::test]
async fn an_asynchronous_call_may_wait_for_its_score() {
    let (_, _, breaker) = common::breaker(POOR_QUALITY);
    let scoring =
        Scoring::start(own(&scorer(BY_LENGTH), ScorerSettings::default()), ScoringSettings::default()).unwrap();
    let guard = breaker
        .guard::<String, ()>()
        .scored_by(&scoring, |answer| Some(exchange(answer)))
        .score_before_answer()
        .replace_below(softfuse::Score::new(0.01).unwrap())
        .fallback_value("fallback".to_owned());
    assert_eq!(guard.call_async(|_| async { Ok("x".repeat(900)) }).await, Ok("x".repeat(900)));
    assert_eq!(guard.call_async(|_| async { Ok("bad".to_owned()) }).await, Ok("fallback".to_owned()));
    assert_eq!(breaker.status().unwrap().conditions[0].filled, 2);
}

#[test]
fn a_policy_without_scores_has_none_made() {
    let (_, _, breaker) = common::breaker(common::TWO_FAILURES);
    let scoring =
        Scoring::start(own(&scorer(BY_LENGTH), ScorerSettings::default()), ScoringSettings::default()).unwrap();
    let guard = breaker.guard::<&str, ()>().scored_by(&scoring, |_| panic!("not asked for"));
    assert_eq!(guard.call(|_| Ok("own")), Ok("own"));
}

#[test]
fn a_full_queue_drops_and_counts() {
    let (registry, _, breaker) = common::breaker(
        "require_quality_signal = true\ntrip_on = { quality_below = { threshold = 0.5, window = 100 } }",
    );
    let slow = ScorerSettings { deadline: Duration::from_millis(200), ..ScorerSettings::default() };
    let loops = own(&scorer("(loop $ever (br $ever)) unreachable"), slow);
    let scoring = Scoring::start(loops, ScoringSettings { queue_max: 2, ..ScoringSettings::default() }).unwrap();
    let guard = breaker.guard::<&str, ()>().scored_by(&scoring, |answer| Some(exchange(answer)));
    for _ in 0..10 {
        assert_eq!(guard.call(|_| Ok("own")), Ok("own"));
    }
    // Dropped or failed, each is a missing score in the end.
    until(&breaker, |breaker| breaker.status().unwrap().conditions[0].filled == 10);
    let metrics = registry.metrics_text();
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("softfuse_scorer_dropped_total{breaker=\"llm\",scorer=\"own\"} "))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(dropped.parse::<u32>().unwrap() >= 5, "{dropped}");
}

#[test]
fn what_waits_too_long_or_is_left_behind_is_missing() {
    let (_, _, breaker) = common::breaker(
        "require_quality_signal = true\ntrip_on = { quality_below = { threshold = 0.5, window = 100 } }",
    );
    let settings = ScoringSettings { wait_max: Duration::ZERO, ..ScoringSettings::default() };
    let scoring = Scoring::start(own(&scorer(BY_LENGTH), ScorerSettings::default()), settings).unwrap();
    let settled = breaker.permit().unwrap().settle(Outcome::success().with_pending_score());
    assert_eq!(settled.effect, Effect::Recorded);
    assert!(scoring.submit(settled.late, exchange("x")));
    drop(scoring);
    until(&breaker, |breaker| breaker.status().unwrap().conditions[0].filled == 1);
    assert_eq!(breaker.status().unwrap().conditions[0].value, Some(0.0));
}

#[test]
fn answers_are_cut_at_their_bound() {
    let (_, _, breaker) = common::breaker(POOR_QUALITY);
    // The score is a tenth if the answer was cut, plus its length.
    let score = "(call $scored (f64.add (f64.convert_i32_u (local.get $answer_length)) (f64.div (f64.convert_i32_u (local.get $truncated)) (f64.const 10))))";
    let settings = ScoringSettings { answer_bytes_max: 4, ..ScoringSettings::default() };
    let scoring = Scoring::start(own(&scorer(score), ScorerSettings::default()), settings).unwrap();
    let guard = breaker.guard::<&str, ()>().scored_by(&scoring, |answer| Some(exchange(answer))).score_before_answer();
    guard.call(|_| Ok("four")).unwrap();
    assert_eq!(breaker.status().unwrap().conditions[0].value, Some(4.0));
    guard.call(|_| Ok("fiver")).unwrap();
    assert_eq!(breaker.status().unwrap().conditions[0].value, Some(4.05));
    assert_eq!(
        Body::cut("", b"12345", 3),
        Body { content_type: String::new(), bytes: b"123".to_vec(), truncated: true }
    );
}

#[test]
fn a_scorer_that_takes_streams_sees_them_pass() {
    let scorer = own(&common::streaming_scorer(), ScorerSettings { instances_max: 1, ..ScorerSettings::default() });
    assert!(scorer.is_streaming());
    let begin = || scorer.stream(ExchangeHead::default(), "text/plain");
    let mut stream = begin();
    assert_eq!(stream.push(b"ab"), None);
    assert_eq!(stream.push(b"cde"), None);
    assert_eq!(number(&stream.finish(true)), 5.0);
    // Broken off.
    let mut stream = begin();
    assert_eq!(stream.push(b"ab"), None);
    assert_eq!(number(&stream.finish(false)), 0.0);
    // A verdict before the end.
    let mut stream = begin();
    assert_eq!(stream.push(b"!").map(number), Some(0.0));
    assert_eq!(stream.push(b"more").map(number), Some(0.0));
    assert_eq!(number(&stream.finish(true)), 0.0);
    // A trap: the instance is replaced.
    let mut stream = begin();
    assert!(matches!(stream.push(b"?"), Some(ScoreOutcome::Failed(ScorerFailure::Trapped(_)))));
    drop(stream);
    // One that is dropped gives its instance back.
    drop(begin());
    assert_eq!(number(&scorer.score(&exchange("whole"))), 7.0);
}

#[test]
fn a_scorer_that_takes_none_sees_them_collected() {
    let settings = ScorerSettings { answer_bytes_max: 6, ..ScorerSettings::default() };
    let scorer = own(&scorer(BY_LENGTH), settings);
    assert!(!scorer.is_streaming());
    for (pieces, expected) in [(&["ab", "cd"][..], 0.004), (&["abcd", "efgh"][..], 0.006)] {
        let mut stream = scorer.stream(ExchangeHead::default(), "text/plain");
        for piece in pieces {
            assert_eq!(stream.push(piece.as_bytes()), None);
        }
        assert_eq!(number(&stream.finish(true)), expected);
    }
}

#[tokio::test]
async fn an_answered_call_counts_though_nobody_waits_for_its_score() {
    let (_, _, breaker) = common::breaker(POOR_QUALITY);
    let settings = ScorerSettings { deadline: Duration::from_secs(2), ..ScorerSettings::default() };
    let endless = own(&scorer("(loop $ever (br $ever)) unreachable"), settings);
    let scoring = Scoring::start(endless, ScoringSettings::default()).unwrap();
    let guard =
        breaker.guard::<String, ()>().scored_by(&scoring, |answer| Some(exchange(answer))).score_before_answer();
    let call = guard.call_async(|_| async { Ok("an answer".to_owned()) });
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err(), "the score never comes");
    let totals = breaker.status().unwrap().totals;
    assert_eq!((totals.successes, totals.neutral), (1, 0));
}

#[test]
fn hooks_that_panic_cost_no_answer() {
    let (_, _, breaker) = common::breaker(POOR_QUALITY);
    let scoring =
        Scoring::start(own(&scorer(BY_LENGTH), ScorerSettings::default()), ScoringSettings::default()).unwrap();
    let guard = breaker
        .guard::<String, ()>()
        .classify(|_| panic!("a hook of the user's"))
        .scored_by(&scoring, |_| panic!("another"));
    assert_eq!(guard.call(|_| Ok("an answer".to_owned())), Ok("an answer".to_owned()));
    let totals = breaker.status().unwrap().totals;
    assert_eq!((totals.successes, totals.failures), (1, 0));
}

#[test]
fn no_deadline_is_an_hour() {
    let settings =
        ScorerSettings { deadline: Duration::MAX, start_deadline: Duration::MAX, ..ScorerSettings::default() };
    let patient = own(&scorer(BY_LENGTH), settings);
    assert_eq!(patient.settings().deadline, Duration::from_secs(3600));
    assert!((number(&patient.score(&exchange("four"))) - 0.004).abs() < 1e-9);
}
