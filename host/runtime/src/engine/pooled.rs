//! Places for instances that are used once: their memory is laid out ahead, and made new by putting back the pages that were
//! written to, since for so short a life making memory, and faulting its pages in, takes longest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::component::Component;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Instances that may live at once.
const INSTANCES_MAX: u32 = 32;
/// What one of them may have, at most: those in Rust, C and Go have one or two of each.
const CORE_INSTANCES_MAX: u32 = 16;
const MEMORIES_MAX: u32 = 1;
const TABLES_MAX: u32 = 4;
const TABLE_ELEMENTS_MAX: usize = 32 << 10;
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// How much of what an instance has written to is put back by copying; of the rest the system takes the pages. Faulting one
/// in takes longer than copying it.
const COPIED_BYTES: usize = 4 << 20;

/// The engine whose instances have such places.
pub(super) struct Pooled {
    engine: wasmtime::Engine,
    left: Arc<AtomicUsize>,
}

/// Places that are taken, and given back when this is dropped.
pub(crate) struct Places {
    left: Arc<AtomicUsize>,
    count: usize,
}

impl Pooled {
    /// Lays the places out. `None` where the system doesn't give so much address space.
    pub(super) fn new(mut config: Config) -> Option<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(INSTANCES_MAX)
            .total_core_instances(INSTANCES_MAX * CORE_INSTANCES_MAX)
            .total_memories(INSTANCES_MAX * MEMORIES_MAX)
            .total_tables(INSTANCES_MAX * TABLES_MAX)
            .max_core_instances_per_component(CORE_INSTANCES_MAX)
            .max_memories_per_component(MEMORIES_MAX)
            .max_tables_per_component(TABLES_MAX)
            .table_elements(TABLE_ELEMENTS_MAX)
            .max_memory_size(MEMORY_BYTES_MAX)
            .max_unused_warm_slots(INSTANCES_MAX)
            .linear_memory_keep_resident(COPIED_BYTES)
            .table_keep_resident(TABLE_ELEMENTS_MAX * size_of::<usize>())
            .pagemap_scan(Enabled::Auto);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        match wasmtime::Engine::new(&config) {
            Ok(engine) => Some(Self { engine, left: Arc::new(AtomicUsize::new(INSTANCES_MAX as usize)) }),
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "fresh instances have no places laid out ahead");
                None
            }
        }
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// Places for so many instances of a component that may have so much memory each. `None` where there are none left, or
    /// it needs more than a place has.
    pub(super) fn places(&self, component: &Component, count: usize, memory_bytes_max: usize) -> Option<Places> {
        let needs = component.resources_required()?;
        let fits = needs.num_memories <= MEMORIES_MAX
            && needs.num_tables <= TABLES_MAX
            && needs.max_initial_memory_size.unwrap_or(0) <= MEMORY_BYTES_MAX as u64
            && needs.max_initial_table_size.unwrap_or(0) <= TABLE_ELEMENTS_MAX as u64
            && memory_bytes_max <= MEMORY_BYTES_MAX;
        let count = count.max(1);
        let take = |left: usize| left.checked_sub(count);
        let taken = fits && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        taken.then(|| Places { left: Arc::clone(&self.left), count })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.left.fetch_add(self.count, Ordering::Relaxed);
    }
}
