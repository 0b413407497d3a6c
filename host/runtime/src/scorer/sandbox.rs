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
    /// What it gets through its imports; of one that has none nothing is made.
    wasi: Option<Box<Wasi>>,
    pub(super) limits: Limits,
    /// Whether it may sleep in a host function.
    may_wait: bool,
    /// When the call under way has to end, of one that may wait.
    deadline: Option<Instant>,
}

/// An empty WASI context.
struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    fn empty() -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let ctx = WasiCtx::builder()
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self { ctx, table }
    }
}

impl Sandbox {
    pub(super) const fn new(memory_bytes_max: usize, may_wait: bool) -> Self {
        Self { wasi: None, limits: Limits::new(memory_bytes_max), may_wait, deadline: None }
    }

    /// A call begins that may take so long.
    pub(super) fn begin(&mut self, deadline: Duration) {
        // Reading the clock is for those alone who may sleep: the epoch bounds the others.
        self.deadline = self.may_wait.then(|| Instant::now() + deadline);
    }

    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::empty()))
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

/// Whether an import may be granted: one of WASI 0.2.
pub(super) fn is_granted(name: &str) -> bool {
    GRANTED.iter().any(|prefix| name.starts_with(prefix)) && name.contains("@0.2.")
}

/// What a component's imports are bound to; those that import nothing need none of it.
pub(super) fn linker(engine: &wasmtime::Engine, imports: bool) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    if !imports {
        return Ok(linker);
    }
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    // A guest that sleeps isn't interrupted by the epoch, so its sleep is bounded here.
    linker.allow_shadowing(true);
    poll::add_to_linker::<Sandbox, HasBoundedPoll>(&mut linker, |sandbox| BoundedPoll {
        deadline: sandbox.deadline,
        table: &mut sandbox.wasi().table,
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
    deadline: Option<Instant>,
}

/// Without a deadline, which each call sets, nothing is waited for.
async fn within<T>(deadline: Option<Instant>, wait: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    let left = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
    let left = left.max(Duration::from_millis(1));
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
