//! Scorers by themselves: loaded, and shown answers, whole or in pieces. Who needs no breaker needs nothing else of this library.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use softfuse::{
    Body, Builtin, CacheDir, Engine, Exchange, ExchangeHead, ScoreOutcome, ScoreStream, Scorer, ScorerFailure,
    ScorerSettings,
};

use crate::code::sf_code;
use crate::fault::{Fault, ask, handle, run, sf_error};
use crate::registry::sf_registry;
use crate::sized::{Sized, read, read_or_default, size_stated, sized};
use crate::text::{bytes, fill, owned, path, text, text_or_empty};

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

/// One call and its answer, as a scorer is shown it. All zeros but `size` is one of which nothing is known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_exchange {
    /// `sizeof(sf_exchange)`, set by the caller.
    pub size: usize,
    /// What was asked for: `chat`, `embeddings`, `classify`. NULL where it isn't known.
    pub operation: *const c_char,
    /// The model's name. NULL where it isn't known.
    pub model: *const c_char,
    /// The request's media type, as in `application/json`. NULL where it isn't known.
    pub request_content_type: *const c_char,
    /// What was asked: `request_length` bytes.
    pub request: *const u8,
    /// See `request`.
    pub request_length: usize,
    /// The answer's media type, as in `text/plain`. NULL where it isn't known.
    pub answer_content_type: *const c_char,
    /// The answer: `answer_length` bytes.
    pub answer: *const u8,
    /// See `answer`.
    pub answer_length: usize,
    /// Whatever else is known, by name: `metadata_count` names.
    pub metadata_names: *const *const c_char,
    /// The values of the names.
    pub metadata_values: *const *const c_char,
    /// See `metadata_names`.
    pub metadata_count: usize,
    /// Not 0: the request was cut at a bound.
    pub request_truncated: u32,
    /// Not 0: the answer was cut at a bound.
    pub answer_truncated: u32,
}

sized!(sf_exchange);

/// What a scorer says.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_verdict_kind {
    /// Nothing yet, of an answer that is being streamed.
    SF_VERDICT_NONE_YET = 0,
    /// A score.
    SF_VERDICT_SCORE = 1,
    /// The exchange is none of the scorer's business; `text` says why. It is no score, and no failure.
    SF_VERDICT_ABSTAINED = 2,
    /// There is no score; `failure` and `text` say why.
    SF_VERDICT_FAILED = 3,
}

/// Why a scorer gave no score. Later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum sf_scorer_failure {
    /// It didn't fail.
    SF_SCORER_NO_FAILURE = 0,
    /// It didn't answer in time.
    SF_SCORER_DEADLINE = 1,
    /// It asked for more memory than it may have.
    SF_SCORER_MEMORY = 2,
    /// Its stack overflowed.
    SF_SCORER_STACK = 3,
    /// It trapped, or ended itself.
    SF_SCORER_TRAPPED = 4,
    /// It returned a number that is no score.
    SF_SCORER_INVALID_SCORE = 5,
    /// It handed over too much at once.
    SF_SCORER_OUTPUT = 6,
    /// The answer isn't of the form that it reads.
    SF_SCORER_MALFORMED = 7,
    /// It said that it can't say.
    SF_SCORER_REFUSED = 8,
    /// It refused its configuration.
    SF_SCORER_CONFIG = 9,
    /// It could not be instantiated.
    SF_SCORER_NOT_STARTING = 10,
    /// All its instances were at work for too long, or too many answers waited.
    SF_SCORER_BUSY = 11,
    /// Another failure.
    SF_SCORER_OTHER = 12,
}

/// What a scorer's run came to. The caller sets `size`, and `text` and `text_capacity` where it wants the words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sf_verdict {
    /// `sizeof(sf_verdict)`, set by the caller.
    pub size: usize,
    /// What it says, an `sf_verdict_kind`.
    pub kind: i32,
    /// Of `SF_VERDICT_FAILED`: why, an `sf_scorer_failure`.
    pub failure: i32,
    /// Of `SF_VERDICT_SCORE`: finite, at most 10^6 in magnitude, by convention from 0 (worthless) to 1 (good).
    pub score: f64,
    /// A buffer of the caller's for why it abstained or failed, or NULL. The text ends with a zero, and is cut between characters
    /// where it is too long.
    pub text: *mut c_char,
    /// How many bytes the buffer has, the zero included. Set by the caller.
    pub text_capacity: usize,
    /// How many bytes the whole text has, without the zero.
    pub text_bytes: usize,
}

sized!(sf_verdict);

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

/// Copies a caller's exchange.
///
/// # Safety
/// By the header's rules of structs that are read, texts, bytes and arrays.
pub(crate) unsafe fn exchange(from: *const sf_exchange) -> Result<Exchange, Fault> {
    // SAFETY: as this function asks.
    unsafe {
        let (given, _) = read(from, "exchange")?;
        let mut metadata = Vec::new();
        if given.metadata_count > 0 {
            if given.metadata_names.is_null() || given.metadata_values.is_null() {
                return Err(Fault::null("exchange->metadata_names"));
            }
            for at in 0..given.metadata_count {
                let name = text(given.metadata_names.add(at).read(), "exchange->metadata_names[]")?;
                let value = text(given.metadata_values.add(at).read(), "exchange->metadata_values[]")?;
                metadata.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(Exchange {
            head: ExchangeHead {
                operation: text_or_empty(given.operation, "exchange->operation")?.to_owned(),
                model: text_or_empty(given.model, "exchange->model")?.to_owned(),
                request: Body {
                    content_type: text_or_empty(given.request_content_type, "exchange->request_content_type")?
                        .to_owned(),
                    bytes: bytes(given.request, given.request_length, "exchange->request")?.to_vec(),
                    truncated: given.request_truncated != 0,
                },
                metadata,
            },
            answer: Body {
                content_type: text_or_empty(given.answer_content_type, "exchange->answer_content_type")?.to_owned(),
                bytes: bytes(given.answer, given.answer_length, "exchange->answer")?.to_vec(),
                truncated: given.answer_truncated != 0,
            },
        })
    }
}

/// Fills a verdict; none for nothing yet.
///
/// # Safety
/// By the header's rule of structs that are filled.
pub(crate) unsafe fn say(verdict: *mut sf_verdict, outcome: Option<&ScoreOutcome>) -> Result<(), Fault> {
    // SAFETY: as this function asks.
    let mut out = unsafe { Sized::out(verdict, "verdict") }?;
    let failed = sf_verdict_kind::SF_VERDICT_FAILED;
    let none = sf_scorer_failure::SF_SCORER_NO_FAILURE;
    let (kind, failure, score, why) = match outcome {
        None => (sf_verdict_kind::SF_VERDICT_NONE_YET, none, 0.0, String::new()),
        Some(ScoreOutcome::Score(score)) => (sf_verdict_kind::SF_VERDICT_SCORE, none, score.get(), String::new()),
        Some(ScoreOutcome::Abstained(why)) => (sf_verdict_kind::SF_VERDICT_ABSTAINED, none, 0.0, why.clone()),
        Some(ScoreOutcome::Failed(failure)) => (failed, word(failure), 0.0, failure.to_string()),
    };
    (out.kind, out.failure, out.score) = (kind as i32, failure as i32, score);
    // SAFETY: the header asks that the buffer has as many bytes as are said.
    out.text_bytes = unsafe { fill(out.text, out.text_capacity, &why) };
    out.finish();
    Ok(())
}

const fn word(failure: &ScorerFailure) -> sf_scorer_failure {
    match failure {
        ScorerFailure::DeadlineExceeded(_) => sf_scorer_failure::SF_SCORER_DEADLINE,
        ScorerFailure::OutOfMemory(_) => sf_scorer_failure::SF_SCORER_MEMORY,
        ScorerFailure::StackOverflow => sf_scorer_failure::SF_SCORER_STACK,
        ScorerFailure::Trapped(_) => sf_scorer_failure::SF_SCORER_TRAPPED,
        ScorerFailure::InvalidScore(_) => sf_scorer_failure::SF_SCORER_INVALID_SCORE,
        ScorerFailure::OutputTooLarge(_) => sf_scorer_failure::SF_SCORER_OUTPUT,
        ScorerFailure::Malformed(_) => sf_scorer_failure::SF_SCORER_MALFORMED,
        ScorerFailure::Refused(_) => sf_scorer_failure::SF_SCORER_REFUSED,
        ScorerFailure::BadConfig(_) => sf_scorer_failure::SF_SCORER_CONFIG,
        ScorerFailure::NotStarting(_) => sf_scorer_failure::SF_SCORER_NOT_STARTING,
        ScorerFailure::Busy(_) => sf_scorer_failure::SF_SCORER_BUSY,
        _ => sf_scorer_failure::SF_SCORER_OTHER,
    }
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
        let shown = self::exchange(exchange)?;
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

/// An answer that is being streamed to a scorer. Whoever got it ends it, once, with `sf_stream_finish` or `sf_stream_free`. One
/// thread at a time.
pub struct sf_stream {
    inner: ScoreStream,
}

/// Begins to score an answer that comes in pieces. `exchange` says what is known by then; the answer's bytes in it aren't looked at.
/// A scorer that takes streams sees each piece as it passes, in an instance that is this stream's from now on; for another they are
/// collected, up to its `answer_bytes_max`, and it sees them at the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_stream_begin(
    scorer: Option<&sf_scorer>,
    exchange: *const sf_exchange,
    stream: Option<&mut MaybeUninit<*mut sf_stream>>,
) -> sf_code {
    run(None, || {
        let to = stream.ok_or_else(|| Fault::null("stream"))?.write(ptr::null_mut());
        // SAFETY: by the header's rules of structs that are read.
        let shown = unsafe { self::exchange(exchange) }?;
        let inner = handle(scorer, "scorer")?.inner.stream(shown.head, &shown.answer.content_type);
        *to = Box::into_raw(Box::new(sf_stream { inner }));
        Ok(())
    })
}

/// The next piece of `length` bytes, in order. `verdict`, where it isn't NULL, says what the scorer said: `SF_VERDICT_NONE_YET` mostly.
/// A verdict may come before the end: an answer that is worthless already need not be read on. It still takes an
/// `sf_stream_finish`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_stream_push(
    stream: Option<&mut sf_stream>,
    piece: *const u8,
    length: usize,
    verdict: *mut sf_verdict,
) -> sf_code {
    run(None, || {
        let stream = stream.ok_or_else(|| Fault::null("stream"))?;
        // SAFETY: by the header's rule of bytes.
        let said = stream.inner.push(unsafe { bytes(piece, length, "piece") }?);
        if verdict.is_null() {
            return Ok(());
        }
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { say(verdict, said) }
    })
}

/// The answer has ended; `complete` is 0 where it broke off. What the whole came to, and the stream is freed, whatever the code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sf_stream_finish(
    stream: Option<Box<sf_stream>>,
    complete: i32,
    verdict: *mut sf_verdict,
) -> sf_code {
    run(None, || {
        let stream = stream.ok_or_else(|| Fault::null("stream"))?;
        let outcome = stream.inner.finish(complete != 0);
        if verdict.is_null() {
            return Ok(());
        }
        // SAFETY: by the header's rule of structs that are filled.
        unsafe { say(verdict, Some(&outcome)) }
    })
}

/// Gives a stream up, without a score. NULL is nothing.
#[unsafe(no_mangle)]
pub extern "C" fn sf_stream_free(stream: Option<Box<sf_stream>>) {
    ask((), || drop(stream));
}
