//! Any bytes are a trace under any mapping: its calls, and its bad lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    softfuse_corpora::trace::run(bytes);
});
