//! What all components of a process run on: two WebAssembly engines, one for breakers and one for scorers, the ticker
//! that bounds their time, and the cache of compiled code.
//!
//! Two engines, since they want different things. Breaker components are tiny, many and called all the time, so each
//! reserves little address space. Scorers chew on memory, so theirs have the runtime's large reservation, without which
//! every access is checked.

mod cache;
mod code;
mod pooled;
mod ticker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use cache::CacheDir;
pub(crate) use pooled::Places;
pub(crate) use ticker::{Running, TICK};

use cache::Cache;
use pooled::Pooled;
use ticker::Ticker;
use wasmtime::component::{Component, types::ComponentItem};

use crate::components::Binary;
use crate::error::LoadError;

/// Address space that a breaker component's memory reserves. It grows beyond by moving.
const BREAKER_RESERVATION_BYTES: u64 = 4 << 20;
/// Unmapped address space behind it, which catches an access with a small offset without a check.
const BREAKER_GUARD_BYTES: u64 = 64 << 10;
/// Stack of the breaker component. It runs on its callers' threads, which have 128 KiB in all where musl makes them.
const BREAKER_STACK_BYTES: usize = 64 << 10;
/// Stack of a scorer: the runtime's default. Every thread that the library makes has room for it.
pub(crate) const WASM_STACK_BYTES: usize = 512 << 10;
/// The largest component that is loaded: 256 MiB, four times Python's.
const COMPONENT_BYTES_MAX: u64 = 256 << 20;

/// What components run on. Cheap to clone; one is enough for a process, and [`Registry`](crate::Registry) makes its own
/// where none is handed in.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    breakers: wasmtime::Engine,
    scorers: wasmtime::Engine,
    /// For scorers whose instances are used once; made for the first of them.
    pooled: OnceLock<Option<Pooled>>,
    ticker: Ticker,
    cache: Cache,
}

/// Which engine a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Breaker,
    Scorer,
}

impl Engine {
    /// Sets up the engines, with compiled code kept as `cache` says.
    ///
    /// # Errors
    /// [`LoadError::Engine`] where this machine can't run one. A cache that can't be used is logged, and no error.
    pub fn new(cache: CacheDir) -> Result<Self, LoadError> {
        let breakers = wasmtime::Engine::new(&config(Kind::Breaker)).map_err(engine_error)?;
        let scorers = wasmtime::Engine::new(&config(Kind::Scorer)).map_err(engine_error)?;
        let ticker = Ticker::start(vec![breakers.clone(), scorers.clone()])
            .map_err(|error| LoadError::Engine(format!("no thread to keep deadlines by: {error}")))?;
        let pooled = OnceLock::new();
        Ok(Self(Arc::new(Inner { breakers, scorers, pooled, ticker, cache: Cache::open(cache) })))
    }

    /// Where compiled code is kept; `None` where it isn't.
    #[must_use]
    pub fn cache_dir(&self) -> Option<&Path> {
        self.0.cache.dir()
    }

    pub(crate) fn wasmtime(&self, kind: Kind) -> &wasmtime::Engine {
        match kind {
            Kind::Breaker => &self.0.breakers,
            Kind::Scorer => &self.0.scorers,
        }
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    /// Compiles a component, or takes it from the cache. Text in WAT is not taken.
    pub(crate) fn compile(&self, kind: Kind, source_name: &str, binary: Binary<'_>) -> Result<Component, LoadError> {
        let refused = |message: String| LoadError::NotAComponent { source_name: source_name.to_owned(), message };
        // Told before the compiler's own message, which shows the bytes that it expected.
        if !binary.bytes.starts_with(b"\0asm") {
            return Err(refused("it is not WebAssembly".to_owned()));
        }
        if binary.bytes.starts_with(b"\0asm\x01\0\0\0") {
            return Err(refused("it is a core module; `wasm-tools component new` makes a component of one".to_owned()));
        }
        let compiled = self.0.cache.get_or_compile(self.wasmtime(kind), binary);
        compiled.map_err(|error| refused(format!("{error:#}")))
    }

    /// The same scorer for instances that are used once, so many at a time, in places that are laid out ahead. `None` where
    /// there are none for it; then it does as it is.
    pub(crate) fn pooled(
        &self,
        component: &Component,
        binary: Binary<'_>,
        instances: usize,
        memory_bytes_max: usize,
    ) -> Option<(Component, Places)> {
        let pooled = self.0.pooled.get_or_init(|| {
            let pooled = Pooled::new(config(Kind::Scorer));
            pooled.inspect(|pooled| self.0.ticker.add(pooled.engine()))
        });
        let pooled = pooled.as_ref()?;
        let places = pooled.places(component, instances, memory_bytes_max)?;
        // It was compiled already, so what is refused now is more than a place has.
        let component = self.0.cache.get_or_compile(pooled.engine(), binary).ok()?;
        Some((component, places))
    }
}

fn config(kind: Kind) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    // Calls are synchronous; what this leaves out makes each 3.5 times cheaper.
    config.concurrency_support(false).epoch_interruption(true).max_wasm_stack(WASM_STACK_BYTES);
    if kind == Kind::Breaker {
        config
            .max_wasm_stack(BREAKER_STACK_BYTES)
            .memory_reservation(BREAKER_RESERVATION_BYTES)
            .memory_guard_size(BREAKER_GUARD_BYTES)
            .memory_reservation_for_growth(BREAKER_RESERVATION_BYTES);
    }
    config
}

fn engine_error(error: wasmtime::Error) -> LoadError {
    LoadError::Engine(format!("{error:#}"))
}

/// Reads a component's file, up to a bound.
pub(crate) fn read_component(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |message: String| LoadError::Unreadable { path: PathBuf::from(path), message };
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > COMPONENT_BYTES_MAX {
        return Err(unreadable(format!("{length} bytes, and a component may have {COMPONENT_BYTES_MAX}")));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

/// The imports of a component that `granted` doesn't name, in order. An instance that holds nothing but types is no
/// capability, so it is let through.
pub(crate) fn refused_imports(component: &Component, granted: impl Fn(&str) -> bool) -> Vec<String> {
    let engine = component.engine();
    let ty = component.component_type();
    let harmless = |item: &ComponentItem| match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
        }
        _ => false,
    };
    ty.imports(engine)
        .filter(|(name, item)| !granted(name) && !harmless(&item.ty))
        .map(|(name, _)| name.to_owned())
        .collect()
}
