//! What the tests share: a registry behind the ABI, with a clock that is set by hand, and its events.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    reason = "each test file uses a part; a test may fail loudly"
)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use softfuse_c::*;

/// A struct with its size, and zeros beside, as `SF_INIT` makes it.
macro_rules! sized {
    ($type:ty) => {{
        // SAFETY: structs that grow have numbers, pointers and optional functions alone.
        let mut value: $type = unsafe { std::mem::zeroed() };
        value.size = size_of::<$type>();
        value
    }};
}
pub(crate) use sized;

pub fn c(text: &str) -> CString {
    CString::new(text).expect("no zero byte")
}

/// A text of the library's.
pub fn text(of: *const c_char) -> String {
    assert!(!of.is_null(), "a text is NULL");
    // SAFETY: the library gave it, and it ends with a zero.
    unsafe { CStr::from_ptr(of) }.to_str().expect("UTF-8").to_owned()
}

/// A text of the library's that may be NULL.
pub fn text_if(of: *const c_char) -> Option<String> {
    (!of.is_null()).then(|| text(of))
}

/// A text that the library gave as ours.
pub fn taken(of: *mut c_char) -> String {
    let kept = text(of);
    // SAFETY: it is ours, and is freed once.
    unsafe { sf_string_free(of) };
    kept
}

/// Frees an error, and gives its message.
pub fn message(error: *mut sf_error) -> String {
    assert!(!error.is_null(), "there is no error");
    // SAFETY: the library gave it, and it is freed once.
    let error = unsafe { Box::from_raw(error) };
    let kept = text(sf_error_message(Some(&error)));
    sf_error_free(Some(error));
    kept
}

pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// A clock that is set by hand.
pub struct ByHand(pub AtomicI64);

/// As a C program would write it.
///
/// # Safety
/// `user` is a [`ByHand`].
pub unsafe extern "C" fn read_by_hand(user: *mut c_void) -> i64 {
    // SAFETY: as this function asks.
    unsafe { &*user.cast::<ByHand>() }.0.load(Ordering::Relaxed)
}

/// # Safety
/// `user` is of `Arc::<ByHand>::into_raw`.
unsafe extern "C" fn free_by_hand(user: *mut c_void) {
    // SAFETY: as this function asks.
    drop(unsafe { Arc::from_raw(user.cast::<ByHand>().cast_const()) });
}

/// A registry behind the ABI.
pub struct Registry {
    pub handle: *mut sf_registry,
    pub clock: Arc<ByHand>,
}

impl Registry {
    pub fn new(change: impl FnOnce(&mut sf_registry_settings)) -> Self {
        let clock = Arc::new(ByHand(AtomicI64::new(0)));
        let dir = c(cache().to_str().expect("UTF-8"));
        let mut settings = sized!(sf_registry_settings);
        settings.clock = Some(read_by_hand);
        settings.clock_user = Arc::into_raw(Arc::clone(&clock)).cast_mut().cast();
        settings.clock_free = Some(free_by_hand);
        settings.cache = sf_cache::SF_CACHE_DIR as i32;
        settings.cache_dir = dir.as_ptr();
        settings.has_salt = 1;
        change(&mut settings);
        let (mut handle, mut error) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: all as the header asks.
        let code = unsafe { sf_registry_new(&raw const settings, Some(&mut handle), Some(&mut error)) };
        // SAFETY: the library has written both.
        let (handle, error) = unsafe { (handle.assume_init(), error.assume_init()) };
        assert_eq!((code, error.is_null()), (sf_code::SF_OK, true));
        Self { handle, clock }
    }

    pub fn get(&self) -> Option<&sf_registry> {
        // SAFETY: it lives until this is dropped.
        Some(unsafe { &*self.handle })
    }

    pub fn at(&self, nanos: i64) {
        self.clock.0.store(nanos, Ordering::Relaxed);
    }

    pub fn policy(&self, text: &str) -> Result<Policy, *mut sf_error> {
        let (name, length) = (c("test.toml"), text.len());
        let (mut policy, mut error) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: all as the header asks.
        let code = unsafe {
            let text = text.as_ptr().cast();
            sf_policy_from_text(self.get(), name.as_ptr(), text, length, Some(&mut policy), Some(&mut error))
        };
        // SAFETY: the library has written both.
        let (policy, error) = unsafe { (policy.assume_init(), error.assume_init()) };
        assert_eq!(code == sf_code::SF_OK, error.is_null());
        if policy.is_null() { Err(error) } else { Ok(Policy(policy)) }
    }

    pub fn breaker(&self, name: &str, policy: &Policy, conditions: &[sf_condition]) -> Breaker {
        let name = c(name);
        let (mut breaker, mut error) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: all as the header asks.
        let code = unsafe {
            let (list, count) = (conditions.as_ptr(), conditions.len());
            sf_registry_breaker(
                self.get(),
                name.as_ptr(),
                policy.get(),
                list,
                count,
                Some(&mut breaker),
                Some(&mut error),
            )
        };
        // SAFETY: the library has written both.
        let (breaker, error) = unsafe { (breaker.assume_init(), error.assume_init()) };
        assert!(error.is_null(), "{}", message(error));
        assert_eq!(code, sf_code::SF_OK);
        Breaker(breaker)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // SAFETY: it is ours, and is freed once.
        sf_registry_free(Some(unsafe { Box::from_raw(self.handle) }));
    }
}

pub struct Policy(pub *mut sf_policy);

impl Policy {
    pub fn get(&self) -> Option<&sf_policy> {
        // SAFETY: it lives until this is dropped.
        Some(unsafe { &*self.0 })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // SAFETY: it is ours, and is freed once.
        sf_policy_free(Some(unsafe { Box::from_raw(self.0) }));
    }
}

pub struct Breaker(pub *mut sf_breaker);

impl Breaker {
    pub fn get(&self) -> Option<&sf_breaker> {
        // SAFETY: it lives until this is dropped.
        Some(unsafe { &*self.0 })
    }

    /// Takes a permit.
    pub fn take(&self, rejection: *mut sf_rejection) -> (sf_code, sf_permit) {
        let mut permit = MaybeUninit::uninit();
        // SAFETY: all as the header asks; the library writes the permit in any case.
        unsafe {
            let code = sf_permit_take(self.get(), Some(&mut permit), rejection);
            (code, permit.assume_init())
        }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        // SAFETY: it is ours, and is freed once.
        sf_breaker_free(Some(unsafe { Box::from_raw(self.0) }));
    }
}

/// Settles as this kind: the code, and the effect.
pub fn settle(permit: &mut sf_permit, kind: sf_kind) -> (sf_code, i32) {
    let mut outcome = sized!(sf_outcome);
    outcome.kind = kind as i32;
    let mut settled = sized!(sf_settled);
    settled.effect = -1;
    // SAFETY: all as the header asks.
    let code = unsafe { sf_permit_settle(Some(permit), &raw const outcome, &raw mut settled) };
    (code, settled.effect)
}

/// NULL, for an error that nobody asks for.
pub const NO_ERROR: Option<&mut MaybeUninit<*mut sf_error>> = None;

/// NULL, for what nobody asks for.
pub fn null<T>() -> *mut T {
    ptr::null_mut()
}
