//! From nothing to the first decision, with code that was compiled before.

use std::hint::black_box;

use softfuse::{CacheDir, Registry};

use crate::Run;

pub(crate) fn measure(run: &mut Run) {
    if !run.wants("start") {
        return;
    }
    let mut group = run.criterion.benchmark_group("start");
    group.bench_function("first-decision", |bencher| {
        bencher.iter(|| {
            let registry = Registry::builder().cache(CacheDir::Default).build().unwrap();
            let policy = registry.policy("bench", "trip_on = { consecutive_failures = 3 }").unwrap();
            let breaker = registry.breaker("llm", &policy).unwrap();
            black_box(breaker.permit().is_ok())
        });
    });
    group.finish();
}
