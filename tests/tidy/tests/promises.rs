//! What the documents and the examples promise is there: commands, policies, links, and how large the components are.

use softfuse::components::{BREAKER, Builtin};
use softfuse_core::Policy;
use softfuse_tidy::{files, files_ending, none, root};

/// Largest components, in bytes: about a tenth above what they are. Every host loads them, a browser's among them, so
/// one that grows does so on purpose.
const BREAKER_BYTES_MAX: usize = 360_000;
const SCORER_BYTES_MAX: [(Builtin, usize); 3] =
    [(Builtin::Text, 370_000), (Builtin::Logprobs, 322_000), (Builtin::Embedding, 287_000)];

/// How far ARCHITECTURE's table of sizes may be from what is built, in percent: compilers' patch releases differ by less.
const TABLE_PERCENT_MAX: usize = 2;

/// The commands that a newcomer types first.
const COMMANDS: [&str; 2] =
    ["cargo run --release -- replay examples/traces/smollm2.jsonl --policy examples/policies/llm.toml", "cargo test"];

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn components_stay_small() {
    let scorers = SCORER_BYTES_MAX.map(|(builtin, bytes_max)| (builtin.name(), builtin.bytes().len(), bytes_max));
    let mut breaches = Vec::new();
    for (name, bytes, bytes_max) in [("breaker", BREAKER.len(), BREAKER_BYTES_MAX)].into_iter().chain(scorers) {
        println!("{name}: {bytes} bytes, {bytes_max} at most");
        if bytes > bytes_max {
            breaches.push(format!("{name} has grown to {bytes} bytes; its bound is {bytes_max}"));
        }
        if bytes < bytes_max / 2 {
            breaches.push(format!("{name} has shrunk to {bytes} bytes; lower its bound of {bytes_max}"));
        }
    }
    none("components stay small", &breaches);
    assert_eq!(Builtin::ALL.len(), SCORER_BYTES_MAX.len(), "every scorer has a bound");
}

#[test]
fn the_table_of_sizes_is_what_is_built() {
    let architecture = text("ARCHITECTURE.md");
    let rows: Vec<(&str, &str)> = architecture
        .lines()
        .skip_while(|line| *line != "| component | bytes | imports |")
        .skip(2)
        .map_while(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    let scorers = Builtin::ALL.map(|builtin| (format!("scorer {}", builtin.name()), builtin.bytes().len()));
    let built: Vec<(String, usize)> = [("breaker".to_owned(), BREAKER.len())].into_iter().chain(scorers).collect();
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, built.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), "ARCHITECTURE.md's components");
    let mut breaches = Vec::new();
    for ((name, bytes), (_, written)) in built.iter().zip(rows) {
        match written.replace(',', "").parse::<usize>() {
            Ok(said) if said.abs_diff(*bytes) * 100 <= bytes * TABLE_PERCENT_MAX => {}
            _ => breaches.push(format!("{name} has {bytes} bytes, and the table says {written}")),
        }
    }
    none("ARCHITECTURE.md says how large the components are", &breaches);
}

#[test]
fn every_example_policy_parses() {
    let policies: Vec<_> =
        files_ending(".toml").into_iter().filter(|file| file.path.starts_with("examples/policies/")).collect();
    assert!(policies.len() >= 3, "examples/policies holds {} policies", policies.len());
    let mut breaches = Vec::new();
    for file in policies {
        if let Err(problems) = Policy::parse(&file.text) {
            breaches.extend(problems.iter().map(|problem| format!("{}:{problem}", file.path)));
        }
    }
    none("examples work", &breaches);
}

#[test]
fn the_readme_holds_the_first_commands_and_their_files_exist() {
    let readme = text("README.md");
    for command in COMMANDS {
        let whole_line = readme.lines().any(|line| line.trim() == command);
        assert!(whole_line, "README.md has no line `{command}`");
        for path in command.split(' ').filter(|word| word.starts_with("examples/")) {
            assert!(root().join(path).is_file(), "README.md names {path}, which isn't there");
        }
    }
}

#[test]
fn the_changelog_is_open() {
    let changelog = text("CHANGELOG.md");
    let mut headings = changelog.lines().filter(|line| line.starts_with("## "));
    let first = headings.next().unwrap_or_default();
    assert!(first.contains("Unreleased"), "the first section of CHANGELOG.md is `{first}`, not Unreleased");
}

#[test]
fn the_licence_is_the_one_that_the_manifests_name() {
    let licence = text("LICENSE");
    assert!(licence.contains("Apache License") && licence.contains("Version 2.0, January 2004"), "LICENSE");
    assert!(text("Cargo.toml").contains("license = \"Apache-2.0\""), "Cargo.toml names another licence");
}

#[test]
fn links_lead_somewhere() {
    let mut breaches = Vec::new();
    let mut followed = 0;
    for file in files().into_iter().filter(|file| file.path.ends_with(".md")) {
        let folder = root().join(&file.path).parent().map(std::path::Path::to_owned).unwrap_or_default();
        for (index, line) in file.text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next()) {
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                followed += 1;
                if !folder.join(target).exists() {
                    breaches.push(format!("{}:{}: {target}", file.path, index + 1));
                }
            }
        }
    }
    assert!(followed > 0, "no document links to another");
    none("these links lead nowhere", &breaches);
}
