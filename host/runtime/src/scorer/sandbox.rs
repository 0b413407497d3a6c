//! What surrounds a scorer: an empty WASI context, and bounds on everything that it could use up.
//!
//! A scorer may import any of WASI 0.2's interfaces but `http`, since languages' runtimes do, and gets nothing through
//! them: no file, no network, no environment, no arguments, no input; its output goes nowhere.

use std::time::{Duration, Instant};

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll as async_poll;
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::limits::{Limits, SleptTooLong};

/// What a scorer may import, by the beginnings of names.
const GRANTED: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// The same, for people.
pub(super) const GRANTED_TEXT: &str =
    "a scorer is granted an empty WASI 0.2 context (cli, clocks, filesystem, io, random, sockets) and nothing else";
/// Host resources (pollables, streams) that an instance may hold at once.
const RESOURCES_MAX: usize = 1024;
/// Random bytes that it may ask for at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// A scorer's store.
pub(super) struct Sandbox {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) limits: Limits,
    /// When the call under way has to end.
    pub(super) deadline: Instant,
}

impl Sandbox {
    pub(super) fn new(memory_bytes_max: usize) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let wasi = WasiCtx::builder()
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self { wasi, table, limits: Limits::new(memory_bytes_max), deadline: Instant::now() }
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Whether an import may be granted: one of WASI 0.2.
pub(super) fn is_granted(name: &str) -> bool {
    GRANTED.iter().any(|prefix| name.starts_with(prefix)) && name.contains("@0.2.")
}

pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    // A guest that sleeps isn't interrupted by the epoch, so its sleep is bounded here.
    linker.allow_shadowing(true);
    poll::add_to_linker::<Sandbox, HasBoundedPoll>(&mut linker, |sandbox| BoundedPoll {
        table: &mut sandbox.table,
        deadline: sandbox.deadline,
    })?;
    Ok(linker)
}

struct HasBoundedPoll;

impl HasData for HasBoundedPoll {
    type Data<'a> = BoundedPoll<'a>;
}

/// Waits for what a guest waits for, until its deadline.
struct BoundedPoll<'a> {
    table: &'a mut ResourceTable,
    deadline: Instant,
}

async fn within<T>(deadline: Instant, wait: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    match tokio::time::timeout(left, wait).await {
        Ok(result) => result,
        Err(_) => Err(SleptTooLong.into()),
    }
}

impl poll::Host for BoundedPoll<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let wait = within(self.deadline, async_poll::Host::poll(self.table, pollables));
        wasmtime_wasi::runtime::in_tokio(wait)
    }
}

impl poll::HostPollable for BoundedPoll<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.table, pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let wait = within(self.deadline, async_poll::HostPollable::block(self.table, pollable));
        wasmtime_wasi::runtime::in_tokio(wait)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table, pollable)
    }
}
