//! What a `no_std` component needs to stand on its own.
//!
//! A guest that links `std` imports `wasi:cli` and `wasi:io` even where it does no I/O. Ours import nothing, so they
//! bring their own allocator, panic handler and `cabi_realloc`, which are here. On other targets this crate is empty.
#![no_std]
#![cfg(target_family = "wasm")]

extern crate alloc;

mod heap;

use alloc::alloc::{Layout, alloc, realloc};

// The compiler calls `memcmp` and its like by name. On this target they are wasi-libc's, which `std` would link; the
// linker takes those objects alone, and they import nothing.
#[link(name = "c")]
unsafe extern "C" {}

#[global_allocator]
static ALLOCATOR: heap::Heap = heap::Heap::new();

/// A panic is a trap; the host replaces the instance and restores its breakers.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The canonical ABI's allocation function, which hosts call to hand in strings and lists.
///
/// # Safety
/// `old` is null, or was returned by this function for `old_len` bytes at `align`; `align` is a power of two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len == 0 {
        // The ABI asks for a well-aligned pointer that is never read.
        return core::ptr::without_provenance_mut(align);
    }
    let (Ok(old_layout), Ok(layout)) =
        (Layout::from_size_align(old_len, align), Layout::from_size_align(new_len, align))
    else {
        core::arch::wasm32::unreachable()
    };
    // SAFETY: both sizes are positive where they are used, and `old` has `old_layout` by the caller's promise.
    let new = unsafe { if old_len == 0 { alloc(layout) } else { realloc(old, old_layout, new_len) } };
    if new.is_null() { core::arch::wasm32::unreachable() } else { new }
}
