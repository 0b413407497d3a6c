//! Guarded calls: this library, a native mutex around its own core, and the crates that guard calls in Rust.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, measurement::WallTime};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Beta, Distribution};
use softfuse::{Breaker, CacheDir, Outcome, OutcomeKind, Permit, Registry, Time};
use tower::{Service, ServiceExt};

use crate::Run;

/// Calls after which outcomes and scores repeat.
const PATTERN: usize = 1024;

/// What a service does, call by call.
pub(crate) struct Pattern {
    fails: Vec<bool>,
    scores: Option<Vec<f64>>,
}

impl Pattern {
    fn new(failing_percent: u64, scored: bool) -> Self {
        // Spread evenly, so that every window sees the same share.
        let fails = (0..PATTERN as u64).map(|call| call * failing_percent % 100 >= 100 - failing_percent).collect();
        Self { fails, scores: scored.then(scores) }
    }

    fn fails(&self, call: u64) -> bool {
        self.fails[call as usize % PATTERN]
    }

    fn score(&self, call: u64) -> Option<f64> {
        self.scores.as_ref().map(|scores| scores[call as usize % PATTERN])
    }
}

/// Scores with a mean of .80 and a deviation of .15, of which one in four is under .70, and no twenty in a row have a mean
/// under that: a circuit that trips is measured elsewhere.
fn scores() -> Vec<f64> {
    let beta = Beta::new(4.889, 1.222).unwrap();
    let healthy = |scores: &Vec<f64>| {
        let round: Vec<f64> = scores.iter().chain(&scores[..20]).copied().collect();
        round.windows(20).all(|window| window.iter().sum::<f64>() / 20.0 >= 0.7)
    };
    let of_seed = |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        (0..PATTERN).map(|_| beta.sample(&mut random)).collect()
    };
    (0..100_000).map(of_seed).find(healthy).expect("one in some hundreds of seeds")
}

/// Something that guards calls.
pub(crate) trait Guards: Sync {
    /// Makes the call of this number.
    fn call(&self, call: u64);
}

struct Softfuse<'p> {
    breaker: Breaker,
    pattern: &'p Pattern,
}

impl Softfuse<'_> {
    /// What trips is measured elsewhere: refusals are cheaper than calls.
    fn never_tripped(self) {
        assert_eq!(self.breaker.status().unwrap().trip_count, 0, "it has tripped");
    }
}

/// By a closure, as the peers are called, at times that are handed in, a microsecond apart.
impl Guards for Softfuse<'_> {
    fn call(&self, call: u64) {
        let fails = black_box(self.pattern.fails(call));
        let now = Time::from_nanos(call as i64 * 1_000);
        let _ = black_box(self.breaker.call_at(now, |_| (if fails { Err(()) } else { Ok(()) }, now)));
    }
}

/// The same with the clock read, before and after.
struct Clocked<'p>(Softfuse<'p>);

impl Guards for Clocked<'_> {
    fn call(&self, call: u64) {
        let fails = black_box(self.0.pattern.fails(call));
        let _ = black_box(self.0.breaker.call(|_| if fails { Err(()) } else { Ok(()) }));
    }
}

/// By a closure that reports its answer's score, where it has one.
struct Reporting<'p>(Softfuse<'p>);

impl Guards for Reporting<'_> {
    fn call(&self, call: u64) {
        let Self(Softfuse { breaker, pattern, .. }) = self;
        let (fails, score) = (black_box(pattern.fails(call)), pattern.score(call));
        let answer = |permit: &mut Permit| {
            if let Some(score) = score {
                permit.report_quality(score).unwrap();
            }
            if fails { Err(()) } else { Ok(()) }
        };
        let now = Time::from_nanos(call as i64 * 1_000);
        let _ = black_box(breaker.call_at(now, |permit| (answer(permit), now)));
    }
}

/// The same in two steps, by a permit, as gateways do whose requests and answers meet in no closure.
struct ByPermit<'p>(Softfuse<'p>);

impl Guards for ByPermit<'_> {
    fn call(&self, call: u64) {
        let Self(Softfuse { breaker, pattern, .. }) = self;
        let now = Time::from_nanos(call as i64 * 1_000);
        let Ok(permit) = breaker.permit_at(now) else { return };
        let kind = if black_box(pattern.fails(call)) { OutcomeKind::Error } else { OutcomeKind::Success };
        black_box(permit.settle_at(Outcome::new(kind), now).effect);
    }
}

/// A lease by itself, without a breaker around it: no permit as a value, no metrics, no clock.
struct Bare(softfuse_lease::Lease, Mutex<(softfuse_lease::Owner, softfuse_lease::Batch)>);

/// Terms that ask for nothing but how many successes there are.
const COUNTED: softfuse_lease::Terms<'static> = softfuse_lease::Terms {
    permit: 0,
    outcomes_max: u32::MAX,
    until: None,
    latency_max: None,
    missing_score: None,
    score_sums_min: None,
    scores_roll: false,
    scores_last: 0,
    details: false,
    tag: 0,
};

impl Bare {
    fn new() -> Self {
        let (lease, mut owner) = softfuse_lease::Lease::new(2);
        lease.open(&mut owner, &COUNTED);
        Self(lease, Mutex::new((owner, softfuse_lease::Batch::default())))
    }
}

impl Guards for Bare {
    fn call(&self, call: u64) {
        let Self(lease, owner) = self;
        let now = call * 1_000;
        black_box(lease.admit(now));
        let success = softfuse_lease::Entry::Success { latency: 0, score: None, pending: false };
        if lease.keep(0, now, success).is_none() {
            let (owner, batch) = &mut *owner.lock().unwrap();
            lease.take(owner, batch);
            lease.open(owner, &COUNTED);
        }
    }
}

/// The fastest that the same decisions could be without a component: the core behind a mutex.
struct Native<'p> {
    core: Mutex<softfuse_core::Breaker>,
    pattern: &'p Pattern,
}

impl Guards for Native<'_> {
    fn call(&self, call: u64) {
        use softfuse_core::{Outcome, OutcomeKind, Signal};

        let now = call * 1_000;
        let Ok(permit) = self.core.lock().unwrap().before_call(now).map(|admission| admission.permit) else { return };
        let kind = if black_box(self.pattern.fails(call)) { OutcomeKind::Error } else { OutcomeKind::Success };
        let mut outcome = Outcome::new(kind, 0);
        if let Some(score) = self.pattern.score(call) {
            outcome.signal = Signal::Score(score);
        }
        let _ = black_box(self.core.lock().unwrap().record_outcome(permit, &outcome, now));
    }
}

struct Recloser<'p>(recloser::Recloser, &'p Pattern);

impl Guards for Recloser<'_> {
    fn call(&self, call: u64) {
        let fails = black_box(self.1.fails(call));
        let _ = black_box(self.0.call(|| if fails { Err(()) } else { Ok(()) }));
    }
}

/// The peer with the clock read twice beside it, as a host that times its calls does.
struct RecloserTimed<'p>(Recloser<'p>);

impl Guards for RecloserTimed<'_> {
    fn call(&self, call: u64) {
        let began = Instant::now();
        self.0.call(call);
        black_box(began.elapsed());
    }
}

struct Failsafe<'p, B>(B, &'p Pattern);

impl<B: failsafe::CircuitBreaker + Sync> Guards for Failsafe<'_, B> {
    fn call(&self, call: u64) {
        let fails = black_box(self.1.fails(call));
        let _ = black_box(self.0.call(|| if fails { Err(()) } else { Ok(()) }));
    }
}

/// A tower service behind the layer, called as tower's users do: a clone for each call.
struct Tower<S>(S);

impl<S> Guards for Tower<S>
where
    S: Service<u64> + Clone + Sync,
{
    fn call(&self, call: u64) {
        let mut future = std::pin::pin!(self.0.clone().oneshot(call));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // Nothing in it waits.
        let _ = black_box(future.as_mut().poll(&mut context).is_ready());
    }
}

fn tower(pattern: Arc<Pattern>) -> impl Guards {
    let layer = tower_resilience_circuitbreaker::CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.9)
        .sliding_window_size(100)
        .build()
        .unwrap();
    let service = tower::service_fn(move |call: u64| {
        let fails = black_box(pattern.fails(call));
        async move { if fails { Err(()) } else { Ok(()) } }
    });
    Tower(tower::ServiceBuilder::new().layer(layer).service(service))
}

/// One call's time, as each of so many threads sees it, each on a core of its own: a run is over before the system has spread
/// them by itself.
pub(crate) fn threads(guards: &impl Guards, threads: u64, calls: u64) -> Duration {
    if threads == 1 {
        let began = Instant::now();
        (0..calls).for_each(|call| guards.call(call));
        return began.elapsed();
    }
    let barrier = &std::sync::Barrier::new(threads as usize + 1);
    let cores = &core_affinity::get_core_ids().unwrap_or_default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    if let Some(core) = cores.get(thread as usize % cores.len().max(1)) {
                        core_affinity::set_for_current(*core);
                    }
                    barrier.wait();
                    let began = Instant::now();
                    (0..calls).for_each(|call| guards.call(call));
                    began.elapsed()
                })
            })
            .collect();
        barrier.wait();
        let total: Duration = running.into_iter().map(|thread| thread.join().unwrap()).sum();
        total / threads as u32
    })
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, of: u64, guards: &impl Guards) {
    group.bench_function(name, |bencher| bencher.iter_custom(|calls| threads(guards, of, calls)));
}

/// A registry with code from the cache.
pub(crate) fn registry() -> Registry {
    Registry::builder().cache(CacheDir::Default).build().unwrap()
}

const ERRORS: &str = "[trip_on]\nerror_rate_above = { rate = 0.9, window = 100 }";

/// Two threads' scores mix as they will, so that a threshold of .70 would trip; .60 is six deviations of a window's mean away.
fn scored(window: u32, threads: u64) -> String {
    let threshold = if threads == 1 { 0.7 } else { 0.6 };
    format!("[trip_on]\nquality_below = {{ threshold = {threshold}, window = {window} }}")
}

fn recloser() -> recloser::Recloser {
    recloser::Recloser::custom().error_rate(0.9).closed_len(100).open_wait(Duration::from_secs(3600)).build()
}

fn native<'p>(policy: &str, pattern: &'p Pattern) -> Native<'p> {
    let policy = Arc::new(softfuse_core::Policy::parse(policy).unwrap());
    Native { core: Mutex::new(softfuse_core::Breaker::new(policy, "native", 0, 0)), pattern }
}

fn softfuse<'p>(registry: &Registry, policy: &str, pattern: &'p Pattern) -> Softfuse<'p> {
    let policy = registry.policy("bench", policy).unwrap();
    let name = format!("bench-{}", registry.list().len());
    Softfuse { breaker: registry.breaker(&name, &policy).unwrap(), pattern }
}

pub(crate) fn measure(run: &mut Run) {
    let registry = registry();
    for (percent, of) in [(0, 1), (0, 2), (1, 1), (1, 2), (30, 1), (30, 2)] {
        let name = format!("calls-{percent}%-{of}");
        if !run.wants(&name) {
            continue;
        }
        let pattern = Arc::new(Pattern::new(percent, false));
        let mut group = run.criterion.benchmark_group(&name);
        let ours = softfuse(&registry, ERRORS, &pattern);
        bench(&mut group, "softfuse", of, &ours);
        ours.never_tripped();
        let ours = ByPermit(softfuse(&registry, ERRORS, &pattern));
        bench(&mut group, "softfuse-permit", of, &ours);
        ours.0.never_tripped();
        if percent == 0 {
            bench(&mut group, "lease", of, &Bare::new());
        }
        bench(&mut group, "recloser", of, &Recloser(recloser(), &pattern));
        bench(&mut group, "softfuse-clock", of, &Clocked(softfuse(&registry, ERRORS, &pattern)));
        bench(&mut group, "recloser-clock", of, &RecloserTimed(Recloser(recloser(), &pattern)));
        bench(&mut group, "mutex-core", of, &native(ERRORS, &pattern));
        let backoff = failsafe::backoff::constant(Duration::from_secs(3600));
        let window =
            failsafe::failure_policy::success_rate_over_time_window(0.1, 100, Duration::from_secs(10), backoff);
        let failsafe = failsafe::Config::new().failure_policy(window).build();
        bench(&mut group, "failsafe", of, &Failsafe(failsafe, &pattern));
        bench(&mut group, "tower-resilience", of, &tower(Arc::clone(&pattern)));
        group.finish();
    }
    for (window, percent, of) in [(20, 0, 1), (100, 0, 1), (20, 0, 2), (20, 30, 1)] {
        let name = format!("scored-{window}-{percent}%-{of}");
        if !run.wants(&name) {
            continue;
        }
        let pattern = Pattern::new(percent, true);
        let mut group = run.criterion.benchmark_group(&name);
        let ours = Reporting(softfuse(&registry, &scored(window, of), &pattern));
        bench(&mut group, "softfuse", of, &ours);
        ours.0.never_tripped();
        bench(&mut group, "mutex-core", of, &native(&scored(window, of), &pattern));
        let unscored = Pattern::new(percent, false);
        bench(&mut group, "unscored", of, &Reporting(softfuse(&registry, ERRORS, &unscored)));
        bench(&mut group, "unwanted", of, &Reporting(softfuse(&registry, ERRORS, &pattern)));
        group.finish();
    }
    if run.wants("rejected") {
        let pattern = Pattern::new(100, false);
        let mut group = run.criterion.benchmark_group("rejected-1");
        let open = "half_open_after = \"1h\"\n[trip_on]\nerror_rate_above = { rate = 0.9, window = 100 }";
        // An hour at a microsecond a call is longer than any run.
        let tripped = |guards: &dyn Guards| (0..200).for_each(|call| guards.call(call));
        let (handed, read) = (softfuse(&registry, open, &pattern), Clocked(softfuse(&registry, open, &pattern)));
        let peer = Recloser(recloser(), &pattern);
        tripped(&handed);
        tripped(&read);
        tripped(&peer);
        bench(&mut group, "softfuse", 1, &handed);
        bench(&mut group, "softfuse-clock", 1, &read);
        bench(&mut group, "recloser", 1, &peer);
        group.finish();
    }
}
