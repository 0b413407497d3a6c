//! Scorers that misbehave: each ends in its own reason, within its bounds, and the guarded call is unharmed.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{PanickingLog, engine, scorer, scorer_configured, scorer_importing, scorer_with};
use softfuse::{
    Builtin, ConfigProblem, Event, Exchange, LoadError, ScoreOutcome, Scorer, ScorerError, ScorerFailure,
    ScorerSettings, Scoring, ScoringSettings, State,
};

const MIB: usize = 1 << 20;

fn bounds() -> ScorerSettings {
    ScorerSettings {
        deadline: Duration::from_millis(100),
        memory_bytes_max: 8 * MIB,
        output_bytes_max: 64 << 10,
        ..ScorerSettings::default()
    }
}

fn load(bytes: &[u8]) -> Scorer {
    Scorer::from_bytes(&engine(), "hostile", bytes, bounds()).unwrap()
}

fn failure(scorer: &Scorer) -> ScorerFailure {
    match scorer.score(&Exchange::of_answer("text/plain", "Paris")) {
        ScoreOutcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// A scorer that fails in this way, again and again: the second time a new instance does. The same where every answer gets
/// an instance of its own, in a place that others were in before.
fn fails_twice(bytes: &[u8], expected: &ScorerFailure) {
    for fresh in [false, true] {
        let scorer = Scorer::from_bytes(&engine(), "hostile", bytes, ScorerSettings { fresh, ..bounds() }).unwrap();
        for _ in 0..2 {
            assert_eq!(&failure(&scorer), expected, "fresh: {fresh}");
        }
    }
}

const LOOP: &str = "(loop $ever (br $ever)) unreachable";
const BOMB: &str = "(block $full (loop $more
    (br_if $full (i32.eq (memory.grow (i32.const 16)) (i32.const -1))) (br $more))) unreachable";

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    fails_twice(&scorer(LOOP), &ScorerFailure::DeadlineExceeded(Duration::from_millis(100)));
}

#[test]
fn a_memory_bomb_ends_at_its_bound() {
    fails_twice(&scorer(BOMB), &ScorerFailure::OutOfMemory(8 * MIB));
}

#[test]
fn a_deep_recursion_ends_at_its_stack() {
    let deep = "(func $deep (param i32) (result i32)
        (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    fails_twice(&scorer_with(deep, "(call $deep (i32.const 0))"), &ScorerFailure::StackOverflow);
}

#[test]
fn a_trap_is_told() {
    let scorer = load(&scorer("unreachable"));
    assert!(matches!(failure(&scorer), ScorerFailure::Trapped(text) if text.contains("unreachable")));
}

#[test]
fn numbers_that_are_no_scores_are_refused() {
    for (number, text) in [("nan", "NaN"), ("inf", "inf"), ("-inf", "-inf"), ("1000001", "1000001")] {
        let scorer = load(&scorer(&format!("(call $scored (f64.const {number}))")));
        match failure(&scorer) {
            ScorerFailure::InvalidScore(number) => assert_eq!(number.to_string(), text),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_huge_answer_ends_at_its_bound() {
    let huge = "(drop (memory.grow (i32.const 64))) (call $abstained (i32.const 0) (i32.const 4000000))";
    fails_twice(&scorer(huge), &ScorerFailure::OutputTooLarge(64 << 10));
}

#[test]
fn an_answer_outside_of_its_memory_is_a_trap() {
    for (text, length) in [(65_536, 1), (-1, 1), (0, 65_537)] {
        let scorer = load(&scorer(&format!("(call $abstained (i32.const {text}) (i32.const {length}))")));
        assert!(matches!(failure(&scorer), ScorerFailure::Trapped(_) | ScorerFailure::OutputTooLarge(_)));
    }
}

#[test]
fn an_answer_that_is_no_text_is_a_trap() {
    let scorer =
        load(&scorer("(i32.store8 (i32.const 0) (i32.const 255)) (call $abstained (i32.const 0) (i32.const 1))"));
    assert!(matches!(failure(&scorer), ScorerFailure::Trapped(_)));
}

#[test]
fn imports_that_are_not_granted_are_named_at_loading() {
    let more = "package test:hostile;
        interface net { fetch: func(url: string) -> u32; }
        interface disk { wipe: func(); }
        world hostile { import net; import disk; include softfuse:scorer/answer-scorer@0.1.0; }";
    let imports = r#"(import "test:hostile/net" "fetch" (func $fetch (param i32 i32) (result i32)))
        (import "test:hostile/disk" "wipe" (func $wipe))"#;
    let bytes = scorer_importing(more, imports, "(call $wipe) (call $scored (f64.const 1))");
    match Scorer::from_bytes(&engine(), "greedy", &bytes, bounds()) {
        Err(ScorerError::Load(LoadError::NotGranted { source_name, mut imports, .. })) => {
            imports.sort();
            assert_eq!(
                (source_name.as_str(), imports),
                ("greedy", vec!["test:hostile/disk".to_owned(), "test:hostile/net".to_owned()])
            );
        }
        other => panic!("{other:?}"),
    }
}

const SLEEPER_WIT: &str = "package test:hostile;
    world hostile {
        import wasi:clocks/monotonic-clock@0.2.0;
        include softfuse:scorer/answer-scorer@0.1.0;
    }
    package wasi:io@0.2.0 {
        interface poll { resource pollable { block: func(); } }
    }
    package wasi:clocks@0.2.0 {
        interface monotonic-clock {
            use wasi:io/poll@0.2.0.{pollable};
            subscribe-duration: func(when: u64) -> pollable;
        }
    }";
const SLEEPER_IMPORTS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $alarm (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;

fn sleeper() -> Vec<u8> {
    let score = "(call $block (call $alarm (i64.const 3600000000000))) (call $scored (f64.const 1))";
    scorer_importing(SLEEPER_WIT, SLEEPER_IMPORTS, score)
}

#[test]
fn a_sleep_of_an_hour_ends_at_its_deadline() {
    fails_twice(&sleeper(), &ScorerFailure::DeadlineExceeded(Duration::from_millis(100)));
}

#[tokio::test]
async fn a_sleep_inside_of_a_runtime_ends_at_its_deadline_too() {
    fails_twice(&sleeper(), &ScorerFailure::DeadlineExceeded(Duration::from_millis(100)));
}

#[test]
fn a_hoard_of_host_resources_ends_at_its_bound() {
    let hoard = "(loop $more (drop (call $alarm (i64.const 1))) (br $more)) unreachable";
    let scorer = load(&scorer_importing(SLEEPER_WIT, SLEEPER_IMPORTS, hoard));
    assert!(matches!(failure(&scorer), ScorerFailure::Trapped(_)));
}

#[test]
fn a_bad_configuration_is_told_at_loading() {
    let settings = ScorerSettings::with_config("no_such_key = 1");
    match Scorer::builtin(&engine(), Builtin::Text, settings) {
        Err(ScorerError::Failed { name, failure: ScorerFailure::BadConfig(problems) }) => {
            assert_eq!(&*name, "text");
            assert!(matches!(&problems[..], [ConfigProblem { key, .. }] if key == "no_such_key"), "{problems:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_scorer_is_refused_with_its_reason() {
    let message = |bytes: &[u8]| match Scorer::from_bytes(&engine(), "it", bytes, bounds()) {
        Err(ScorerError::Load(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(message(b"not wasm").contains("not a component"));
    assert!(message(&wat::parse_str("(module)").unwrap()).contains("core module"));
    assert!(message(&wat::parse_str("(component)").unwrap()).contains("softfuse:scorer/scorer"));
    assert!(message(softfuse::components::BREAKER).contains("softfuse:scorer/scorer"));
}

/// A text of 5,001 bytes at 16384, whose 1,024th is in the middle of a character.
fn long_text() -> String {
    format!("(data (i32.const 16384) \"x{}\")", "é".repeat(2500))
}

fn is_cut(text: &str) -> bool {
    text.len() == 1023 && text.starts_with("xéé")
}

#[test]
fn long_texts_are_cut_where_they_come_in() {
    let said = |score: &str| load(&scorer_with(&long_text(), score)).score(&Exchange::of_answer("", ""));
    match said("(call $abstained (i32.const 16384) (i32.const 5001))") {
        ScoreOutcome::Abstained(why) => assert!(is_cut(&why), "{}", why.len()),
        other => panic!("{other:?}"),
    }
    let error = |case: u32| {
        format!(
            "(call $fresh) (i64.store (i32.const 1024) (i64.const 1)) (i32.store (i32.const 1032) (i32.const {case}))
            (i32.store (i32.const 1036) (i32.const 16384)) (i32.store (i32.const 1040) (i32.const 5001)) (i32.const 1024)"
        )
    };
    match said(&error(0)) {
        ScoreOutcome::Failed(ScorerFailure::Malformed(what)) => assert!(is_cut(&what), "{}", what.len()),
        other => panic!("{other:?}"),
    }
    match said(&error(1)) {
        ScoreOutcome::Failed(ScorerFailure::Refused(what)) => assert!(is_cut(&what), "{}", what.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn problems_with_a_configuration_are_bounded() {
    // 101 problems with keys and messages of 5,001 bytes each.
    let configure = "(loop $more
        (i32.store (i32.add (i32.const 24576) (local.get $at)) (i32.const 16384))
        (i32.store (i32.add (i32.const 24580) (local.get $at)) (i32.const 5001))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $more (i32.lt_u (local.get $at) (i32.const 1616))))
        (i32.store (i32.const 2048) (i32.const 1))
        (i32.store (i32.const 2052) (i32.const 24576)) (i32.store (i32.const 2056) (i32.const 101)) (i32.const 2048)";
    let bytes = scorer_configured(&long_text(), configure);
    let settings = ScorerSettings { output_bytes_max: 4 * MIB, ..bounds() };
    match Scorer::from_bytes(&engine(), "hostile", &bytes, settings) {
        Err(ScorerError::Failed { failure: ScorerFailure::BadConfig(problems), .. }) => {
            assert_eq!(problems.len(), 100);
            assert!(problems.iter().all(|problem| is_cut(&problem.key) && is_cut(&problem.message)));
        }
        other => panic!("{other:?}"),
    }
}

/// Runs a test's body in a process of its own, where what it sets holds for the whole process and for good: `true` there.
fn in_a_process_of_its_own(name: &str, key: &str, value: &str) -> bool {
    if std::env::var(key).as_deref() == Ok(value) {
        return true;
    }
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads", "1"])
        .env(key, value)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&run.stderr));
    false
}

#[test]
fn a_log_that_panics_ends_no_thread_and_leaves_no_debt() {
    let name = "a_log_that_panics_ends_no_thread_and_leaves_no_debt";
    if !in_a_process_of_its_own(name, "SOFTFUSE_TEST", name) {
        return;
    }
    tracing::subscriber::set_global_default(PanickingLog("softfuse-scorer")).unwrap();
    let (_, _, breaker) =
        common::breaker("require_quality_signal = true\ntrip_on = { quality_below = { threshold = 0.5, window = 2 } }");
    let scoring = Scoring::start(load(&scorer("unreachable")), ScoringSettings::default()).unwrap();
    let guard =
        breaker.guard::<&str, ()>().scored_by(&scoring, |answer| Some(Exchange::of_answer("text/plain", *answer)));
    for _ in 0..2 {
        assert_eq!(guard.call(|_| Ok("Paris")), Ok("Paris"));
    }
    // Both failures were told of, into the void, and both scores are missing, of which the second opens the circuit.
    let started = std::time::Instant::now();
    while breaker.state() != State::Open {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", breaker.status());
        std::thread::yield_now();
    }
}

/// The threads that the library makes have room for a component's whole stack, whatever the system's default is.
#[test]
fn a_deep_recursion_ends_at_its_stack_on_the_librarys_threads_too() {
    let name = "a_deep_recursion_ends_at_its_stack_on_the_librarys_threads_too";
    if !in_a_process_of_its_own(name, "RUST_MIN_STACK", "131072") {
        return;
    }
    // This thread has the little stack itself, so it only waits for one that hasn't.
    let body = || {
        let deep = "(func $deep (param i32) (result i32)
            (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
        let overflow = ScoreOutcome::Failed(ScorerFailure::StackOverflow);
        let scoring =
            Scoring::start(load(&scorer_with(deep, "(call $deep (i32.const 0))")), ScoringSettings::default());
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let exchange = Exchange::of_answer("", "");
        assert_eq!(tokio.block_on(scoring.unwrap().score(exchange.clone())), overflow);
        // It imports something, so inside of tokio it gets a thread for each call.
        let more = format!("{SLEEPER_IMPORTS} {deep}");
        let importing = scorer_importing(SLEEPER_WIT, &more, "(call $deep (i32.const 0))");
        assert_eq!(tokio.block_on(async { load(&importing).score(&exchange) }), overflow);
    };
    std::thread::Builder::new().stack_size(8 * MIB).spawn(body).unwrap().join().unwrap();
}

/// Scored inline and beside the call: the call keeps its value, the breaker learns of no score, and the reason is told.
#[test]
fn the_guarded_call_is_unharmed() {
    let hostile = [
        (LOOP, "deadline"),
        (BOMB, "memory"),
        ("unreachable", "trapped"),
        ("(call $scored (f64.const nan))", "invalid-score"),
    ];
    for (score, reason) in hostile {
        for inline in [true, false] {
            let (registry, _, breaker) = common::breaker(common::POOR_QUALITY);
            let events = registry.subscribe();
            let scoring = Scoring::start(load(&scorer(score)), ScoringSettings::default()).unwrap();
            let mut guard = breaker
                .guard::<&str, ()>()
                .scored_by(&scoring, |answer| Some(Exchange::of_answer("text/plain", *answer)));
            if inline {
                guard = guard.score_before_answer();
            }
            assert_eq!(guard.call(|_| Ok("Paris")), Ok("Paris"));
            match events.next_within(Duration::from_secs(60)) {
                Some(Event::ScorerFailed { breaker, scorer, failure }) => {
                    assert_eq!((&*breaker, &*scorer, failure.as_str()), ("llm", "hostile", reason));
                }
                other => panic!("{other:?}"),
            }
            let status = breaker.status().unwrap();
            assert_eq!((status.state, status.totals.successes, status.conditions[0].filled), (State::Closed, 1, 0));
            let counted =
                format!("softfuse_scorer_failures_total{{breaker=\"llm\",scorer=\"hostile\",reason=\"{reason}\"}} 1");
            assert!(registry.metrics_text().contains(&counted), "{}", registry.metrics_text());
        }
    }
}
