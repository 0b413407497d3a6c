//! Who may know whom: the core knows nobody, the component the core, hosts the runtime, and the runtime alone the engine
//! that runs components.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use softfuse_tidy::{files, files_ending, none, root};
use std::fs;

/// The engine's name, in parts, so that the rule doesn't break itself.
const ENGINE: &str = concat!("wasm", "time");

/// What tells a clock or randomness in a guest's code. Times come in as arguments, so that the same calls give the same
/// decisions.
const IMPURE: [&str; 6] = ["std::time", "Instant::now", "SystemTime", "getrandom", "rand::", "thread_rng"];

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.current_dir(root()).no_deps();
    command.exec().unwrap_or_else(|error| panic!("cargo metadata: {error}"))
}

/// A package's folder from the root, as in `guest/core`.
fn folder(metadata: &Metadata, package: &Package) -> String {
    let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder).as_str().replace('\\', "/")
}

/// Whether a crate in one folder may depend on one in another. Development dependencies may reach further: a host's
/// tests compare it with the core, and its bench compares sandboxed scorers with their own code.
fn may_depend(from: &str, to: &str, kind: DependencyKind) -> bool {
    let development = kind == DependencyKind::Development;
    let kit = to == "tests/kit" && development;
    match from {
        // The core stands alone, and so does what a bare component needs. Whoever reads traces needs no breaker, but the names of
        // outcomes; a lease needs no component.
        "guest/core" | "guest/bare" | "host/outcome" | "host/lease" => false,
        "host/trace" => to == "host/outcome",
        "guest/breaker" => matches!(to, "guest/core" | "guest/bare"),
        _ if from.starts_with("guest/scorers/") => to.starts_with("guest/scorers/common") || to == "guest/bare",
        "host/runtime" => matches!(to, "host/lease" | "host/outcome") || kit || development && to.starts_with("guest/"),
        "host/c" => to == "host/runtime" || kit || development && to == "guest/core",
        _ if from.starts_with("host/") => to.starts_with("host/") || kit,
        _ if from.starts_with("examples/") => to == "host/runtime" || to.starts_with("guest/scorers/common"),
        _ => from.starts_with("tests/"),
    }
}

#[test]
fn nothing_reaches_back_up() {
    let metadata = metadata();
    let mut breaches = Vec::new();
    let mut edges = 0;
    for package in metadata.workspace_packages() {
        let from = folder(&metadata, package);
        for dependency in &package.dependencies {
            let Some(path) = &dependency.path else { continue };
            let to = path.strip_prefix(&metadata.workspace_root).unwrap_or(path).as_str().replace('\\', "/");
            edges += 1;
            if !may_depend(&from, &to, dependency.kind) {
                breaches.push(format!("{from} depends on {to} ({})", dependency.kind));
            }
        }
    }
    assert!(edges >= 10, "only {edges} dependencies between our crates were found");
    none("dependencies point downwards", &breaches);
}

#[test]
fn the_engine_is_known_to_the_runtime_alone() {
    let metadata = metadata();
    let mut breaches = Vec::new();
    let mut runtime_knows_it = false;
    for package in metadata.workspace_packages() {
        let from = folder(&metadata, package);
        let known = package.dependencies.iter().filter(|dependency| dependency.name.starts_with(ENGINE));
        if from == "host/runtime" {
            runtime_knows_it = known.count() > 0;
        } else {
            breaches.extend(known.map(|dependency| format!("{from} depends on {}", dependency.name)));
        }
    }
    assert!(runtime_knows_it, "host/runtime doesn't depend on {ENGINE}: is this rule about the right thing?");
    let outside = |path: &str| !path.starts_with("host/runtime/");
    for file in files_ending(".rs").into_iter().filter(|file| outside(&file.path)) {
        let named = [format!("{ENGINE}::"), format!("{ENGINE}_wasi"), format!("use {ENGINE}")];
        for (index, line) in file.text.lines().enumerate() {
            if named.iter().any(|name| line.contains(name)) {
                breaches.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    none("only host/runtime names the engine", &breaches);
}

/// Where code may say `unsafe`: the C ABI, what a component's world is made of, and three places that say why.
const UNSAFE: [&str; 7] = [
    "guest/core/tests/frugal.rs",
    "host/c/",
    "host/python/src/raw.rs",
    "guest/bare/src/",
    "guest/breaker/src/lib.rs",
    "guest/scorers/common/src/glue.rs",
    "host/runtime/src/engine/code.rs",
];

#[test]
fn unsafe_stays_where_it_belongs() {
    // In parts, or this file would say it. Whoever only speaks of it does so in a comment or a lint.
    let word = concat!("uns", "afe");
    let (block, item) = (format!("{word} {{"), format!("{word} fn"));
    let mut breaches = Vec::new();
    for file in files_ending(".rs").into_iter().filter(|file| !UNSAFE.iter().any(|place| file.path.starts_with(place)))
    {
        for (index, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            if code.contains(&block) || code.contains(&item) || code.contains(&format!("{word} impl")) {
                breaches.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    none("the C ABI alone is made of pointers", &breaches);
}

#[test]
fn guests_have_no_clock_and_no_randomness() {
    let mut breaches = Vec::new();
    for file in files_ending(".rs").into_iter().filter(|file| file.path.starts_with("guest/")) {
        for (index, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for impure in IMPURE.iter().filter(|impure| code.contains(*impure)) {
                breaches.push(format!("{}:{}: {impure}", file.path, index + 1));
            }
        }
    }
    none("time is an argument", &breaches);
}

#[test]
fn the_core_and_the_component_do_without_std() {
    for path in ["guest/core/src/lib.rs", "guest/breaker/src/lib.rs", "guest/bare/src/lib.rs"] {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let without = text.lines().any(|line| line.starts_with("#![") && line.contains("no_std"));
        assert!(without, "{path} doesn't say no_std");
    }
    let with =
        |file: &&softfuse_tidy::File| file.path.starts_with("guest/core/") && file.text.contains("extern crate std");
    let breaches: Vec<String> = files().iter().filter(with).map(|file| file.path.clone()).collect();
    none("the core doesn't bring std back", &breaches);
}

#[test]
fn clippy_bans_clocks_in_guests() {
    // clippy looks for its file from a crate's folder upwards, so that one of a crate's own would hide this one.
    let own: Vec<String> = files_ending("clippy.toml").into_iter().map(|file| file.path).collect();
    assert!(own.contains(&"guest/clippy.toml".to_owned()), "guest/clippy.toml is gone; there are {own:?}");
    let hiding: Vec<String> =
        own.into_iter().filter(|path| path.starts_with("guest/") && path != "guest/clippy.toml").collect();
    none("a clippy.toml in a crate's folder hides guest/clippy.toml", &hiding);
    let text = fs::read_to_string(root().join("guest/clippy.toml")).unwrap_or_default();
    let config: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("guest/clippy.toml: {error}"));
    let banned = |key: &str| config.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let entries = [banned("disallowed-methods"), banned("disallowed-types")].concat();
    for path in ["std::time::Instant::now", "std::time::SystemTime"] {
        let entry = entries.iter().find(|entry| entry.get("path").and_then(toml::Value::as_str) == Some(path));
        let reason = entry.and_then(|entry| entry.get("reason")).and_then(toml::Value::as_str);
        assert!(reason.is_some_and(|reason| !reason.is_empty()), "{path} is to be banned, with a reason");
    }
}

#[test]
fn every_crate_takes_what_the_workspace_says() {
    let metadata = metadata();
    let mut breaches = Vec::new();
    for package in metadata.workspace_packages() {
        let text = fs::read_to_string(&package.manifest_path).unwrap_or_default();
        let manifest: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", package.name));
        let inherits = |table: &str, key: &str| {
            let value = manifest.get(table).and_then(|table| table.get(key));
            let value = if table == "lints" { value } else { value.and_then(|value| value.get("workspace")) };
            value.and_then(toml::Value::as_bool) == Some(true)
        };
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !inherits("package", key) {
                breaches.push(format!("{}: `{key}.workspace = true` is missing", package.name));
            }
        }
        if !inherits("lints", "workspace") {
            breaches.push(format!("{}: `[lints] workspace = true` is missing", package.name));
        }
        if package.description.as_deref().is_none_or(str::is_empty) {
            breaches.push(format!("{}: `description` is missing", package.name));
        }
    }
    none("one table for all crates", &breaches);
}

#[test]
fn cargo_test_runs_the_tests_of_every_crate_that_a_host_can_build() {
    let metadata = metadata();
    // They are for wasm alone; the tests of host/runtime run what they become.
    const WASM_ONLY: [&str; 2] = ["guest/bare", "guest/breaker"];
    let default: Vec<String> =
        metadata.workspace_default_packages().into_iter().map(|package| folder(&metadata, package)).collect();
    let all = metadata.workspace_packages().into_iter().map(|package| folder(&metadata, package));
    let left_out: Vec<String> =
        all.filter(|folder| !default.contains(folder) && !WASM_ONLY.contains(&folder.as_str())).collect();
    none("a crate that isn't in `default-members` is never tested", &left_out);
}
