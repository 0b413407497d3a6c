//! Where an instance's breakers lie: side by side, in chunks that never move.
//!
//! A table that doubles as it grows needs both halves while it does, and a box for each breaker costs a word, an allocator's
//! header and a look at another place in memory with each call. There may be a million of them.

use alloc::vec::Vec;
use softfuse_core::Breaker;

/// Breakers that are allocated together: some 10 KiB.
const CHUNK: usize = 64;
/// Most breakers at once: memory ends before that.
const BREAKERS_MAX: u32 = 1 << 26;

/// The breakers of an instance, by handle.
pub(crate) struct Breakers {
    chunks: Vec<Vec<Place>>,
    /// The place that became free last.
    free: Option<u32>,
    taken: u32,
}

enum Place {
    Taken(Breaker),
    /// And the one that became free before it.
    Free(Option<u32>),
}

impl Breakers {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: None, taken: 0 }
    }

    /// A handle for a breaker; the bound, where there are too many.
    pub(crate) fn keep(&mut self, breaker: Breaker) -> Result<u32, u32> {
        if self.taken >= BREAKERS_MAX {
            return Err(BREAKERS_MAX);
        }
        self.taken += 1;
        if let Some(id) = self.free
            && let Some(place) = self.place(id)
            && let Place::Free(next) = *place
        {
            *place = Place::Taken(breaker);
            self.free = next;
            return Ok(id);
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let Some(chunk) = self.chunks.last_mut() else { return Err(0) };
        chunk.push(Place::Taken(breaker));
        // No place is free, so there are as many as breakers.
        Ok((before + chunk.len() - 1) as u32)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Breaker> {
        match self.place(id)? {
            Place::Taken(breaker) => Some(breaker),
            Place::Free(_) => None,
        }
    }

    pub(crate) fn remove(&mut self, id: u32) {
        let free = self.free;
        if let Some(place @ Place::Taken(_)) = self.place(id) {
            *place = Place::Free(free);
            self.free = Some(id);
            self.taken -= 1;
        }
    }

    fn place(&mut self, id: u32) -> Option<&mut Place> {
        let id = id as usize;
        self.chunks.get_mut(id / CHUNK)?.get_mut(id % CHUNK)
    }
}

/// A million idle breakers are a million of these, and so is what is free of them.
const _: () = assert!(size_of::<Place>() <= 136);
