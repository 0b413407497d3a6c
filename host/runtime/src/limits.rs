//! What a component may use, and which bound it ran into.

use wasmtime::{ResourceLimiter, Trap};

/// Tables of a component together hold at most so many elements: Python's, the largest met, have some 20,000.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;
/// Core instances in one component; Python's have 13.
const INSTANCES_MAX: usize = 256;
/// Memories in one component.
const MEMORIES_MAX: usize = 64;
/// Tables in one component.
const TABLES_MAX: usize = 256;

/// Counts what a store's instances take, and refuses what is over.
#[derive(Debug)]
pub(crate) struct Limits {
    memory_bytes_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    /// Something was refused: if the component fails now, it is by this.
    refused: bool,
}

impl Limits {
    pub(crate) const fn new(memory_bytes_max: usize) -> Self {
        Self { memory_bytes_max, memory_bytes: 0, table_elements: 0, refused: false }
    }

    /// What all memories of the store have now.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            self.refused = true;
            return Ok(false);
        }
        // Beyond its own maximum the runtime refuses it after this; then it isn't ours to count.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory_bytes = total;
        }
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS_MAX {
            self.refused = true;
            return Ok(false);
        }
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.table_elements = total;
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

/// Why a call into a component ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Deadline,
    OutOfMemory,
    StackOverflow,
    /// It handed over more than its host takes.
    TooMuchOutput,
    Other(String),
}

/// A host function ended the call, since the component's time was up while it slept.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the deadline passed while it slept")]
pub(crate) struct SleptTooLong;

/// Finds the bound that a call ran into.
pub(crate) fn fault(error: &wasmtime::Error, limits: &Limits) -> Fault {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => return Fault::Deadline,
        Some(Trap::StackOverflow) => return Fault::StackOverflow,
        _ => {}
    }
    if error.downcast_ref::<SleptTooLong>().is_some() {
        return Fault::Deadline;
    }
    // A guest that is refused memory aborts, which is a trap like any other.
    if limits.refused {
        return Fault::OutOfMemory;
    }
    let text = error.root_cause().to_string();
    // The runtime has no type for this error.
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        return Fault::TooMuchOutput;
    }
    Fault::Other(text)
}
