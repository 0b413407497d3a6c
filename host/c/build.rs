//! Names the shared library for who links with it: `libsoftfuse.so.0`, whose number changes with the ABI.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsoftfuse.so.0");
    }
}
