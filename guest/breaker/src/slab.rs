//! Handles: small numbers for what an instance holds, given out again when they are free.

use alloc::vec::Vec;

/// A place: taken, or free and pointing at the next free one.
enum Place<T> {
    Taken(T),
    Free(Option<u32>),
}

/// Things by handle.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Option<u32>,
    most: u32,
}

impl<T> Slab<T> {
    /// An empty slab for at most `most` things.
    pub(crate) const fn new(most: u32) -> Self {
        Self { places: Vec::new(), free: None, most }
    }

    /// A handle for a thing; the bound, where there are too many.
    pub(crate) fn insert(&mut self, thing: T) -> Result<u32, u32> {
        if let Some(handle) = self.free {
            let place = &mut self.places[handle as usize];
            if let Place::Free(next) = core::mem::replace(place, Place::Taken(thing)) {
                self.free = next;
            }
            return Ok(handle);
        }
        if self.places.len() >= self.most as usize {
            return Err(self.most);
        }
        self.places.push(Place::Taken(thing));
        // Below `most`, which is a u32.
        Ok(self.places.len() as u32 - 1)
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut T> {
        match self.places.get_mut(handle as usize) {
            Some(Place::Taken(thing)) => Some(thing),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, handle: u32) {
        if self.get_mut(handle).is_some() {
            self.places[handle as usize] = Place::Free(self.free);
            self.free = Some(handle);
        }
    }
}
