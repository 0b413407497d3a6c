//! Compiles the one frame of C that stands between this extension and the Python that it calls.

fn main() {
    println!("cargo:rerun-if-changed=src/stay.c");
    // Cleanups are run when a thread is ended: a compiler for C leaves that out unless it is told.
    cc::Build::new().file("src/stay.c").flag_if_supported("-fexceptions").warnings(true).compile("softfuse_stay");
}
