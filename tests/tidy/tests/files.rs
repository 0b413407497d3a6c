//! Rules that hold of each file by itself.

use softfuse_tidy::{File, files, files_ending, none};

/// Longest module. What grows longer has two reasons to exist.
const MODULE_LINES_MAX: usize = 400;
/// Longest file of tests.
const TEST_LINES_MAX: usize = 700;
/// Longest line. rustfmt keeps code within 120; it leaves comments and strings alone.
const LINE_CHARS_MAX: usize = 160;
/// Shortest reason for a file to exist, in characters.
const REASON_CHARS_MIN: usize = 12;

/// What no file may name: the place where it was written, who wrote it, and where packages come from, which is each
/// user's own. In parts, or this file would name them.
const FORBIDDEN: [&str; 11] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("sub", "agent"),
    concat!("arti", "factory"),
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("registry.npm", "js.org"),
    concat!("proxy.go", "lang.org"),
    concat!("files.python", "hosted.org"),
    concat!("pypi", ".org/simple"),
    concat!("deb.deb", "ian.org"),
];

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/") || path.contains("/examples/")
}

#[test]
fn every_source_file_says_why_it_exists() {
    let missing = |file: &File| {
        let reason = file.text.lines().next().and_then(|line| line.strip_prefix("//! "));
        reason.is_none_or(|reason| reason.chars().count() < REASON_CHARS_MIN)
    };
    let breaches: Vec<String> = files_ending(".rs").into_iter().filter(missing).map(|file| file.path).collect();
    none("the first line of a source file is `//!` and says why it exists", &breaches);
}

#[test]
fn modules_are_short() {
    let breach = |file: File| {
        // `tests/kit/src` is no test: others depend on it.
        let test = is_test(file.path.trim_start_matches("tests/")) || file.path.starts_with("tests/tidy/tests/");
        let lines_max = if test { TEST_LINES_MAX } else { MODULE_LINES_MAX };
        let lines = file.text.lines().count();
        (lines > lines_max).then(|| format!("{}: {lines} lines, {lines_max} at most", file.path))
    };
    none("split what grows long", &files_ending(".rs").into_iter().filter_map(breach).collect::<Vec<_>>());
}

#[test]
fn lines_are_short() {
    let mut breaches = Vec::new();
    for file in files_ending(".rs") {
        for (index, line) in file.text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS_MAX {
                breaches.push(format!("{}:{}: {chars} characters, {LINE_CHARS_MAX} at most", file.path, index + 1));
            }
        }
    }
    none("break long lines", &breaches);
}

#[test]
fn text_ends_with_a_newline_and_no_line_with_blanks() {
    let mut breaches = Vec::new();
    for ending in [".rs", ".toml", ".wit", ".md"] {
        for file in files_ending(ending).into_iter().filter(|file| !file.path.starts_with("fuzz/corpus/")) {
            if !file.text.is_empty() && !file.text.ends_with('\n') {
                breaches.push(format!("{}: no newline at its end", file.path));
            }
            for (index, line) in file.text.lines().enumerate() {
                if line.ends_with([' ', '\t', '\r']) {
                    breaches.push(format!("{}:{}: a blank at the line's end", file.path, index + 1));
                }
            }
        }
    }
    none("no stray blanks", &breaches);
}

#[test]
fn nothing_names_the_place_where_it_was_written() {
    let mut breaches = Vec::new();
    for file in files() {
        for (index, line) in file.text.lines().enumerate() {
            let line = line.to_lowercase();
            for word in FORBIDDEN.iter().filter(|word| line.contains(*word)) {
                breaches.push(format!("{}:{}: {word}", file.path, index + 1));
            }
        }
    }
    none("these words stay out of the project", &breaches);
}
