//! Any bytes are a snapshot, or an error; what is restored works.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    softfuse_corpora::snapshot::run(bytes);
});
