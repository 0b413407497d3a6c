//! The contracts of `wit/` as the component runtime's bindings: the only place that names them.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

mod breaker_world {
    wasmtime::component::bindgen!({ path: "../../wit/breaker", world: "circuit-breaker" });
}

mod scorer_world {
    // An answer crosses from where it lies: what goes in is borrowed.
    wasmtime::component::bindgen!({
        path: "../../wit/scorer",
        world: "streaming-scorer",
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

pub(crate) use breaker_world::CircuitBreakerPre;
pub(crate) use breaker_world::exports::softfuse::breaker::breaker;
pub(crate) use scorer_world::exports::softfuse::scorer::{scorer, streaming};
