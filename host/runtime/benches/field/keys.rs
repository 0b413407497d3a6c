//! Many breakers of one policy: the memory of each, and a guarded call among them.

use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Uniform, Zipf};
use softfuse::{Keyed, KeyedSettings, Outcome, Score, Time};

use crate::Run;
use crate::calls::{self, Guards};

const POLICY: &str = "[trip_on]\nany_of = [\n\
    { quality_below = { threshold = 0.7, window = 20 } },\n{ error_rate_above = { rate = 0.5, window = 20 } } ]";

/// The most keys that are measured.
const MOST: usize = 1_000_000;
/// Calls in an order of their own; then they begin anew. So many that what was called before isn't in a cache still.
const PICKS: usize = 1 << 21;

/// What is measured beside the time: memory of an idle key, in bytes.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) keys: usize,
    pub(crate) bytes_each: f64,
}

/// Pages that this process has in memory.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

fn key(number: u64) -> String {
    format!("tenant-{number:07}")
}

fn call(family: &Keyed, key: &str, now: Time) {
    let breaker = family.get(key).unwrap();
    let Ok(permit) = breaker.permit_at(now) else { return };
    let outcome = Outcome::success().with_score(Score::new(0.8).unwrap());
    black_box(permit.settle_at(outcome, now).effect);
}

/// The same decisions without a component and for one thread alone: the core's breakers in a plain map.
fn native(names: &[String]) -> HashMap<String, softfuse_core::Breaker> {
    let policy = Arc::new(softfuse_core::Policy::parse(POLICY).unwrap());
    let made = |name: &String| (name.clone(), softfuse_core::Breaker::new(Arc::clone(&policy), name.as_str(), 0, 0));
    let mut breakers: HashMap<_, _> = names.iter().map(made).collect();
    for round in 0..20 {
        for (number, name) in names.iter().enumerate() {
            call_native(&mut breakers, name, (round * names.len() + number) as u64);
        }
    }
    breakers
}

fn call_native(breakers: &mut HashMap<String, softfuse_core::Breaker>, key: &str, now: u64) {
    use softfuse_core::{Outcome, OutcomeKind, Signal};

    let breaker = breakers.get_mut(key).unwrap();
    let Ok(permit) = breaker.before_call(now).map(|admission| admission.permit) else { return };
    let mut outcome = Outcome::new(OutcomeKind::Success, 0);
    outcome.signal = Signal::Score(0.8);
    let _ = black_box(breaker.record_outcome(permit, &outcome, now));
}

/// Calls of several threads, each in an order of its own: two threads seldom call one key.
struct Among<'f> {
    family: &'f Keyed,
    names: &'f [String],
    picked: &'f [usize],
    /// So many threads have come.
    threads: AtomicUsize,
}

impl Guards for Among<'_> {
    fn call(&self, number: u64) {
        thread_local! { static AHEAD: Cell<Option<usize>> = const { Cell::new(None) } }
        let ahead = AHEAD.get().unwrap_or_else(|| {
            let ahead = self.threads.fetch_add(1, Ordering::Relaxed) * 1_000_003;
            AHEAD.set(Some(ahead));
            ahead
        });
        let picked = self.picked[(number as usize + ahead) % self.picked.len()];
        call(self.family, &self.names[picked], Time::from_nanos(number as i64));
    }
}

/// A family of so many keys, each with its windows filled; the memory that each took.
fn family(keys: usize, lent_max: usize) -> (Keyed, f64) {
    let registry = softfuse::Registry::builder().component_memory_bytes_max(2 << 30).build().unwrap();
    let policy = registry.policy("bench", POLICY).unwrap();
    let settings = KeyedSettings { live_max: keys, lent_max, ..KeyedSettings::default() };
    let family = registry.keyed("tenant", &policy, settings).unwrap();
    let before = resident_bytes();
    // In rounds, so that no key is busy.
    for round in 0..20 {
        for number in 0..keys {
            call(&family, &key(number as u64), Time::from_nanos((round * keys + number) as i64));
        }
    }
    let each = (resident_bytes() - before) as f64 / keys as f64;
    (family, each)
}

pub(crate) fn measure(run: &mut Run, quick: bool) -> Memory {
    let mut memory = Memory::default();
    // The most first, since memory that was used before is used again, and would not be counted.
    for keys in [MOST, 100_000, 1_000, 1] {
        let name = format!("keys-{keys}");
        // The most take a gigabyte and half a minute: where it is to be quick, they are asked for by name.
        if !run.wants(&name) || keys == MOST && quick && !run.names(&name) {
            continue;
        }
        if keys == MOST {
            // Buffers are those of busy keys, and bounded by themselves.
            memory = Memory { keys, bytes_each: family(keys, 0).1 };
        }
        let (family, _) = family(keys, KeyedSettings::default().lent_max);
        let names: Vec<String> = (0..keys as u64).map(key).collect();
        // The same lookup in a plain map, whose value of 400 bytes is touched where it begins and where it ends.
        let mut plain: HashMap<String, [u64; 50]> = names.iter().map(|name| (name.clone(), [0; 50])).collect();
        let mut native = native(&names);
        let mut random = StdRng::seed_from_u64(1);
        let uniform = Uniform::new(0, keys).unwrap();
        let zipf = Zipf::new(keys as f64, 1.1).unwrap();
        let orders = [
            ("uniform", (0..PICKS).map(|_| uniform.sample(&mut random)).collect::<Vec<usize>>()),
            ("zipf", (0..PICKS).map(|_| zipf.sample(&mut random) as usize - 1).collect()),
        ];
        let mut group = run.criterion.benchmark_group(&name);
        let mut now = keys as i64 * 20;
        for (order, picked) in &orders {
            let mut at = 0;
            let mut next = || {
                at = (at + 1) % PICKS;
                names[picked[at]].as_str()
            };
            group.bench_function(format!("softfuse-{order}"), |bencher| {
                bencher.iter_custom(|calls| {
                    let began = Instant::now();
                    for _ in 0..calls {
                        now += 1;
                        call(&family, next(), Time::from_nanos(now));
                    }
                    began.elapsed()
                });
            });
            group.bench_function(format!("lookup-{order}"), |bencher| {
                bencher.iter(|| black_box(family.get(next()).unwrap().state()));
            });
            group.bench_function(format!("native-{order}"), |bencher| {
                bencher.iter_custom(|calls| {
                    let began = Instant::now();
                    for _ in 0..calls {
                        now += 1;
                        call_native(&mut native, next(), now as u64);
                    }
                    began.elapsed()
                });
            });
            group.bench_function(format!("map-{order}"), |bencher| {
                bencher.iter(|| {
                    if let Some(value) = plain.get_mut(next()) {
                        value[0] += 1;
                        value[49] += 1;
                        black_box(value);
                    }
                });
            });
        }
        let (_, picked) = &orders[0];
        let among = Among { family: &family, names: &names, picked, threads: AtomicUsize::new(0) };
        for threads in [1, 2] {
            group.bench_function(format!("threads-{threads}"), |bencher| {
                bencher.iter_custom(|calls| calls::threads(&among, threads, calls));
            });
        }
        group.finish();
    }
    memory
}
