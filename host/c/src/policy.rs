//! Policies: loaded from a text or a file, and what there is to know of one.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr;

use softfuse::Policy;

use crate::code::sf_code;
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::registry::sf_registry;
use crate::sized::{sized, write};
use crate::text::{owned, path, text, text_of};

/// A policy: validated, immutable settings. Whoever got it frees it with `sf_policy_free`; breakers that were made with it keep
/// what they need. Any threads, at once too.
pub struct sf_policy {
    pub(crate) inner: Policy,
    source_name: CString,
    conditions: Vec<CString>,
}

/// What there is to know of a policy.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_policy_info {
    /// `sizeof(sf_policy_info)`, set by the caller.
    pub size: usize,
    /// Equal for equal meaning: comments, order of keys and spelling of durations don't matter.
    pub fingerprint: u64,
    /// Bytes of the component's memory that a breaker takes once its windows are full.
    pub breaker_bytes: u64,
    /// 1 where a condition looks at scores: where none does, no scorer need run.
    pub uses_scores: u32,
    /// 1 where a success without a score is recorded as the policy's `missing_score`.
    pub require_quality_signal: u32,
    /// How many conditions of the host's own it names: see `sf_policy_condition_name`.
    pub condition_count: usize,
}

sized!(sf_policy_info);

/// Where a policy goes.
type PolicyOut<'a> = Option<&'a mut MaybeUninit<*mut sf_policy>>;

fn give(to: PolicyOut<'_>, load: impl FnOnce() -> Result<Policy, Fault>) -> Result<(), Fault> {
    let to = to.ok_or_else(|| Fault::null("policy"))?.write(ptr::null_mut());
    let inner = load()?;
    let conditions = inner.info().host_conditions.iter().map(|name| owned(name)).collect();
    let source_name = owned(inner.source_name());
    *to = Box::into_raw(Box::new(sf_policy { inner, source_name, conditions }));
    Ok(())
}

/// Loads a policy from text (TOML) of `length` bytes, or up to its zero byte where `length` is `SIZE_MAX`. `source_name` stands in
/// messages for where it comes from. Any threads, at once too.
///
/// `SF_INVALID_POLICY`: all that is wrong with it, at once, by `sf_error_problem`. `SF_COMPONENT_FAILED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_policy_from_text(
    registry: Option<&sf_registry>,
    source_name: *const c_char,
    policy_text: *const c_char,
    length: usize,
    policy: Option<&mut MaybeUninit<*mut sf_policy>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        give(policy, || {
            // SAFETY: by the header's rule of texts.
            let (source_name, policy_text) =
                unsafe { (text(source_name, "source_name")?, text_of(policy_text, length, "policy_text")?) };
            Ok(handle(registry, "registry")?.inner.policy(source_name, policy_text)?)
        })
    })
}

/// Loads a policy from a file. Any threads, at once too.
///
/// `SF_UNREADABLE`, and as `sf_policy_from_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_policy_from_file(
    registry: Option<&sf_registry>,
    file: *const c_char,
    policy: Option<&mut MaybeUninit<*mut sf_policy>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    run(error, || {
        give(policy, || {
            // SAFETY: by the header's rule of texts.
            let file = unsafe { path(file, "file") }?;
            Ok(handle(registry, "registry")?.inner.policy_file(file)?)
        })
    })
}

/// What there is to know of a policy, into `info`, whose `size` the caller has set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_policy_get_info(policy: Option<&sf_policy>, info: *mut sf_policy_info) -> sf_code {
    run(None, || {
        let known = handle(policy, "policy")?.inner.info();
        let set = |out: &mut sf_policy_info| {
            out.fingerprint = known.fingerprint;
            out.breaker_bytes = known.breaker_bytes;
            out.uses_scores = known.uses_scores.into();
            out.require_quality_signal = known.require_quality_signal.into();
            out.condition_count = known.host_conditions.len();
        };
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { write(info, "info", set) }
    })
}

/// Where a policy comes from: its file's path, or what it was called. The text is the policy's, and lives as long. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_policy_source_name(policy: Option<&sf_policy>) -> *const c_char {
    policy.map_or(ptr::null(), |policy| policy.source_name.as_ptr())
}

/// The name of the condition of the host's own at `index`, from 0, in order of appearance; NULL where there are fewer. The text
/// is the policy's, and lives as long.
#[unsafe(no_mangle)]
pub extern "C" fn sf_policy_condition_name(policy: Option<&sf_policy>, index: usize) -> *const c_char {
    policy.and_then(|policy| policy.conditions.get(index)).map_or(ptr::null(), |name| name.as_ptr())
}

/// Frees a policy. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_policy_free(policy: Option<Box<sf_policy>>) {
    ask((), || drop(policy));
}
