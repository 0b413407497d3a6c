//! Any text is a policy, or problems within it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    softfuse_corpora::policy::run(bytes);
});
