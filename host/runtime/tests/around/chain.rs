//! Chains: who is called, when a call goes on to the next provider, and what the caller learns where none has an answer.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use softfuse::{
    Breaker, CallError, Chain, ChainError, ManualClock, MoveOn, Outcome, OutcomeKind, ProviderPreset, Providers,
    ProvidersError, Registry, Score, State, Tried,
};

use crate::common::{PanickingLog, TWO_FAILURES, builder, clock, fail};

struct Set {
    _registry: Registry,
    clock: Arc<ManualClock>,
    providers: Providers,
}

impl Set {
    fn breaker(&self, name: &str) -> &Breaker {
        self.providers.get(name).unwrap()
    }

    /// Calls, failures and rejections of a provider.
    fn totals(&self, name: &str) -> (u64, u64, u64) {
        let totals = self.breaker(name).status().unwrap().totals;
        (totals.calls, totals.failures, totals.rejections)
    }

    fn trip(&self, name: &str) {
        fail(self.breaker(name));
        fail(self.breaker(name));
        assert_eq!(self.breaker(name).state(), State::Open);
    }
}

/// Providers `a`, `b` and `c`, whose circuits open for 10 s at two failures in a row.
fn set() -> Set {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("test", TWO_FAILURES).unwrap();
    let breakers = ["a", "b", "c"].map(|name| registry.breaker(name, &policy).unwrap());
    Set { _registry: registry, clock, providers: Providers::new(breakers).unwrap() }
}

/// Makes a call in which these providers answer so; whom it was made of, and what came of it.
fn call<T: Clone, E: Clone>(
    chain: &Chain<T, E>,
    answers: &[(&str, Result<T, E>)],
) -> (Vec<String>, Result<T, ChainError<E>>) {
    let called = RefCell::new(Vec::new());
    let result = chain.call(|attempt| {
        called.borrow_mut().push(attempt.provider().to_string());
        let answer = answers.iter().find(|(name, _)| *name == &**attempt.provider());
        answer.unwrap_or_else(|| panic!("{} is called", attempt.provider())).1.clone()
    });
    (called.into_inner(), result)
}

fn names(breakers: &[Breaker]) -> Vec<&str> {
    breakers.iter().map(|breaker| &**breaker.name()).collect()
}

#[test]
fn the_first_that_admits_is_called_and_failures_go_on() {
    let set = set();
    let chain: Chain<&str, &str> = set.providers.chain();
    assert_eq!(call(&chain, &[("a", Ok("yes"))]), (vec!["a".to_owned()], Ok("yes")));
    let (called, result) = call(&chain, &[("a", Err("down")), ("b", Ok("yes"))]);
    assert_eq!((called.join(""), result), ("ab".to_owned(), Ok("yes")));
    // Each attempt was an outcome of its own provider.
    assert_eq!([set.totals("a"), set.totals("b"), set.totals("c")], [(2, 1, 0), (1, 0, 0), (0, 0, 0)]);
    // The second in a row opens the first one's circuit, and the call goes on all the same; the next doesn't get there.
    assert_eq!(call(&chain, &[("a", Err("down")), ("b", Ok("yes"))]).1, Ok("yes"));
    assert_eq!(set.breaker("a").state(), State::Open);
    assert_eq!(call(&chain, &[("b", Ok("yes"))]), (vec!["b".to_owned()], Ok("yes")));
    assert_eq!(set.totals("a"), (3, 2, 1));
    // When its time has passed, the first is probed, and serves again.
    set.clock.advance(Duration::from_secs(10));
    for _ in 0..2 {
        assert_eq!(call(&chain, &[("a", Ok("back"))]).1, Ok("back"));
    }
    assert_eq!(set.breaker("a").state(), State::Closed);
}

#[test]
fn the_error_names_every_provider_and_why() {
    let set = set();
    set.trip("a");
    set.clock.advance(Duration::from_secs(3));
    set.trip("c");
    let chain: Chain<(), String> = set.providers.chain();
    let (called, result) = call(&chain, &[("b", Err("no route".to_owned()))]);
    let error = result.unwrap_err();
    assert_eq!(called.join(""), "b");
    let refused = |name| CallError::Rejected(set.breaker(name).would_refuse().unwrap());
    let expected = [("a", refused("a")), ("b", CallError::Failed("no route".to_owned())), ("c", refused("c"))];
    assert_eq!(error.tried, expected.map(|(name, cause)| Tried { provider: name.into(), cause }));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!((error.last_failure().map(String::as_str), error.rejections().count()), (Some("no route"), 2));
    let text = (&error as &dyn std::error::Error).to_string();
    assert!(text.starts_with("no provider gave an answer: `a` refused: circuit `a` is open: "), "{text}");
    assert!(text.contains("(retry after 7s); `b` failed: no route; `c` refused: circuit `c` is open: "), "{text}");
    assert!(text.ends_with("(retry after 10s)"), "{text}");
}

#[test]
fn a_call_that_was_made_is_made_again_only_where_that_is_wanted() {
    let set = set();
    let chain: Chain<(), &str> = set.providers.chain().move_on(MoveOn::OnRejection);
    for expected in ["a", "a", "b", "b", "c"] {
        let (called, result) = call(&chain, &[("a", Err("down")), ("b", Err("down")), ("c", Err("down"))]);
        assert_eq!(called, [expected]);
        let tried = result.unwrap_err().tried;
        let last = tried.last().unwrap();
        assert_eq!((&*last.provider, &last.cause), (expected, &CallError::Failed("down")));
        assert!(tried.iter().rev().skip(1).all(|tried| tried.cause.rejected().is_some()));
    }
}

#[test]
fn what_counts_as_a_failure_is_the_users_to_say() {
    let set = set();
    let outcome = |result: &Result<u16, &str>| {
        Outcome::new(match result {
            Ok(500..) => OutcomeKind::Error,
            Err("bad request") => OutcomeKind::BadRequest,
            Err("not found") => OutcomeKind::Success,
            Ok(_) => OutcomeKind::Success,
            Err(_) => OutcomeKind::Error,
        })
    };
    let chain = set.providers.chain().classify(outcome);
    // Bad by itself, or an answer: nobody else is asked.
    for error in ["bad request", "not found"] {
        let (called, result) = call(&chain, &[("a", Err(error))]);
        assert_eq!((called.join("").as_str(), result.unwrap_err().last_failure()), ("a", Some(&error)));
    }
    assert_eq!(set.totals("a"), (2, 0, 0));
    // A value that counts as a failure goes on, and is the caller's where nobody has a better one.
    let (called, result) = call(&chain, &[("a", Ok(503)), ("b", Ok(200))]);
    assert_eq!((called.join("").as_str(), result), ("ab", Ok(200)));
    let (called, result) = call(&chain, &[("a", Ok(503)), ("b", Err("down")), ("c", Ok(502))]);
    assert_eq!((called.join("").as_str(), result), ("abc", Ok(503)));
    assert_eq!([set.totals("a"), set.totals("b"), set.totals("c")], [(4, 2, 0), (2, 1, 0), (1, 1, 0)]);
    // Where failures don't go on, it is the caller's at once.
    let chain = chain.move_on(MoveOn::OnRejection);
    let (called, result) = call(&chain, &[("b", Ok(500))]);
    assert_eq!((called.join("").as_str(), result), ("b", Ok(500)));
}

#[test]
fn bad_answers_go_on_and_the_best_is_kept() {
    let set = set();
    let limit = Score::new(0.5).unwrap();
    let chain: Chain<f64, String> = set.providers.chain().guards_with(|guard| guard.replace_below(limit));
    let ask = |chain: &Chain<f64, String>, scores: [f64; 3]| {
        let mut scores = scores.into_iter();
        let result = chain.call(|attempt| {
            let score = scores.next().ok_or("too many")?;
            attempt.report_quality(score).map_err(|error| error.to_string())?;
            Ok(score)
        });
        (result, scores.len())
    };
    assert_eq!(ask(&chain, [0.2, 0.9, 1.0]), (Ok(0.9), 1));
    assert_eq!(ask(&chain, [0.2, 0.4, 0.3]), (Ok(0.4), 0));
    assert_eq!(ask(&chain.move_on(MoveOn::OnRejection), [0.2, 0.9, 1.0]), (Ok(0.2), 2));
    assert_eq!(set.totals("a"), (3, 0, 0));
}

#[test]
fn those_available_are_in_order_and_asking_takes_no_probe() {
    let set = set();
    assert_eq!(names(&set.providers.available()), ["a", "b", "c"]);
    set.trip("a");
    set.clock.advance(Duration::from_secs(5));
    set.trip("b");
    assert_eq!(names(&set.providers.available()), ["c"]);
    let in_5_s = set.breaker("a").now() + Duration::from_secs(5);
    assert_eq!(names(&set.providers.available_at(in_5_s)), ["a", "c"]);
    set.clock.set(in_5_s);
    for _ in 0..10 {
        assert_eq!(names(&set.providers.available()), ["a", "c"]);
    }
    assert_eq!(set.breaker("a").state(), State::Open);
    let _probes = [set.breaker("a").permit().unwrap(), set.breaker("a").permit().unwrap()];
    assert_eq!(names(&set.providers.available()), ["c"]);
}

/// A log that keeps its warnings.
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Text<'t>(&'t mut String);

impl tracing::field::Visit for Text<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        self.0.lock().unwrap().push(text);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn an_unknown_provider_is_called_unguarded_with_a_warning() {
    let set = set();
    let chain: Chain<String, String> = set.providers.chain();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let guarded = Mutex::new(Vec::new());
    let ask = |names: &[&str], fails: &str| {
        chain.call_among(names, |attempt| {
            guarded.lock().unwrap().push(attempt.permit().is_some());
            attempt.report_quality(0.9).map_err(|error| error.to_string())?;
            assert!(attempt.report_quality(f64::NAN).is_err());
            let name = attempt.provider().to_string();
            if name == fails { Err("down".to_owned()) } else { Ok(name) }
        })
    };
    tracing::subscriber::with_default(Warnings(Arc::clone(&warnings)), || {
        assert_eq!(ask(&["new"], ""), Ok("new".to_owned()));
        assert!(warnings.lock().unwrap()[0].contains("provider=new"), "{warnings:?}");
        // In the order that is asked for, and failures go on as those of others do. No circuit stands in the way of any number.
        for _ in 0..5 {
            assert_eq!(ask(&["new", "b", "a"], "new"), Ok("b".to_owned()));
        }
        assert_eq!(warnings.lock().unwrap().len(), 6);
        assert_eq!(ask(&["b"], ""), Ok("b".to_owned()));
        assert_eq!(warnings.lock().unwrap().len(), 6);
    });
    assert_eq!(guarded.lock().unwrap()[..3], [false, false, true]);
    assert_eq!([set.totals("a"), set.totals("b")], [(0, 0, 0), (6, 0, 0)]);
    // A log that panics costs nobody the call.
    let asked = tracing::subscriber::with_default(PanickingLog(""), || ask(&["new"], ""));
    assert_eq!(asked, Ok("new".to_owned()));
    let error = ask(&[], "").unwrap_err();
    assert_eq!(error.to_string(), "no provider gave an answer: none was named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_go_on_to_the_next_provider() {
    let set = set();
    let chain: Chain<String, &str> = set.providers.chain();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let chain = chain.clone();
            tokio::spawn(async move {
                let call = chain.call_async(|attempt| async move {
                    tokio::task::yield_now().await;
                    attempt.report_quality(0.9).map_err(|_| "no score")?;
                    assert!(attempt.reporter().is_some());
                    if **attempt.provider() == *"a" { Err("down") } else { Ok(attempt.provider().to_string()) }
                });
                call.await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok("b".to_owned()));
    }
    assert_eq!((set.breaker("a").state(), set.totals("b")), (State::Open, (50, 0, 0)));
    let calls = set.totals("a").0 + set.totals("a").2;
    assert_eq!(calls, 50, "each task asked it once");
    // Unknown ones, and the error at the end.
    set.trip("c");
    let error = chain
        .call_among_async(&["c", "new"], |attempt| async move {
            assert!(attempt.reporter().is_none() && **attempt.provider() == *"new");
            assert!(attempt.report_quality(f64::INFINITY).is_err());
            Err("down")
        })
        .await
        .unwrap_err();
    let tried: Vec<_> = error.tried.iter().map(|tried| (&*tried.provider, tried.cause.failed())).collect();
    assert_eq!(tried, [("c", None), ("new", Some(&"down"))]);
}

#[tokio::test]
async fn a_task_that_goes_away_is_neutral_and_a_panic_is_a_failure() {
    let set = set();
    let chain: Chain<(), ()> = set.providers.chain();
    {
        let mut goes = Box::pin(chain.call_async(|_| std::future::pending()));
        assert!(goes.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    }
    let totals = set.breaker("a").status().unwrap().totals;
    assert_eq!((totals.calls, totals.neutral, set.totals("b")), (1, 1, (0, 0, 0)));
    let panicked = catch_unwind(AssertUnwindSafe(|| chain.call(|_| panic!("a bug"))));
    assert!(panicked.is_err());
    assert_eq!((set.totals("a"), set.totals("b")), ((2, 1, 0), (0, 0, 0)));
}

#[test]
fn threads_share_a_chain() {
    let set = set();
    let chain: Chain<(), &str> = set.providers.chain();
    let of_c = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let answer = chain.call(|attempt| match &**attempt.provider() {
                        "c" => {
                            of_c.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        }
                        _ => Err("down"),
                    });
                    assert_eq!(answer, Ok(()));
                }
            });
        }
    });
    assert_eq!(of_c.into_inner(), 2000);
    for name in ["a", "b"] {
        let (calls, failures, rejections) = set.totals(name);
        assert_eq!((calls + rejections, calls), (2000, failures));
        assert!(calls <= 2 + 3, "those under way when it opened, and no more: {calls}");
    }
}

#[test]
fn presets_open_as_they_say() {
    let registry = builder(&clock()).build().unwrap();
    let providers = Providers::presets(&registry).unwrap();
    assert_eq!(names(providers.breakers()), ["openai", "azure", "anthropic"]);
    for (breaker, failures, seconds) in [("openai", 5, 60), ("azure", 5, 60), ("anthropic", 3, 120)]
        .map(|(name, n, s)| (providers.get(name).unwrap(), n, s))
    {
        for failed in 0..failures {
            assert!(!breaker.is_open(), "{} after {failed}", breaker.name());
            fail(breaker);
        }
        let wait = breaker.would_refuse().unwrap().retry_after();
        assert_eq!(wait, Some(Duration::from_secs(seconds)), "{}", breaker.name());
    }
    assert!(providers.available().is_empty());
    // Asked for again they are the same, and another policy of that name is refused, both sources named.
    assert!(ProviderPreset::OPENAI.breaker(&registry).unwrap().is_open());
    let registry = builder(&clock()).build().unwrap();
    let other = registry.policy("mine.toml", TWO_FAILURES).unwrap();
    registry.breaker("azure", &other).unwrap();
    let text = Providers::presets(&registry).unwrap_err().to_string();
    assert!(text.contains("mine.toml") && text.contains("preset `azure`"), "{text}");
}

#[test]
fn a_chain_has_some_providers_and_each_once() {
    let set = set();
    let a = set.breaker("a");
    assert_eq!(Providers::new([]).unwrap_err(), ProvidersError::None);
    assert_eq!(Providers::new([a.clone(), a.clone()]).unwrap_err(), ProvidersError::Twice("a".into()));
    assert_eq!(Providers::new(vec![a.clone(); 65]).unwrap_err(), ProvidersError::TooMany(65));
}
