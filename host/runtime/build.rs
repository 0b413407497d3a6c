//! Builds the guest components that the library embeds, so that `cargo build` alone suffices on a fresh machine.
//!
//! The inner cargo has a target folder of its own under `OUT_DIR`, since sharing the outer one's would deadlock on its
//! lock, and it sees none of the outer one's flags, which are meant for the host.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use sha2::{Digest, Sha256};

/// What the components are built for.
const TARGET: &str = "wasm32-wasip2";

/// The guest packages, the variable that names each artifact, and the size over which the build warns: a component is
/// loaded by every host, a browser's among them.
const GUESTS: [(&str, &str, u64); 4] = [
    ("softfuse-breaker", "SOFTFUSE_BREAKER_WASM", 400 * 1024),
    ("softfuse-scorer-text", "SOFTFUSE_SCORER_TEXT_WASM", 400 * 1024),
    ("softfuse-scorer-logprobs", "SOFTFUSE_SCORER_LOGPROBS_WASM", 400 * 1024),
    ("softfuse-scorer-embedding", "SOFTFUSE_SCORER_EMBEDDING_WASM", 400 * 1024),
];

/// What the outer build says to its own compilers, and the guests must not hear.
const CLEARED: [&str; 15] = [
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_PROFILE_RELEASE_DEBUG",
    "MAKEFLAGS",
    "MFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CLIPPY_ARGS",
];

fn main() {
    let root = workspace_root();
    watch(&root);
    contract("SOFTFUSE_BREAKER_WIT", &root.join("wit/breaker/breaker.wit"));
    contract("SOFTFUSE_SCORER_WIT", &root.join("wit/scorer/scorer.wit"));
    require_target(&root);
    let target_dir = PathBuf::from(variable("OUT_DIR")).join("guest");
    build(&root, &target_dir);
    for (package, variable, size_max) in GUESTS {
        let file = target_dir.join(TARGET).join("guest").join(format!("{}.wasm", package.replace('-', "_")));
        let Ok(metadata) = file.metadata() else {
            fail(&format!("the build of `{package}` left no {}", file.display()));
        };
        if metadata.len() > size_max {
            println!("cargo::warning={package} has grown to {} bytes; its bound is {size_max}", metadata.len());
        }
        println!("cargo::rustc-env={variable}={}", file.display());
        // So that no process has to compute it when it starts.
        let bytes = fs::read(&file).unwrap_or_else(|error| fail(&format!("{}: {error}", file.display())));
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        println!("cargo::rustc-env={variable}_SHA256={digest}");
    }
}

/// The folder that holds `Cargo.toml` of the workspace.
fn workspace_root() -> PathBuf {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    match manifest.ancestors().nth(2) {
        Some(root) if root.join("guest/breaker/Cargo.toml").is_file() => root.to_owned(),
        _ => fail(&format!("no guest/breaker two folders above {}: build inside the workspace", manifest.display())),
    }
}

fn watch(root: &Path) {
    for path in ["guest", "wit", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
}

fn contract(variable: &str, path: &Path) {
    println!("cargo::rustc-env={variable}={}", path.display());
}

/// Makes sure that the compiler has the guests' target: through rustup where that works, otherwise by saying what to do.
fn require_target(root: &Path) {
    let libdir = target_libdir(root);
    println!("cargo::rerun-if-changed={}", libdir.display());
    if has_std(&libdir) {
        return;
    }
    // rustup knows the toolchain by this name; a compiler that isn't rustup's has none, or can't be added to.
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(root);
    let said = match rustup.output() {
        Ok(output) if output.status.success() && has_std(&target_libdir(root)) => return,
        Ok(output) => format!("`rustup target add {TARGET}` said: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => format!("rustup can't be run: {error}"),
    };
    fail(&format!(
        "the Rust target {TARGET} is missing, which the components are built for, and adding it failed. {said}\n\
         Type `rustup target add {TARGET}`; where Rust comes from a distribution, install its package for that target. \
         It was looked for in {}",
        libdir.display()
    ));
}

/// Where the compiler keeps the target's standard library, or would.
fn target_libdir(root: &Path) -> PathBuf {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(root);
    match rustc.output() {
        Ok(output) if output.status.success() => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
        Ok(output) => fail(&format!(
            "this compiler doesn't know the target {TARGET}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => fail(&format!("the compiler can't be run: {error}")),
    }
}

/// Whether a folder holds a standard library.
fn has_std(libdir: &Path) -> bool {
    let Ok(entries) = libdir.read_dir() else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn build(root: &Path, target_dir: &Path) {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(root).args(["build", "--profile", "guest", "--target", TARGET, "--target-dir"]).arg(target_dir);
    if root.join("Cargo.lock").is_file() {
        // The outer cargo has just settled the lock file; the inner one must not write it.
        cargo.arg("--locked");
    }
    for (package, ..) in GUESTS {
        cargo.args(["--package", package]);
    }
    for name in CLEARED {
        cargo.env_remove(name);
    }
    // What cargo tells a build script about its own package would make the guests' build scripts see the wrong one, and
    // a profile or target that the environment overrides is the host's.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PKG_", "CARGO_TARGET_", "CARGO_PROFILE_", "DEP_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            cargo.env_remove(&name);
        }
    }
    match cargo.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => fail(&format!("the guest components don't build:\n{}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => fail(&format!("cargo can't be run for the guest components: {error}")),
    }
}

/// A variable that cargo sets for every build script.
fn variable(name: &str) -> OsString {
    match env::var_os(name) {
        Some(value) => value,
        None => fail(&format!("{name} isn't set: this program is run by cargo")),
    }
}

fn fail(message: &str) -> ! {
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    exit(1)
}
