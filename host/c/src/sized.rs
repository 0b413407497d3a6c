//! Structs that grow: each begins with its size, as its caller's header knows it, so that programs and libraries of different
//! versions go together.

use std::mem::size_of;
use std::ptr;

use crate::fault::Fault;

/// The largest size that a caller may state: beyond, it is no size.
const SIZE_MAX: usize = 4096;

/// A struct that begins with `size: usize`, and of which every field may be zero.
///
/// # Safety
/// It is `repr(C)`, its first field is a `usize`, and all zeros are one of its values.
pub(crate) unsafe trait Plain: Copy {}

/// Says that a struct is [`Plain`]: its first field is `size`.
macro_rules! sized {
    ($type:ty) => {
        const _: () = assert!(std::mem::offset_of!($type, size) == 0);
        // SAFETY: it is `repr(C)` and has numbers, pointers and optional functions alone, of which zero is a value.
        unsafe impl $crate::sized::Plain for $type {}
    };
}
pub(crate) use sized;

/// Fills a caller's struct, of which `set` sees what the caller has put into it, in this version's own size: as much is handed over as
/// the caller knows of, and zeros for what this version doesn't. Its `size` stays the caller's.
///
/// # Safety
/// `to` is NULL, or points to a struct whose `size` is set and says how many bytes there are, for this call's duration.
#[inline]
pub(crate) unsafe fn write<T: Plain>(to: *mut T, argument: &str, set: impl FnOnce(&mut T)) -> Result<(), Fault> {
    // SAFETY: as this function asks.
    let size = unsafe { size_stated(to.cast_const(), argument) }?;
    if size == size_of::<T>() && to.is_aligned() {
        // Where it lies, as most do: a program of this version laid it out.
        // SAFETY: the caller says that there are as many bytes, and `Plain` has no values that a program could get wrong.
        set(unsafe { &mut *to });
        return Ok(());
    }
    // SAFETY: the caller says how many bytes there are.
    unsafe { write_other(to, size, set) };
    Ok(())
}

/// The same, of another version's size, in a copy.
///
/// # Safety
/// `to` points to `size` bytes, at least as many as a `usize` has.
#[cold]
unsafe fn write_other<T: Plain>(to: *mut T, size: usize, set: impl FnOnce(&mut T)) {
    let (skip, known) = (size_of::<usize>(), size.min(size_of::<T>()));
    // SAFETY: `Plain` promises that all zeros are a value; `size` bytes can be read and written, and `T`'s be written in the copy.
    unsafe {
        let mut value = std::mem::zeroed::<T>();
        ptr::copy_nonoverlapping(to.cast::<u8>(), ptr::from_mut(&mut value).cast::<u8>(), known);
        set(&mut value);
        let (from, to) = (ptr::from_ref(&value).cast::<u8>(), to.cast::<u8>());
        // All but the size itself.
        ptr::copy_nonoverlapping(from.add(skip), to.add(skip), known - skip);
        ptr::write_bytes(to.add(known), 0, size - known);
    }
}

/// Checks what is to be filled before anything is done that can't be undone.
///
/// # Safety
/// `to` is NULL, or points to a struct whose `size` is set.
#[inline]
pub(crate) unsafe fn check<T: Plain>(to: *mut T, argument: &str) -> Result<(), Fault> {
    if !to.is_null() {
        // SAFETY: as this function asks.
        unsafe { size_stated(to.cast_const(), argument) }?;
    }
    Ok(())
}

/// The size that a caller states.
///
/// # Safety
/// `from` is NULL, or points to a struct whose `size` is set.
#[inline]
pub(crate) unsafe fn size_stated<T: Plain>(from: *const T, argument: &str) -> Result<usize, Fault> {
    if from.is_null() {
        return Err(Fault::null(argument));
    }
    // SAFETY: not NULL, and `Plain` begins with its size.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    // At least one field beside it.
    if (size_of::<usize>() * 2..=SIZE_MAX).contains(&size) {
        return Ok(size);
    }
    let known = size_of::<T>();
    Err(Fault::argument(&format!(
        "`{argument}->size` is {size}: set it to the struct's `sizeof`, which is {known} here"
    )))
}

/// Reads a caller's struct, whose missing fields are zero. Beside it the size that the caller stated.
///
/// # Safety
/// `from` is NULL, or points to a struct whose `size` is set and says how many bytes there are.
#[inline]
pub(crate) unsafe fn read<T: Plain>(from: *const T, argument: &str) -> Result<(T, usize), Fault> {
    // SAFETY: as this function asks.
    let size = unsafe { size_stated(from, argument) }?;
    if size == size_of::<T>() {
        // SAFETY: the caller says that there are as many bytes.
        return Ok((unsafe { from.read_unaligned() }, size));
    }
    // SAFETY: the caller says how many bytes there are.
    unsafe { read_other(from, size, argument) }
}

/// The same, of another version's size.
///
/// # Safety
/// `from` points to `size` bytes.
#[cold]
unsafe fn read_other<T: Plain>(from: *const T, size: usize, argument: &str) -> Result<(T, usize), Fault> {
    let known = size_of::<T>();
    // SAFETY: `Plain` promises that all zeros are a value; `size` bytes can be read, and `known` be written.
    unsafe {
        let mut value = std::mem::zeroed::<T>();
        let bytes = from.cast::<u8>();
        ptr::copy_nonoverlapping(bytes, ptr::from_mut(&mut value).cast::<u8>(), size.min(known));
        if (known..size).any(|at| bytes.add(at).read() != 0) {
            let text = format!("`{argument}` has fields set that this version of the library doesn't know");
            return Err(Fault::argument(&text));
        }
        Ok((value, size))
    }
}

/// [`read`], where it lies, if that can be, else in `copy`.
///
/// # Safety
/// As [`read`].
#[inline(always)]
pub(crate) unsafe fn look<'c, T: Plain>(
    from: *const T,
    argument: &str,
    copy: &'c mut Option<T>,
) -> Result<&'c T, Fault> {
    // SAFETY: as this function asks.
    let size = unsafe { size_stated(from, argument) }?;
    if size == size_of::<T>() && from.is_aligned() {
        // SAFETY: the caller says that there are as many bytes, and `Plain` has no values that a program could get wrong.
        return Ok(unsafe { &*from });
    }
    // SAFETY: as this function asks.
    let (value, _) = unsafe { read(from, argument) }?;
    Ok(copy.insert(value))
}

/// [`read`], where NULL stands for the defaults, all zero.
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn read_or_default<T: Plain>(from: *const T, argument: &str) -> Result<T, Fault> {
    if from.is_null() {
        // SAFETY: `Plain` promises that all zeros are a value.
        return Ok(unsafe { std::mem::zeroed() });
    }
    // SAFETY: as this function asks.
    unsafe { read(from, argument) }.map(|(value, _)| value)
}
