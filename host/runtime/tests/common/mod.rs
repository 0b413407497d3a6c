//! What the tests share: registries with a clock that is set by hand, and components made of a few lines of text.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part; a test may fail loudly"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use softfuse::{Breaker, CacheDir, Engine, FailureKind, ManualClock, Registry, RegistryBuilder};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub const TWO_FAILURES: &str = "trip_on = { consecutive_failures = 2 }\nhalf_open_after = \"10s\"";
/// Trips by a condition of the host's own, `mine`.
pub const HOSTS_OWN: &str = "half_open_after = \"10s\"\nrecovery_threshold = 1\n\
    trip_on = { any_of = [{ host_condition = \"mine\" }, { consecutive_failures = 9 }] }";
pub const POOR_QUALITY: &str = "trip_on = { quality_below = { threshold = 0.5, window = 2 } }";

/// Compiled code is shared by all tests.
pub fn cache() -> CacheDir {
    CacheDir::Dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"))
}

pub fn engine() -> Engine {
    Engine::new(cache()).unwrap()
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::default())
}

pub fn builder(clock: &Arc<ManualClock>) -> RegistryBuilder {
    Registry::builder().cache(cache()).clock(Arc::clone(clock)).salt(0)
}

/// A registry, its clock, and a breaker with this policy.
pub fn breaker(policy: &str) -> (Registry, Arc<ManualClock>, Breaker) {
    let clock = clock();
    let registry = builder(&clock).build().unwrap();
    let policy = registry.policy("test", policy).unwrap();
    let breaker = registry.breaker("llm", &policy).unwrap();
    (registry, clock, breaker)
}

/// A call that fails.
pub fn fail(breaker: &Breaker) {
    let _ = breaker.permit().unwrap().failure(FailureKind::Error);
}

/// A log that panics with every line of threads whose names begin so; of all threads, where that is empty.
pub struct PanickingLog(pub &'static str);

impl tracing::Subscriber for PanickingLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        let thread = std::thread::current();
        assert!(!thread.name().unwrap_or_default().starts_with(self.0), "a log of the user's");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

pub fn wit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(name)
}

/// Makes a component of a core module in WAT, by the names of the canonical ABI.
pub fn component(contract: &str, world: &str, more_wit: &str, wat: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (mut package, _) = resolve.push_path(wit(contract)).unwrap();
    if !more_wit.is_empty() {
        package = resolve.push_str("more.wit", more_wit).unwrap();
    }
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(wat).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// What every scorer in WAT needs: a memory and an allocator that starts anew with every call.
pub const SCORER_BASE: &str = r#"
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $room
      (loop $more
        (br_if $room (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      unreachable)
    (local.get $at))
  (func $fresh (global.set $heap (i32.const 8192)))
  ;; A verdict of this score, at 1024.
  (func $scored (param $score f64) (result i32)
    (call $fresh)
    (i64.store (i32.const 1024) (i64.const 0))
    (i64.store (i32.const 1032) (i64.const 0))
    (f64.store (i32.const 1040) (local.get $score))
    (i32.const 1024))
  ;; An abstention with this text, at 1024.
  (func $abstained (param $text i32) (param $length i32) (result i32)
    (call $fresh)
    (i64.store (i32.const 1024) (i64.const 0))
    (i64.store (i32.const 1032) (i64.const 1))
    (i32.store (i32.const 1040) (local.get $text))
    (i32.store (i32.const 1044) (local.get $length))
    (i32.const 1024))
"#;

const CONFIGURE: &str = r#"
  (func (export "softfuse:scorer/scorer@0.1.0#configure") (param i32 i32) (result i32)
    (call $fresh) (i64.store (i32.const 2048) (i64.const 0)) (i32.const 2048))
"#;

const SCORE: &str = r#"(func (export "softfuse:scorer/scorer@0.1.0#score")
    (param $operation i32) (param i32) (param $model i32) (param i32)
    (param i32) (param i32) (param $request i32) (param $request_length i32) (param i32) (param i32)
    (param $metadata_length i32)
    (param i32) (param i32) (param $answer i32) (param $answer_length i32) (param $truncated i32) (result i32)"#;

/// A scorer whose `score` has this body.
pub fn scorer(score: &str) -> Vec<u8> {
    scorer_with("", score)
}

/// A scorer whose `score` has this body, with functions beside it.
pub fn scorer_with(more: &str, score: &str) -> Vec<u8> {
    let wat = format!("(module {SCORER_BASE} {CONFIGURE} {more} {SCORE} {score}))");
    component("scorer", "answer-scorer", "", &wat)
}

/// A scorer whose `configure` has this body, and of whose answers nobody asks.
pub fn scorer_configured(more: &str, configure: &str) -> Vec<u8> {
    let configure = format!(
        r#"(func (export "softfuse:scorer/scorer@0.1.0#configure") (param i32 i32) (result i32) (local $at i32) {configure})"#
    );
    let wat = format!("(module {SCORER_BASE} {configure} {more} {SCORE} unreachable))");
    component("scorer", "answer-scorer", "", &wat)
}

/// A scorer that imports what `more_wit` declares in its world `hostile`; `imports` are its core imports.
pub fn scorer_importing(more_wit: &str, imports: &str, score: &str) -> Vec<u8> {
    let wat = format!("(module {imports} {SCORER_BASE} {CONFIGURE} {SCORE} {score}))");
    component("scorer", "hostile", more_wit, &wat)
}

/// A scorer that takes streams: it gives 0 as soon as it has seen a piece that begins with `!`, at the end the number of
/// bytes it has seen if the answer is complete, else 0. Of a whole answer it gives 7. A piece that begins with `?` traps.
pub fn streaming_scorer() -> Vec<u8> {
    let streaming = r#"
  (global $seen (mut i32) (i32.const 0))
  (func (export "softfuse:scorer/streaming@0.1.0#[constructor]answer")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $fresh) (global.set $seen (i32.const 0)) (call $new (i32.const 1)))
  (func (export "softfuse:scorer/streaming@0.1.0#[method]answer.push")
    (param $self i32) (param $piece i32) (param $length i32) (result i32)
    (global.set $seen (i32.add (global.get $seen) (local.get $length)))
    (if (i32.eq (i32.load8_u (local.get $piece)) (i32.const 63)) (then unreachable))
    (i64.store (i32.const 1024) (i64.const 0))
    (i64.store (i32.const 1032) (i64.extend_i32_u (i32.eq (i32.load8_u (local.get $piece)) (i32.const 33))))
    (i64.store (i32.const 1040) (i64.const 0))
    (f64.store (i32.const 1048) (f64.const 0))
    (call $fresh) (i32.const 1024))
  (func (export "softfuse:scorer/streaming@0.1.0#[method]answer.finish") (param $self i32) (param $complete i32) (result i32)
    (call $scored (f64.convert_i32_u (i32.mul (global.get $seen) (local.get $complete)))))
"#;
    let import = r#"(import "[export]softfuse:scorer/streaming@0.1.0" "[resource-new]answer" (func $new (param i32) (result i32)))"#;
    let wat = format!("(module {import} {SCORER_BASE} {CONFIGURE} {streaming} {SCORE} (call $scored (f64.const 7))))");
    component("scorer", "streaming-scorer", "", &wat)
}

/// A breaker component that does as its callers' latencies say, in nanoseconds: 666 traps, 667 loops for ever, 668 forgets
/// its breaker, 669 its permit, 670 eats memory, 671 opens the circuit until 60 s and traps at the snapshot of it. Its only
/// state is whether `trip` was called.
pub fn hostile_breaker() -> Vec<u8> {
    hostile_breaker_with("", "")
}

/// That, and first of all it does this at each snapshot and at each restore, in WAT: `$calls` counts how many there were of
/// these in the instance, this one included, and `$bytes` is where the snapshot to restore lies.
pub fn hostile_breaker_with(at_snapshot: &str, at_restore: &str) -> Vec<u8> {
    let wat = include_str!("hostile_breaker.wat");
    let wat = wat.replace(";; AT SNAPSHOT", at_snapshot).replace(";; AT RESTORE", at_restore);
    component("breaker", "circuit-breaker", "", &wat)
}
