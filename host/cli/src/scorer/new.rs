//! `softfuse scorer new`: writes a project that builds a scorer, with its test. The templates are files of `templates/`, and what all projects of a
//! language share with the scorers of `examples/scorers` is taken from there.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::ValueEnum;
use softfuse::components::SCORER_WIT;

use crate::args::ScorerNewArgs;
use crate::output::{BOLD, DIM};

/// What all templates must say: they are one scorer, in several languages.
const CASES: &str = include_str!("../../templates/cases.toml");
/// What the templates are called, in the two forms in which a name stands in source text.
const PLACEHOLDER: &str = "new-scorer";
const PLACEHOLDER_SNAKE: &str = "new_scorer";
/// The most characters of a name: it becomes a file's, a package's and a metric's.
const NAME_CHARS_MAX: usize = 64;
/// Names that tools take for something else.
const RESERVED: [&str; 6] = ["test", "core", "std", "main", "scorer", PLACEHOLDER];

/// A language in which scorers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// By cargo, for wasm32-wasip2.
    Rust,
    /// By componentize-js.
    Js,
    /// By componentize-py.
    Python,
    /// By zig, or any clang with wasi-libc.
    C,
    /// By Go's own compiler.
    Go,
}

/// A scorer's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectName(String);

/// A file of a project: where it lies, and its content.
type File = (&'static str, &'static str);

/// A file of a template of its own.
macro_rules! own {
    ($lang:literal, $($name:literal),+) => {
        [$(($name, include_str!(concat!("../../templates/", $lang, "/", $name)))),+]
    };
}

/// A file that a language's example has as well.
macro_rules! shared {
    ($lang:literal, $($name:literal),+) => {
        [$(($name, include_str!(concat!("../../../../examples/scorers/", $lang, "/", $name)))),+]
    };
}

impl Language {
    /// A project's files, but for the contract and the cases.
    fn files(self) -> Vec<File> {
        match self {
            Self::Rust => {
                [&own!("rust", "README.md", "build.sh", "Cargo.toml", "src/lib.rs")[..], &shared!("rust", ".gitignore")]
                    .concat()
            }
            Self::Js => [
                &own!("js", "README.md", "package.json", "build.sh", "scorer.js")[..],
                &shared!("js", ".gitignore", ".npmrc", "build.mjs"),
            ]
            .concat(),
            Self::Python => [
                &own!("python", "README.md", "build.sh", "app.py", "libraries.txt", "requirements.txt")[..],
                &shared!("python", ".gitignore"),
            ]
            .concat(),
            Self::C => [
                &own!("c", "README.md", "build.sh", "scorer.c")[..],
                &shared!("c", ".gitignore", "requirements.txt", "bindings/answer_scorer.c", "bindings/answer_scorer.h"),
            ]
            .concat(),
            Self::Go => [
                &own!("go", "README.md", "build.sh", "main.go", "go.mod.txt")[..],
                &shared!("go", ".gitignore", "scorer/abi.go", "scorer/scorer.go"),
            ]
            .concat(),
        }
    }
}

impl FromStr for ProjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "a name has small letters, digits and single hyphens between them, and begins with a letter, as in `polite-answers`";
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.split('-').all(is_word) {
            return Err(format!("`{text}` is no name: {rule}"));
        }
        if text.len() > NAME_CHARS_MAX {
            return Err(format!("the name has {} characters, and may have {NAME_CHARS_MAX}", text.len()));
        }
        if RESERVED.contains(&text) {
            return Err(format!(
                "`{text}` means something else to the languages' tools; any longer name will do, as `{text}-answers`"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Writes the project.
///
/// # Errors
/// Where its folder is there already and isn't empty: then nothing is written. Where it can't be written.
pub(crate) fn run(args: &ScorerNewArgs) -> anyhow::Result<ExitCode> {
    let name = args.name.0.as_str();
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let place = folder.display();
    match fs::read_dir(&folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{place} is there already, and isn't empty; nothing was written");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("can't write to {place}")),
    }
    let mut files = project(args.lang, name);
    files.sort();
    let mut out = anstream::stdout().lock();
    for (path, content) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("can't make the folder {}", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("can't write {}", path.display()))?;
        writeln!(out, "{DIM}{}{DIM:#}", path.display())?;
    }
    let place = as_word(&folder.to_string_lossy());
    writeln!(out, "Build and test it: {BOLD}cd {place} && sh build.sh && softfuse scorer test{BOLD:#}")?;
    Ok(ExitCode::SUCCESS)
}

/// A path as a word of a shell's command, which is no option either.
fn as_word(path: &str) -> String {
    let path = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
    // A path of the system's has no zero byte, which is all that can't be quoted.
    shlex::try_quote(&path).map_or_else(|_| path.clone(), |word| word.into_owned())
}

/// A project's files, by their paths.
fn project(lang: Language, name: &str) -> Vec<(String, String)> {
    let snake = name.replace('-', "_");
    let mut files: Vec<(String, String)> = lang
        .files()
        .into_iter()
        .map(|(path, content)| {
            // A file go.mod would end the repository's own modules there.
            let path = path.strip_suffix(".txt").filter(|path| *path == "go.mod").unwrap_or(path);
            (path.to_owned(), content.replace(PLACEHOLDER, name).replace(PLACEHOLDER_SNAKE, &snake))
        })
        .collect();
    files.push(("cases.toml".to_owned(), CASES.to_owned()));
    files.push(("wit/scorer.wit".to_owned(), SCORER_WIT.to_owned()));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_tool_takes() {
        for good in ["a", "polite-answers", "b2-c3"] {
            assert_eq!(good.parse(), Ok(ProjectName(good.to_owned())));
        }
        for bad in ["", "-a", "a-", "a--b", "A", "2a", "a_b", "a b", "../a", "é", "test", "new-scorer", &"a".repeat(65)]
        {
            let said = bad.parse::<ProjectName>().unwrap_err();
            assert!(said.contains("name") || said.contains("means something else"), "{bad}: {said}");
        }
    }

    #[test]
    fn folders_are_words_to_a_shell() {
        for (path, word) in [
            ("polite-answers", "polite-answers"),
            ("/srv/scorers/a_1.b", "/srv/scorers/a_1.b"),
            ("my scorers/polite", "'my scorers/polite'"),
            ("it's;here", "\"it's;here\""),
            ("-P", "./-P"),
        ] {
            assert_eq!(as_word(path), word);
        }
    }

    #[test]
    fn nothing_of_a_template_is_left() {
        for lang in Language::value_variants() {
            let files = project(*lang, "polite-answers");
            for wanted in ["README.md", "build.sh", ".gitignore", "wit/scorer.wit"] {
                assert!(files.iter().any(|(path, _)| path == wanted), "{lang:?}: {wanted}");
            }
            let named = files.iter().filter(|(_, content)| content.contains("polite-answers")).count();
            assert!(named >= 2, "{lang:?}: {named} files have the name");
            for (path, content) in files {
                assert!(!content.contains(PLACEHOLDER) && !content.contains(PLACEHOLDER_SNAKE), "{lang:?}: {path}");
                assert!(!path.contains("go.mod.txt"), "{path}");
            }
        }
    }
}
