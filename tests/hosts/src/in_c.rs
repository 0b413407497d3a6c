//! The scorers of `examples/scorers` by the C library: their cases become a table of C's, which is compiled with the program that runs them, against
//! the installed package.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use toml::{Table, Value};

use crate::scorers::Tools;

const CASE_KEYS: [&str; 12] = [
    "name",
    "config",
    "operation",
    "model",
    "request",
    "metadata",
    "answer",
    "score",
    "abstains",
    "malformed",
    "fails",
    "misconfigured",
];
/// What a case wants in words, and as the program calls it.
const IN_WORDS: [(&str, &str); 4] = [
    ("abstains", "WANTS_ABSTENTION"),
    ("malformed", "WANTS_MALFORMED"),
    ("fails", "WANTS_FAILURE"),
    ("misconfigured", "WANTS_MISCONFIGURED"),
];

/// The C library with its header, installed from a folder that has it built.
///
/// # Errors
/// Where the package's own script can't install it.
pub fn install(root: &Path, built: &Path, tools: &Tools) -> Result<PathBuf> {
    let prefix = tools.scratch.join("c-installed");
    let _ = fs::remove_dir_all(&prefix);
    let arguments: [&OsStr; 3] = ["--built".as_ref(), built.as_ref(), prefix.as_ref()];
    said("sh", Command::new("sh").arg(root.join("host/c/install.sh")).args(arguments))?;
    Ok(prefix)
}

/// Runs a scorer's cases in C, and gives back how many passed.
///
/// # Errors
/// Where the cases can't be read, the program can't be compiled, or a case fails: then with what it printed.
pub fn cases(root: &Path, installed: &Path, scorer: &Path, tools: &Tools) -> Result<usize> {
    let file = scorer.join("cases.toml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let table = table(&text).with_context(|| file.display().to_string())?;
    let folder = tools.scratch.join("cases-in-c").join(scorer.file_name().context("a language")?);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    fs::write(folder.join("cases.inc"), table).context("cases.inc")?;
    let (program, libraries) = (folder.join("cases"), installed.join("lib"));
    let mut compile = Command::new("cc");
    compile.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"]).arg(installed.join("include"));
    compile.arg("-I").arg(&folder).arg(root.join("host/c/tests/programs/cases.c")).arg("-o").arg(&program);
    compile.arg(format!("-L{}", libraries.display())).arg(format!("-Wl,-rpath,{}", libraries.display()));
    said("cc, of Debian's package gcc", compile.arg("-lsoftfuse"))?;
    // Compiled code comes from the user's cache, where the Rust host has left it.
    let out = said("cases", Command::new(&program).arg(scorer.join("scorer.wasm")))?;
    println!("{}: in C: {out}", scorer.display());
    let passed = out.trim_end().strip_suffix(" passed, 0 failed").with_context(|| format!("it said `{out}`"))?;
    passed.parse().with_context(|| format!("it said `{out}`"))
}

/// What a program prints.
fn said(name: &str, command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| name.to_owned())?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    ensure!(done.status.success(), "{name}: {}\n{}{}", done.status, text(&done.stdout), text(&done.stderr));
    Ok(text(&done.stdout))
}

/// A file of cases as the elements of the program's table.
fn table(text: &str) -> Result<String> {
    let file: Table = text.parse()?;
    known(&file, &["config", "case"])?;
    let shared = string(&file, "config")?;
    let cases = file.get("case").and_then(Value::as_array).context("no cases")?;
    let mut table = String::new();
    for case in cases {
        let case = case.as_table().context("a case is a table")?;
        let name = string(case, "name")?;
        element(&mut table, case, shared).with_context(|| format!("the case `{name}`"))?;
    }
    Ok(table)
}

fn element(table: &mut String, case: &Table, shared: &str) -> Result<()> {
    known(case, &CASE_KEYS)?;
    let config = if case.contains_key("config") { string(case, "config")? } else { shared };
    let no_names = Table::new();
    let metadata = match case.get("metadata") {
        Some(given) => given.as_table().context("metadata is a table")?,
        None => &no_names,
    };
    let (mut names, mut values) = (String::new(), String::new());
    for name in metadata.keys() {
        write!(names, "{}, ", literal(name.as_bytes()))?;
        write!(values, "{}, ", literal(string(metadata, name)?.as_bytes()))?;
    }
    let text = |key| string(case, key).map(|text| literal(text.as_bytes()));
    writeln!(table, "{{ {}, {},", text("name")?, literal(config.as_bytes()))?;
    writeln!(
        table,
        "  {{ .size = sizeof(sf_exchange), .operation = {}, .model = {},",
        text("operation")?,
        text("model")?
    )?;
    for which in ["request", "answer"] {
        let (content_type, bytes, truncated) = content(case.get(which))?;
        writeln!(
            table,
            "    .{which}_content_type = {}, .{which} = (const uint8_t *){}, .{which}_length = {}, .{which}_truncated = {},",
            literal(content_type.as_bytes()),
            literal(&bytes),
            bytes.len(),
            i32::from(truncated),
        )?;
    }
    if !metadata.is_empty() {
        writeln!(table, "    .metadata_names = (const char *const[]){{ {names}}},")?;
        writeln!(table, "    .metadata_values = (const char *const[]){{ {values}}},")?;
    }
    writeln!(table, "    .metadata_count = {} }},", metadata.len())?;
    if let Some(score) = case.get("score") {
        let (least, most) = bounds(score)?;
        writeln!(table, "  WANTS_SCORE, {least:?}, {most:?}, \"\" }},")?;
        return Ok(());
    }
    let (key, wanted) =
        IN_WORDS.into_iter().find(|(key, _)| case.contains_key(*key)).context("it says not what is expected")?;
    writeln!(table, "  {wanted}, 0, 0, {} }},", text(key)?)?;
    Ok(())
}

/// A score's bounds: a number alone, or a table.
fn bounds(score: &Value) -> Result<(f64, f64)> {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    if let Some(number) = number(score) {
        return Ok((number, number));
    }
    let table = score.as_table().context("a score is a number or a table")?;
    known(table, &["at_least", "at_most"])?;
    let bound = |key: &str, none: f64| match table.get(key) {
        Some(value) => number(value).with_context(|| format!("{key} is a number")),
        None => Ok(none),
    };
    Ok((bound("at_least", -1e6)?, bound("at_most", 1e6)?))
}

/// A content: a text alone, or a table. Its type, its bytes, and whether it was cut off.
fn content(given: Option<&Value>) -> Result<(&str, Vec<u8>, bool)> {
    match given {
        None => Ok(("", Vec::new(), false)),
        Some(Value::String(text)) => Ok(("", text.as_bytes().to_vec(), false)),
        Some(Value::Table(table)) => {
            known(table, &["content_type", "text", "bytes", "truncated"])?;
            let bytes = match table.get("bytes").and_then(Value::as_array) {
                Some(bytes) => {
                    let byte = |one: &Value| one.as_integer().and_then(|one| u8::try_from(one).ok());
                    bytes.iter().map(byte).collect::<Option<_>>().context("bytes are from 0 to 255")?
                }
                None => string(table, "text")?.as_bytes().to_vec(),
            };
            let truncated = table.get("truncated").and_then(Value::as_bool).unwrap_or_default();
            Ok((string(table, "content_type")?, bytes, truncated))
        }
        Some(other) => bail!("a content is a text or a table, not {}", other.type_str()),
    }
}

/// A text of a table's; none is empty.
fn string<'a>(table: &'a Table, key: &str) -> Result<&'a str> {
    match table.get(key) {
        None => Ok(""),
        Some(value) => value.as_str().with_context(|| format!("{key} is a text")),
    }
}

fn known(table: &Table, keys: &[&str]) -> Result<()> {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(unknown) => bail!("unknown key `{unknown}`: there are {keys:?}"),
        None => Ok(()),
    }
}

/// Bytes as a literal of C's.
fn literal(bytes: &[u8]) -> String {
    let mut literal = String::from("\"");
    for &byte in bytes {
        match byte {
            // A question mark may begin a trigraph.
            b' '..=b'~' if !matches!(byte, b'"' | b'\\' | b'?') => literal.push(byte.into()),
            _ => literal.push_str(&format!("\\{byte:03o}")),
        }
    }
    literal + "\""
}
