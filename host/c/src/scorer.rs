//! Scorers by themselves: loaded, and shown answers. Who needs no breaker needs nothing else of this library.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use softfuse::{Builtin, CacheDir, Engine, Exchange, Scorer, ScorerSettings};

use crate::code::sf_code;
use crate::exchange::{say, sf_exchange, sf_verdict};
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::registry::sf_registry;
use crate::sized::{read_or_default, size_stated, sized};
use crate::text::{bytes, owned, path, text, text_or_empty};

/// A scorer: a component that says how good an answer is, in a sandbox. Whoever got it frees it with `sf_scorer_free`. Any threads,
/// at once too: as many as `instances_max` are served at once, the others wait, no longer than `deadline_ns`.
pub struct sf_scorer {
    pub(crate) inner: Scorer,
    name: CString,
}

/// How a scorer is run. All zeros but `size` are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_scorer_settings {
    /// `sizeof(sf_scorer_settings)`, set by the caller.
    pub size: usize,
    /// Its configuration, in a format of its own, TOML in those that come with the library. NULL for its defaults.
    pub config: *const c_char,
    /// A registry whose engine runs it, and whose cache keeps its compiled code; NULL for one of the process's own, which lives as
    /// long as the process and keeps compiled code in the user's cache folder.
    pub registry: *const sf_registry,
    /// How long it may take for one answer, or one piece of a stream, in nanoseconds; 0 for 1 s. At most an hour; kept to 5 ms.
    pub deadline_ns: u64,
    /// How long it may take to start and to read its configuration, in nanoseconds; 0 for 10 s. At most an hour.
    pub start_deadline_ns: u64,
    /// Memory that one instance may have, in bytes; 0 for 256 MiB.
    pub memory_bytes_max: usize,
    /// What it may hand over in one call, in bytes; 0 for 1 MiB.
    pub output_bytes_max: usize,
    /// What a stream's pieces are collected up to, for a scorer that takes no streams, in bytes; 0 for 64 KiB.
    pub answer_bytes_max: usize,
    /// Instances at most, and so answers that are scored at once; 0 for 4.
    pub instances_max: u32,
    /// Not 0: every answer gets an instance of its own, so that nothing can be carried over from one to the next.
    pub fresh: u32,
}

sized!(sf_scorer_settings);

/// What scorers run on that belong to no registry.
fn process_engine() -> Result<Engine, Fault> {
    static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);
    let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = &*engine {
        return Ok(engine.clone());
    }
    let made = Engine::new(CacheDir::Default)?;
    *engine = Some(made.clone());
    Ok(made)
}

/// Makes a scorer.
///
/// # Safety
/// By the header's rules, for `settings`.
unsafe fn give(
    settings: *const sf_scorer_settings,
    scorer: Option<&mut MaybeUninit<*mut sf_scorer>>,
    make: impl FnOnce(&Engine, ScorerSettings) -> Result<Scorer, Fault>,
) -> Result<(), Fault> {
    let to = scorer.ok_or_else(|| Fault::null("scorer"))?.write(ptr::null_mut());
    // SAFETY: as this function asks.
    let given = unsafe { read_or_default(settings, "settings") }?;
    // SAFETY: as this function asks.
    let config = unsafe { text_or_empty(given.config, "settings->config") }?;
    // SAFETY: by the header it is NULL or a registry that lives.
    let registry = unsafe { given.registry.as_ref() };
    let engine = match registry {
        Some(registry) => registry.inner.engine().clone(),
        None => process_engine()?,
    };
    let mut used = ScorerSettings::with_config(config);
    let set = |given: usize, to: &mut usize| {
        if given > 0 {
            *to = given;
        }
    };
    let set_span = |given: u64, to: &mut Duration| {
        if given > 0 {
            *to = Duration::from_nanos(given);
        }
    };
    set_span(given.deadline_ns, &mut used.deadline);
    set_span(given.start_deadline_ns, &mut used.start_deadline);
    set(given.memory_bytes_max, &mut used.memory_bytes_max);
    set(given.output_bytes_max, &mut used.output_bytes_max);
    set(given.answer_bytes_max, &mut used.answer_bytes_max);
    set(given.instances_max as usize, &mut used.instances_max);
    used.fresh = given.fresh != 0;
    let inner = make(&engine, used)?;
    let name = owned(inner.name());
    *to = Box::into_raw(Box::new(sf_scorer { inner, name }));
    Ok(())
}

/// A scorer that comes with the library: `text`, `logprobs` or `embedding`. `settings` may be NULL for the defaults.
///
/// `SF_NOT_FOUND`: there is none of this name. `SF_SCORER_FAILED`: it refuses its configuration, and `sf_error_problem` tells each
/// problem. `SF_NOT_LOADED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_scorer_builtin(
    name: *const c_char,
    settings: *const sf_scorer_settings,
    scorer: Option<&mut MaybeUninit<*mut sf_scorer>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    // SAFETY: by the header's rules of texts and structs that are read.
    run(error, || unsafe {
        give(settings, scorer, |engine, settings| {
            let name = text(name, "name")?;
            let builtin = Builtin::named(name).ok_or_else(|| {
                let names = Builtin::ALL.map(Builtin::name).join(", ");
                Fault::new(sf_code::SF_NOT_FOUND, format!("there is no scorer `{name}`; there are {names}"))
            })?;
            Ok(Scorer::builtin(engine, builtin, settings)?)
        })
    })
}

/// A scorer from a component's file, named by the file's stem. `settings` may be NULL for the defaults.
///
/// `SF_UNREADABLE`, `SF_NOT_LOADED`, `SF_SCORER_FAILED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_scorer_from_file(
    file: *const c_char,
    settings: *const sf_scorer_settings,
    scorer: Option<&mut MaybeUninit<*mut sf_scorer>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    // SAFETY: by the header's rules of texts and structs that are read.
    run(error, || unsafe {
        give(settings, scorer, |engine, settings| Ok(Scorer::from_file(engine, &path(file, "file")?, settings)?))
    })
}

/// A scorer from the `length` bytes of a component, which are copied. `name` stands for it in messages and metrics. `settings` may be
/// NULL for the defaults.
///
/// `SF_NOT_LOADED`, `SF_SCORER_FAILED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_scorer_from_bytes(
    name: *const c_char,
    component: *const u8,
    length: usize,
    settings: *const sf_scorer_settings,
    scorer: Option<&mut MaybeUninit<*mut sf_scorer>>,
    error: Option<&mut MaybeUninit<*mut sf_error>>,
) -> sf_code {
    // SAFETY: by the header's rules of texts, bytes and structs that are read.
    run(error, || unsafe {
        give(settings, scorer, |engine, settings| {
            let (name, component) = (text(name, "name")?, bytes(component, length, "component")?);
            Ok(Scorer::from_bytes(engine, name, component, settings)?)
        })
    })
}

/// Frees a scorer. What scores with it, by `sf_scoring_start` or as a stream, goes on. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_scorer_free(scorer: Option<Box<sf_scorer>>) {
    ask((), || drop(scorer));
}

/// Its name. The text is the scorer's, and lives as long. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_scorer_name(scorer: Option<&sf_scorer>) -> *const c_char {
    scorer.map_or(ptr::null(), |scorer| scorer.name.as_ptr())
}

/// 1 where it takes streams as they pass; 0 where their pieces are collected, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn sf_scorer_is_streaming(scorer: Option<&sf_scorer>) -> i32 {
    ask(0, || scorer.map_or(0, |scorer| scorer.inner.is_streaming().into()))
}

/// Scores one exchange on this thread, and waits for it. Whatever the scorer does, `verdict` says what it came to, and the code is
/// `SF_OK`.
///
/// `SF_INVALID_ARGUMENT`, `SF_INVALID_UTF8`: of what was handed in. The answer may be any bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_scorer_score(
    scorer: Option<&sf_scorer>,
    exchange: *const sf_exchange,
    verdict: *mut sf_verdict,
) -> sf_code {
    // SAFETY: by the header's rules of structs.
    run(None, || unsafe {
        size_stated(verdict.cast_const(), "verdict")?;
        let shown = crate::exchange::exchange(exchange)?;
        say(verdict, Some(&handle(scorer, "scorer")?.inner.score(&shown)))
    })
}

/// `sf_scorer_score` of an answer of which nothing else is known: `length` bytes of this content type, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_scorer_score_answer(
    scorer: Option<&sf_scorer>,
    content_type: *const c_char,
    answer: *const u8,
    length: usize,
    verdict: *mut sf_verdict,
) -> sf_code {
    // SAFETY: by the header's rules of structs, texts and bytes.
    run(None, || unsafe {
        size_stated(verdict.cast_const(), "verdict")?;
        let content_type = text_or_empty(content_type, "content_type")?;
        let shown = Exchange::of_answer(content_type, bytes(answer, length, "answer")?);
        say(verdict, Some(&handle(scorer, "scorer")?.inner.score(&shown)))
    })
}
