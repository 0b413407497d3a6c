//! Compiles the frames of C that stand between this extension and the Python that it calls, and has the linker lead its calls there.

/// Each function of Python's that is called from here, or that is known to need no frame: see there.
const FRAMES: &str = include_str!("src/stay.c");

fn main() {
    println!("cargo:rerun-if-changed=src/stay.c");
    let of_target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // Elsewhere a thread that ends isn't unwound.
    if of_target("OS") != "linux" || of_target("ENV") != "gnu" {
        return;
    }
    // Cleanups are run when a thread is ended: a compiler for C leaves that out unless it is told.
    cc::Build::new().file("src/stay.c").flag("-fexceptions").warnings(true).compile("softfuse_stay");
    for name in wrapped() {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--wrap={name}");
    }
}

/// What is led to a frame.
fn wrapped() -> impl Iterator<Item = &'static str> {
    let name = |declared: &'static str| declared.split([',', '(', ' ']).find(|word| word.starts_with("Py"));
    FRAMES.lines().filter_map(move |line| {
        let declared = line.strip_prefix("WRAP(").or_else(|| line.strip_prefix("WRAP_VOID("));
        let declared = declared
            .or_else(|| line.strip_prefix("extern").and_then(|rest| rest.split_once("__real_")).map(|(_, rest)| rest));
        declared.and_then(name)
    })
}
