//! The breaker component, loaded: compiled code that instances are made of, and an instance that answers.

mod cell;
mod live;
mod room;
mod seats;
mod slot;
mod slots;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) use cell::{Cell, Guest, Who};
pub(crate) use room::snapshot_bytes_max;
pub(crate) use slot::{RestSettings, Restored, Seated, Slot};
pub(crate) use slots::{NoPlace, Slots, replace};

use wasmtime::Store;
use wasmtime::component::Linker;

use crate::bindings::{CircuitBreakerPre, breaker as wit};
use crate::components::Binary;
use crate::engine::{Engine, Kind, TICK, refused_imports};
use crate::error::{ComponentFailure, LoadError};
use crate::limits::{Fault, Limits, fault};

/// What a breaker component may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Duration,
    pub(crate) memory_bytes_max: usize,
}

/// Compiled code, its imports and exports checked.
#[derive(Clone)]
pub(crate) struct BreakerComponent {
    engine: Engine,
    pre: CircuitBreakerPre<Limits>,
    bounds: Bounds,
    source_name: Arc<str>,
    /// What an instance's memory has when it is made; unknown as long as none could be.
    initial_bytes: Arc<OnceLock<usize>>,
}

impl BreakerComponent {
    pub(crate) fn load(
        engine: &Engine,
        source_name: &str,
        binary: Binary<'_>,
        bounds: Bounds,
    ) -> Result<Self, LoadError> {
        let component = engine.compile(Kind::Breaker, source_name, binary)?;
        let imports = refused_imports(&component, |_| false);
        if !imports.is_empty() {
            return Err(LoadError::NotGranted {
                source_name: source_name.to_owned(),
                imports,
                granted: "a breaker component imports nothing, so that its decisions can be replayed",
            });
        }
        let broken = |error: wasmtime::Error| LoadError::ContractBroken {
            source_name: source_name.to_owned(),
            message: format!("{error:#}"),
        };
        let linker = Linker::new(engine.wasmtime(Kind::Breaker));
        let pre = linker.instantiate_pre(&component).and_then(CircuitBreakerPre::new).map_err(broken)?;
        Ok(Self { engine: engine.clone(), pre, bounds, source_name: source_name.into(), initial_bytes: Arc::default() })
    }

    pub(crate) fn source_name(&self) -> &Arc<str> {
        &self.source_name
    }

    pub(crate) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(crate) fn instantiate(&self) -> Result<Instance, ComponentFailure> {
        let limits = Limits::new(self.bounds.memory_bytes_max);
        let mut store = Store::new(self.engine.wasmtime(Kind::Breaker), limits);
        store.limiter(|limits| limits);
        // One more, since the tick under way is partly over.
        let ticks = self.bounds.deadline.as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1;
        self.engine.ticker().mark();
        store.set_epoch_deadline(ticks);
        let made = self.pre.instantiate(&mut store);
        let bindings = made.map_err(|error| ComponentFailure::NotStarting(format!("{error:#}")))?;
        let guest = bindings.softfuse_breaker_breaker().clone();
        let initial_bytes = store.data().memory_bytes();
        let _ = self.initial_bytes.set(initial_bytes);
        Ok(Instance { store, guest, ticks, initial_bytes, component: self.clone() })
    }

    /// What breakers may have of an instance, as far as that is known: one that can't be made has nothing to say of it.
    pub(super) fn breakers_bytes_max(&self) -> u64 {
        if self.initial_bytes.get().is_none() {
            drop(self.instantiate());
        }
        room::breakers_bytes_max(self.bounds, self.initial_bytes.get().copied().unwrap_or(0))
    }
}

/// A component that answers. Once it has failed, it can't be entered again.
pub(crate) struct Instance {
    store: Store<Limits>,
    guest: wit::Guest,
    ticks: u64,
    initial_bytes: usize,
    component: BreakerComponent,
}

impl Instance {
    /// What breakers may have of it.
    pub(super) fn breakers_bytes_max(&self) -> u64 {
        room::breakers_bytes_max(self.component.bounds, self.initial_bytes)
    }

    /// Calls the component, for at most its deadline.
    pub(crate) fn call<T>(
        &mut self,
        call: impl FnOnce(&wit::Guest, &mut Store<Limits>) -> wasmtime::Result<T>,
    ) -> Result<T, ComponentFailure> {
        self.component.engine.ticker().mark();
        self.store.set_epoch_deadline(self.ticks);
        call(&self.guest, &mut self.store).map_err(|error| self.failure(&error))
    }

    #[cold]
    fn failure(&self, error: &wasmtime::Error) -> ComponentFailure {
        let bounds = self.component.bounds;
        match fault(error, self.store.data()) {
            Fault::Deadline => ComponentFailure::DeadlineExceeded(bounds.deadline),
            Fault::OutOfMemory => ComponentFailure::OutOfMemory(bounds.memory_bytes_max),
            Fault::StackOverflow => ComponentFailure::Trapped("its stack overflowed".to_owned()),
            Fault::TooMuchOutput => ComponentFailure::Nonsense("an answer of more than 128 MiB".to_owned()),
            Fault::Other(text) => ComponentFailure::Trapped(text),
        }
    }
}
