//! Scorers at work: built in and of one's own, inline and beside the call, whole answers and streams.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use common::{POOR_QUALITY, engine, scorer};
use softfuse::{
    Body, Breaker, Builtin, Clock, Effect, Exchange, ExchangeHead, Outcome, Registry, ScoreOutcome, Scorer,
    ScorerFailure, ScorerSettings, Scoring, ScoringSettings, State, Time,
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

const ENDLESS: &str = "(loop $ever (br $ever)) unreachable";

const MISSING_COUNTS: &str =
    "require_quality_signal = true\ntrip_on = { quality_below = { threshold = 0.5, window = 1000 } }";

fn filled(breaker: &Breaker) -> u32 {
    breaker.status().unwrap().conditions[0].filled
}

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

/// A fresh instance for each answer, and never more of them than there may be.
#[test]
fn fresh_instances_keep_their_bound() {
    let more = "(global $count (mut f64) (f64.const 0))";
    let score = "(global.set $count (f64.add (global.get $count) (f64.const 1))) (call $scored (global.get $count))";
    let settings = ScorerSettings { fresh: true, instances_max: 1, ..ScorerSettings::default() };
    let fresh = own(&common::scorer_with(more, score), settings);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| assert_eq!(number(&fresh.score(&exchange(""))), 1.0)));
        }
    });
    assert_eq!(fresh.memory_bytes(), 0);
    // One is at work for a stream: there is no second.
    let settings = ScorerSettings {
        fresh: true,
        instances_max: 1,
        deadline: Duration::from_millis(50),
        ..ScorerSettings::default()
    };
    let streaming = own(&common::streaming_scorer(), settings);
    let stream = streaming.stream(ExchangeHead::default(), "");
    assert_eq!(streaming.score(&exchange("")), ScoreOutcome::Failed(ScorerFailure::Busy(Duration::from_millis(50))));
    assert_eq!(number(&stream.finish(true)), 0.0);
    assert_eq!(number(&streaming.score(&exchange(""))), 7.0);
}

/// Adds up what an earlier answer could have left behind: in a global, in memory, in memory that it asked for.
const TRACES: &str = "(local $at i32)
    (local.set $at (i32.mul (i32.sub (memory.size) (i32.const 1)) (i32.const 65536)))
    (global.set $count (f64.add (global.get $count)
      (f64.convert_i32_u (i32.add (memory.size) (i32.add (i32.load (i32.const 60000)) (i32.load (local.get $at)))))))
    (drop (memory.grow (i32.const 3)))
    (i32.store (i32.const 60000) (i32.const 1))
    (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)) (i32.const 1))
    (call $scored (global.get $count))";

/// Instances are made ahead, on another thread, in places that others have left: nothing of them is there.
#[test]
fn an_answer_leaves_no_trace_for_the_next() {
    let bytes = common::scorer_with("(global $count (mut f64) (f64.const 0))", TRACES);
    let engine = engine();
    // The second may have more memory than a place has; of the third there are more than places.
    let settings = |memory_bytes_max, instances_max| ScorerSettings {
        fresh: true,
        memory_bytes_max,
        instances_max,
        ..ScorerSettings::default()
    };
    for settings in [settings(1 << 20, 3), settings(2 << 30, 3), settings(1 << 20, 1000)] {
        let fresh = Scorer::from_bytes(&engine, "it", &bytes, settings).unwrap();
        let first = number(&fresh.score(&exchange("")));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert_eq!(number(&fresh.score(&exchange(""))), first)));
            }
        });
    }
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
    let reason = breaker.would_refuse().unwrap().reason.clone().unwrap();
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

/// A hundred answers wait that take ten seconds together; callers don't wait behind them, nor for each other for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_go_before_what_nobody_waits_for() {
    let (registry, _, breaker) = common::breaker(MISSING_COUNTS);
    let settings = ScorerSettings { deadline: Duration::from_millis(100), ..ScorerSettings::default() };
    let scoring = Scoring::start(own(&scorer(ENDLESS), settings), ScoringSettings::default()).unwrap();
    for _ in 0..100 {
        let settled = breaker.permit().unwrap().settle(Outcome::success().with_pending_score());
        assert!(scoring.submit(settled.late, exchange("nobody waits")));
    }
    let guard =
        breaker.guard::<String, ()>().scored_by(&scoring, |answer| Some(exchange(answer))).score_before_answer();
    let started = Instant::now();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let guard = guard.clone();
            tokio::spawn(async move { guard.call_async(|_| async { Ok("an answer".to_owned()) }).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok("an answer".to_owned()));
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(breaker.status().unwrap().totals.successes, 120);
    // Each waits for a thread as long as the scorer's deadline, so there is no time for all of them.
    let metrics = registry.metrics_text();
    assert!(metrics.contains("scorer=\"own\",reason=\"busy\"}"), "{metrics}");
    // What waits is paid when the scoring ends.
    drop((guard, scoring));
    until(&breaker, |breaker| filled(breaker) == 120);
}

/// Callers who keep coming put off what nobody waits for, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_keep_coming_starve_nobody() {
    let slow = "(local $i i32)
        (loop $busy (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $busy (i32.lt_u (local.get $i) (i32.const 1000000))))
        (call $scored (f64.const 1))";
    let (_, _, breaker) = common::breaker(MISSING_COUNTS);
    let scoring = Scoring::start(own(&scorer(slow), ScorerSettings::default()), ScoringSettings::default()).unwrap();
    let coming = Arc::new(AtomicBool::new(true));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (scoring, coming) = (scoring.clone(), Arc::clone(&coming));
            tokio::spawn(async move {
                while coming.load(Ordering::SeqCst) {
                    scoring.score(exchange("wanted")).await;
                }
            })
        })
        .collect();
    while scoring.waiting() < 8 {
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        let settled = breaker.permit().unwrap().settle(Outcome::success().with_pending_score());
        assert!(scoring.submit(settled.late, exchange("nobody waits")));
    }
    until(&breaker, |breaker| filled(breaker) == 5);
    coming.store(false, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
}

/// What its caller has given up is not scored.
#[tokio::test]
async fn what_nobody_waits_for_any_longer_is_skipped() {
    // An answer of one byte takes its time; every other gets the number of answers so far.
    let more = "(global $count (mut f64) (f64.const 0))";
    let score = "(local $i i32)
        (if (i32.eq (local.get $answer_length) (i32.const 1)) (then
            (loop $busy (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $busy (i32.lt_u (local.get $i) (i32.const 100000000))))))
        (global.set $count (f64.add (global.get $count) (f64.const 1))) (call $scored (global.get $count))";
    let settings = ScorerSettings { deadline: Duration::from_secs(60), ..ScorerSettings::default() };
    let scoring = Scoring::start(own(&common::scorer_with(more, score), settings), ScoringSettings::default()).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut slow = Box::pin(scoring.score(exchange("!")));
    assert!(slow.as_mut().poll(&mut context).is_pending());
    let mut given_up: Vec<_> = (0..50).map(|_| Box::pin(scoring.score(exchange("given up")))).collect();
    for call in &mut given_up {
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    drop(given_up);
    assert_eq!(number(&slow.await), 1.0);
    // On a machine that is busy otherwise the thread may have got to some before they were given up.
    let scored = number(&scoring.score(exchange("wanted")).await);
    assert!(scored < 52.0, "{scored}");
}

/// A clock that panics on the threads that score.
struct Moody;

impl Clock for Moody {
    fn now(&self) -> Time {
        let thread = std::thread::current();
        assert!(!thread.name().is_some_and(|name| name.starts_with("softfuse-scorer")), "a clock of the user's");
        Time::ZERO
    }
}

#[test]
fn a_panic_of_the_hosts_ends_no_thread_and_leaves_no_debt() {
    let registry = Registry::builder().cache(common::cache()).clock(Moody).salt(0).build().unwrap();
    let policy = registry.policy("test", MISSING_COUNTS).unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    for (score, mean) in [(BY_LENGTH, 0.005), ("unreachable", 0.0025)] {
        let before = filled(&breaker);
        let scoring = Scoring::start(own(&scorer(score), ScorerSettings::default()), ScoringSettings::default());
        let guard = breaker.guard::<&str, ()>().scored_by(&scoring.unwrap(), |answer| Some(exchange(answer)));
        for _ in 0..3 {
            assert_eq!(guard.call(|_| Ok("short")), Ok("short"));
        }
        until(&breaker, |breaker| filled(breaker) == before + 3);
        let value = breaker.status().unwrap().conditions[0].value.unwrap();
        assert!((value - mean).abs() < 1e-9, "{value}");
    }
}

fn streaming(instances_max: usize, settings: ScoringSettings) -> Scoring {
    let scorer = own(&common::streaming_scorer(), ScorerSettings { instances_max, ..ScorerSettings::default() });
    Scoring::start(scorer, settings).unwrap()
}

fn head() -> ExchangeHead {
    ExchangeHead::default()
}

/// A gateway's stream, its score in the outcome: the whole of it, one that broke off, one with an early verdict.
async fn a_gateway() {
    let (registry, _, breaker) = common::breaker("trip_on = { quality_below = { threshold = 0.5, window = 100 } }");
    let events = registry.subscribe();
    let scoring = streaming(2, ScoringSettings::default());
    let stream = async |pieces: &[&[u8]], complete| {
        let mut permit = breaker.permit().unwrap();
        let mut stream = scoring.stream_for(permit.reporter(), head(), "text/plain");
        let mut early = None;
        for piece in pieces {
            early = stream.push(piece).await.cloned();
        }
        let outcome = stream.finish(complete).await;
        permit.success();
        (early, outcome)
    };
    let (early, said) = stream(&[b"ab", b"cde"], true).await;
    assert_eq!((early, number(&said), filled(&breaker)), (None, 5.0, 1));
    let (early, said) = stream(&[b"ab"], false).await;
    assert_eq!((early, number(&said), filled(&breaker)), (None, 0.0, 2));
    let (early, said) = stream(&[b"ab", b"!", b"more"], true).await;
    assert_eq!((early.as_ref(), number(&said), filled(&breaker)), (Some(&said), 0.0, 3));
    assert_eq!(events.try_next(), None);
    // A trap: told once, no score, and the next stream has another instance.
    let (early, said) = stream(&[b"?", b"more"], true).await;
    assert!(matches!(&said, ScoreOutcome::Failed(ScorerFailure::Trapped(_))), "{said:?}");
    assert_eq!((early, filled(&breaker)), (Some(said), 3));
    match (events.next_within(Duration::from_secs(60)), events.try_next()) {
        (Some(softfuse::Event::ScorerFailed { scorer, failure, .. }), None) => {
            assert_eq!((&*scorer, failure.as_str()), ("own", "trapped"));
        }
        other => panic!("{other:?}"),
    }
    let counted = "softfuse_scorer_failures_total{breaker=\"llm\",scorer=\"own\",reason=\"trapped\"} 1";
    assert!(registry.metrics_text().contains(counted), "{}", registry.metrics_text());
    assert_eq!(number(&stream(&[b"abc"], true).await.1), 3.0);
}

#[tokio::test]
async fn streams_pass_on_one_thread() {
    a_gateway().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_on_many_threads() {
    let streams: Vec<_> = (0..4).map(|_| tokio::spawn(a_gateway())).collect();
    for stream in streams {
        stream.await.unwrap();
    }
}

/// Piece by piece, at once or through the threads, a built-in scorer says the same.
#[tokio::test]
async fn a_built_in_scorer_takes_streams() {
    let scorer = Scorer::builtin(&engine(), Builtin::Text, ScorerSettings::default()).unwrap();
    let scoring = Scoring::start(scorer.clone(), ScoringSettings::default()).unwrap();
    let pieces = ["The capital of France ", "is Paris, ", "on the river Seine."];
    let (mut passing, mut here) = (scoring.stream(head(), "text/plain"), scorer.stream(head(), "text/plain"));
    for piece in pieces {
        assert_eq!((passing.push(piece.as_bytes()).await, here.push(piece.as_bytes())), (None, None));
    }
    let said = passing.finish(true).await;
    assert!(number(&said) > 0.7, "{said:?}");
    assert_eq!(said, here.finish(true));
}

/// Streams that stand still hold so many instances and no more: further ones are collected, and whole answers are scored.
#[tokio::test]
async fn idle_streams_hold_up_nobody() {
    let scoring = streaming(3, ScoringSettings { streams_max: 9, answer_bytes_max: 4, ..ScoringSettings::default() });
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = scoring.stream(head(), "text/plain");
        assert_eq!(stream.push(b"abcdef").await, None);
        idle.push(stream);
    }
    assert_eq!(number(&scoring.score(exchange("whole")).await), 7.0);
    // The first two have an instance each; of the others the scorer sees the whole.
    for (stream, expected) in idle.into_iter().zip([6.0, 6.0, 7.0, 7.0]) {
        assert_eq!(number(&stream.finish(true).await), expected);
    }
    // One that is dropped gives its instance and its place back.
    let scoring = streaming(2, ScoringSettings::default());
    let mut dropped = scoring.stream(head(), "text/plain");
    assert_eq!(dropped.push(b"abc").await, None);
    drop(dropped);
    let started = Instant::now();
    loop {
        let mut next = scoring.stream(head(), "text/plain");
        assert_eq!(next.push(b"abc").await, None);
        match number(&next.finish(true).await) {
            3.0 => break,
            collected => assert_eq!(collected, 7.0),
        }
        assert!(started.elapsed() < Duration::from_secs(60));
    }
    // A single instance is never a stream's.
    let mut only = streaming(1, ScoringSettings::default()).stream(head(), "text/plain");
    assert_eq!(only.push(b"abc").await, None);
    assert_eq!(number(&only.finish(true).await), 7.0);
}

#[tokio::test]
async fn a_collected_stream_is_cut_and_says_that_it_broke_off() {
    // A thousandth per byte, and a tenth per piece of metadata.
    let score = "(call $scored (f64.add
        (f64.div (f64.convert_i32_u (local.get $answer_length)) (f64.const 1000))
        (f64.div (f64.convert_i32_u (local.get $metadata_length)) (f64.const 10))))";
    let settings = ScoringSettings { answer_bytes_max: 6, ..ScoringSettings::default() };
    let scoring = Scoring::start(own(&scorer(score), ScorerSettings::default()), settings).unwrap();
    for (pieces, complete, expected) in
        [(&["ab", "cd"][..], true, 0.004), (&["abcd", "efgh"][..], true, 0.006), (&["ab"][..], false, 0.102)]
    {
        let mut stream = scoring.stream(head(), "text/plain");
        for piece in pieces {
            assert_eq!(stream.push(piece.as_bytes()).await, None);
        }
        assert!((number(&stream.finish(complete).await) - expected).abs() < 1e-9);
    }
}

/// The score of a stream whose call is over comes late; if the stream is given up, it is missing.
#[tokio::test]
async fn a_streams_score_may_come_late() {
    let (_, _, breaker) = common::breaker(MISSING_COUNTS);
    let mean = || breaker.status().unwrap().conditions[0].value;
    for instances_max in [1, 2] {
        let scoring = streaming(instances_max, ScoringSettings::default());
        let begin = async || {
            let mut permit = breaker.permit().unwrap();
            let mut stream = scoring.stream_for(permit.reporter(), head(), "text/plain");
            assert_eq!(stream.push(b"abc").await, None);
            permit.settle(Outcome::success().with_pending_score());
            stream
        };
        breaker.reset().unwrap();
        let expected = if instances_max == 1 { 7.0 } else { 3.0 };
        assert_eq!(number(&begin().await.finish(true).await), expected);
        assert_eq!((filled(&breaker), mean()), (1, Some(expected)));
        begin().await.finish_later(true);
        until(&breaker, |breaker| filled(breaker) == 2);
        assert_eq!(mean(), Some(expected));
        drop(begin().await);
        assert_eq!(filled(&breaker), 3);
        assert!((mean().unwrap() - expected * 2.0 / 3.0).abs() < 1e-9);
    }
}

/// A push that is given up was handed in all the same, and the stream goes on.
#[tokio::test]
async fn a_push_may_be_given_up() {
    let (_, _, breaker) = common::breaker(MISSING_COUNTS);
    let scoring = streaming(2, ScoringSettings::default());
    let mut context = Context::from_waker(Waker::noop());
    let give_up = |stream: &mut softfuse::AnswerStream| {
        let mut push = Box::pin(stream.push(b"abc"));
        let _ = push.as_mut().poll(&mut context);
    };
    let mut give_up = give_up;
    let mut stream = scoring.stream(head(), "text/plain");
    give_up(&mut stream);
    assert_eq!(stream.push(b"de").await, None);
    give_up(&mut stream);
    assert_eq!(number(&stream.finish(true).await), 8.0);
    let mut permit = breaker.permit().unwrap();
    let mut stream = scoring.stream_for(permit.reporter(), head(), "text/plain");
    permit.settle(Outcome::success().with_pending_score());
    give_up(&mut stream);
    stream.finish_later(true);
    until(&breaker, |breaker| filled(breaker) == 1);
    assert_eq!(breaker.status().unwrap().conditions[0].value, Some(3.0));
    // Dropped on its way, it is missing, and its instance comes back.
    let mut permit = breaker.permit().unwrap();
    let mut stream = scoring.stream_for(permit.reporter(), head(), "text/plain");
    permit.settle(Outcome::success().with_pending_score());
    give_up(&mut stream);
    drop(stream);
    assert_eq!(filled(&breaker), 2);
    assert_eq!(number(&scoring.score(exchange("whole")).await), 7.0);
}

/// An explicit report beats a stream's score, whichever comes first.
#[tokio::test]
async fn a_report_of_the_call_itself_beats_its_streams_score() {
    let (_, _, breaker) = common::breaker(POOR_QUALITY);
    let scoring = streaming(2, ScoringSettings::default());
    for first in [true, false] {
        let call = breaker.call_async(|reporter| {
            let mut stream = scoring.stream_for(reporter.clone(), head(), "text/plain");
            async move {
                if first {
                    reporter.report_quality(0.9)?;
                }
                stream.push(b"abc").await;
                assert_eq!(number(&stream.finish(true).await), 3.0);
                if !first {
                    reporter.report_quality(0.9)?;
                }
                Ok::<_, softfuse::InvalidScore>(())
            }
        });
        assert_eq!(call.await, Ok(()));
    }
    let reading = breaker.status().unwrap().conditions.remove(0);
    assert_eq!((reading.filled, reading.value), (2, Some(0.9)));
}
