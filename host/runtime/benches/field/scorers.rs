//! A scorer's run: reused, and in an instance of its own each time.

use std::hint::black_box;

use softfuse::{Builtin, CacheDir, Engine, Exchange, Scorer, ScorerSettings};

use crate::Run;

/// An answer of 2 KiB.
fn answer() -> Exchange {
    let sentence = "The capital of France is Paris, which lies on the Seine, and has been so for a long time. ";
    let text: String = sentence.chars().cycle().take(2048).collect();
    Exchange::of_answer("text/plain", text)
}

pub(crate) fn measure(run: &mut Run) {
    if !run.wants("scorer") {
        return;
    }
    let engine = Engine::new(CacheDir::Default).unwrap();
    let mut group = run.criterion.benchmark_group("scorer-2KiB");
    for builtin in Builtin::ALL {
        for fresh in [false, true] {
            let settings = ScorerSettings { fresh, ..ScorerSettings::default() };
            let scorer = Scorer::builtin(&engine, builtin, settings).unwrap();
            let name = format!("{}-{}", builtin.name(), if fresh { "fresh" } else { "reused" });
            let exchange = answer();
            group.bench_function(name, |bencher| bencher.iter(|| black_box(scorer.score(&exchange))));
        }
    }
    group.finish();
}
