//! The allocator: dlmalloc, since a host calls for years, and a bump allocator would leak.
//!
//! Its first memory is a part of the component's own, so that an instance that takes little never asks its host for more:
//! that costs some microseconds, of which a scorer in an instance of its own for each answer would pay all.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::{Cell, UnsafeCell};
use core::ptr;

use dlmalloc::{Allocator, Dlmalloc};

/// A page of WebAssembly's, the unit by which memory grows.
const PAGE_BYTES: usize = 64 << 10;

/// What an instance begins with: one unit of dlmalloc's.
const FIRST_BYTES: usize = PAGE_BYTES;

/// dlmalloc in the memory of this component.
pub(crate) struct Heap(UnsafeCell<Dlmalloc<Memory>>);

// SAFETY: a component instance runs in one thread at a time, and this target has no threads within an instance.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Sync for Heap {}

impl Heap {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(Dlmalloc::new_with_allocator(Memory { first_taken: Cell::new(false) })))
    }
}

// SAFETY: every call goes to dlmalloc as it came. Nothing else has a reference to it, since none of its functions calls
// one of these.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { (*self.0.get()).free(ptr, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        unsafe { (*self.0.get()).realloc(ptr, layout.size(), layout.align(), new_size) }
    }
}

/// Where dlmalloc has its memory from.
struct Memory {
    first_taken: Cell<bool>,
}

/// The first of it: zeros, which take no room in the component's file.
#[repr(align(16))]
struct First(UnsafeCell<[u8; FIRST_BYTES]>);

// SAFETY: it is dlmalloc's alone from when it has taken it.
unsafe impl Sync for First {}

static FIRST: First = First(UnsafeCell::new([0; FIRST_BYTES]));

// SAFETY: what it hands out is this component's, is handed out once, and is never taken back.
unsafe impl Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size <= FIRST_BYTES && !self.first_taken.replace(true) {
            return (FIRST.0.get().cast(), FIRST_BYTES, 0);
        }
        let pages = size.div_ceil(PAGE_BYTES);
        let before = memory_grow::<0>(pages);
        // The last page of all would end where addresses begin anew.
        if before == usize::MAX || memory_size::<0>() > usize::MAX / PAGE_BYTES {
            return (ptr::null_mut(), 0, 0);
        }
        (ptr::with_exposed_provenance_mut(before * PAGE_BYTES), pages * PAGE_BYTES, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_BYTES
    }
}
