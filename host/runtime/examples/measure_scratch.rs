//! scratch
#![allow(clippy::unwrap_used)]
use softfuse::*;
use std::time::Instant;
fn time(name: &str, n: u32, mut f: impl FnMut()) {
    for _ in 0..n / 10 {
        f();
    }
    let t = Instant::now();
    for _ in 0..n {
        f();
    }
    println!("{name:>40}: {:>8.0} ns", t.elapsed().as_nanos() as f64 / f64::from(n));
}
fn main() {
    let t = Instant::now();
    let r = Registry::new().unwrap();
    println!("registry {:?}", t.elapsed());
    let p = r
        .policy(
            "x",
            "trip_on = { any_of = [{ quality_below = 0.3 }, { error_rate_above = { rate = 0.5, window = 100 } }] }",
        )
        .unwrap();
    let b = r.breaker("llm", &p).unwrap();
    drop(b.permit().unwrap());
    println!("first decision {:?}", t.elapsed());
    let at = Time::from_millis(5);
    time("permit_at + settle_at", 200_000, || {
        b.permit_at(at).unwrap().settle_at(Outcome::success().with_score(Score::new(0.8).unwrap()), at);
    });
    time("permit + settle", 200_000, || {
        b.permit().unwrap().settle(Outcome::success().with_score(Score::new(0.8).unwrap()));
    });
    time("would_refuse_at", 200_000, || {
        assert!(b.would_refuse_at(at).is_none());
    });
    time("status_at", 20_000, || {
        b.status_at(at).unwrap();
    });
    time("snapshot_at", 20_000, || {
        b.snapshot_at(at).unwrap();
    });
    println!("snapshot {} bytes", b.snapshot().unwrap().len());
    let t = Instant::now();
    for i in 0..10000 {
        drop(r.breaker(&format!("b{}", i % 9000), &p).unwrap().permit().unwrap());
    }
    println!("10000 breakers {:?}", t.elapsed());
    let e = r.engine();
    for bi in Builtin::ALL {
        let t = Instant::now();
        let s = Scorer::builtin(e, bi, ScorerSettings::default()).unwrap();
        println!("{} load {:?}", bi.name(), t.elapsed());
        let f = Scorer::builtin(e, bi, ScorerSettings { fresh: true, ..ScorerSettings::default() }).unwrap();
        let x =
            Exchange::of_answer("text/plain", "The capital of France is Paris, and it lies on the Seine. ".repeat(36));
        time("score reused", 20_000, || {
            let _ = s.score(&x);
        });
        time("score fresh", 5_000, || {
            let _ = f.score(&x);
        });
    }
}
