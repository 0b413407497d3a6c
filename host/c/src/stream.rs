//! Answers that a scorer sees in pieces, as they are streamed.

use std::mem::MaybeUninit;
use std::ptr;

use softfuse::ScoreStream;

use crate::code::sf_code;
use crate::exchange::{say, sf_exchange, sf_verdict};
use crate::fault::{Fault, ask, handle, run};
use crate::scorer::sf_scorer;
use crate::text::bytes;

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
        let shown = unsafe { crate::exchange::exchange(exchange) }?;
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
