//! Texts and bytes on their way across: in as the caller's, out as the caller's to free, or into a buffer of the caller's.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::ptr;
use std::slice;

use crate::code::sf_code;
use crate::fault::{Fault, ask};

/// A text as C reads it. It can't hold a zero byte, so one that has some gets `U+FFFD` in their places.
pub(crate) fn owned(text: &str) -> CString {
    let text: Cow<'_, str> = if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() };
    CString::new(text.into_owned()).unwrap_or_default()
}

/// A caller's text.
///
/// # Safety
/// `text` is NULL, or points to bytes that end with a zero, and stay as they are for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, argument: &str) -> Result<&'a str, Fault> {
    if text.is_null() {
        return Err(Fault::null(argument));
    }
    // SAFETY: not NULL, and as this function asks.
    let text = unsafe { CStr::from_ptr(text) };
    utf8(text.to_bytes(), argument)
}

/// A caller's text, where NULL stands for an empty one.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn text_or_empty<'a>(from: *const c_char, argument: &str) -> Result<&'a str, Fault> {
    if from.is_null() {
        return Ok("");
    }
    // SAFETY: as this function asks.
    unsafe { text(from, argument) }
}

/// A caller's text of a length, or up to its zero byte where the length is `SIZE_MAX`.
///
/// # Safety
/// As [`text`], or `from` points to `length` bytes.
pub(crate) unsafe fn text_of<'a>(from: *const c_char, length: usize, argument: &str) -> Result<&'a str, Fault> {
    if length == usize::MAX {
        // SAFETY: as this function asks.
        return unsafe { text(from, argument) };
    }
    // SAFETY: as this function asks.
    utf8(unsafe { bytes(from.cast(), length, argument) }?, argument)
}

fn utf8<'a>(bytes: &'a [u8], argument: &str) -> Result<&'a str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Fault::new(sf_code::SF_INVALID_UTF8, format!("`{argument}` is not UTF-8 from byte {at} on"))
    })
}

/// A caller's path: on Unix whatever bytes a file's name has, elsewhere UTF-8.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn path(from: *const c_char, argument: &str) -> Result<PathBuf, Fault> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        if from.is_null() {
            return Err(Fault::null(argument));
        }
        // SAFETY: not NULL, and as this function asks.
        let bytes = unsafe { CStr::from_ptr(from) }.to_bytes();
        Ok(std::ffi::OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    // SAFETY: as this function asks.
    unsafe {
        text(from, argument).map(PathBuf::from)
    }
}

/// A caller's bytes. NULL is right where there are none.
///
/// # Safety
/// `from` points to `length` bytes that stay as they are for `'a`; it may be anything where `length` is 0.
pub(crate) unsafe fn bytes<'a>(from: *const u8, length: usize, argument: &str) -> Result<&'a [u8], Fault> {
    if length == 0 {
        return Ok(&[]);
    }
    if from.is_null() {
        return Err(Fault::null(argument));
    }
    if isize::try_from(length).is_err() {
        return Err(Fault::argument(&format!("`{argument}` has {length} bytes, more than there is memory")));
    }
    // SAFETY: not NULL, not too long, and as this function asks.
    Ok(unsafe { slice::from_raw_parts(from, length) })
}

/// Copies a text into a caller's buffer, cut between characters, with a zero at its end: how many bytes the whole text has.
///
/// # Safety
/// `to` is NULL, or points to `capacity` bytes that can be written.
pub(crate) unsafe fn fill(to: *mut c_char, capacity: usize, text: &str) -> usize {
    if !to.is_null() && capacity > 0 {
        let kept = text.floor_char_boundary(text.len().min(capacity - 1));
        // SAFETY: `kept` and the zero fit, and nobody else writes there.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), to.cast::<u8>(), kept);
            to.add(kept).write(0);
        }
    }
    text.len()
}

/// Where something goes that is given, NULL until it is: so that it is NULL where its function fails.
pub(crate) fn cleared<T>(to: Option<&mut MaybeUninit<*mut T>>) -> Option<&mut *mut T> {
    to.map(|to| to.write(ptr::null_mut()))
}

/// Hands a text over, which `sf_string_free` frees.
pub(crate) fn give(to: Option<&mut *mut c_char>, argument: &str, text: &str) -> Result<(), Fault> {
    let to = to.ok_or_else(|| Fault::null(argument))?;
    *to = owned(text).into_raw();
    Ok(())
}

/// Frees a text that the library gave as the caller's own. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: by the header, it comes from `give`, and is freed once.
        ask((), || drop(unsafe { CString::from_raw(text) }));
    }
}

/// Frees bytes that the library gave as the caller's own, with the length that it gave. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_bytes_free(bytes: *mut u8, length: usize) {
    if !bytes.is_null() {
        // SAFETY: by the header, they come from `give_bytes`, of this length, and are freed once.
        ask((), || drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes, length)) }));
    }
}

/// Hands bytes over, which `sf_bytes_free` frees.
pub(crate) fn give_bytes(bytes: Vec<u8>) -> (*mut u8, usize) {
    let length = bytes.len();
    (Box::into_raw(bytes.into_boxed_slice()).cast(), length)
}
