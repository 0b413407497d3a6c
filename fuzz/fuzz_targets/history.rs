//! Any steps keep the breaker's promises.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    softfuse_corpora::history::run(bytes);
});
