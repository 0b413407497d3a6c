//! The house rules are tests: what a reviewer would otherwise have to remember. This library lists the project's files;
//! the rules are in `tests/`.

use ignore::WalkBuilder;
use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the project.
#[derive(Clone, Debug)]
pub struct File {
    /// From the project's root, with slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The project's root.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// Every text file of the project, by path: all that `.gitignore` leaves, those that aren't committed yet included.
/// Files that aren't UTF-8 are left out: fuzzers' inputs, pictures.
///
/// # Panics
/// Where a folder can't be read.
pub fn files() -> Vec<File> {
    let root = root();
    // What a project above this one, or its user, ignores doesn't matter; hidden files do, but for git's own.
    let walk = WalkBuilder::new(&root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let mut files = Vec::new();
    for entry in walk {
        let entry = entry.unwrap_or_else(|error| panic!("a folder can't be read: {error}"));
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path().strip_prefix(&root).unwrap_or(entry.path()).to_string_lossy().replace('\\', "/");
        // A file that others remove meanwhile is none.
        let Ok(bytes) = fs::read(entry.path()) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 100, "{} holds {} files: is this the project?", root.display(), files.len());
    files
}

/// Every file with this ending, as in `.rs`.
pub fn files_ending(ending: &str) -> Vec<File> {
    files().into_iter().filter(|file| file.path.ends_with(ending)).collect()
}

/// Fails with every breach of a rule at once.
///
/// # Panics
/// Where there is one.
pub fn none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}
