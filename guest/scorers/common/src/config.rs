//! Reads a scorer's configuration and collects every problem in it, not only the first.
//!
//! A user who mends a file wants to see all that is wrong with it, each with its line, its key, its value and what
//! would be right. So a [`Section`] hands out one typed value after the other, notes what it can't take, and at last
//! reports the keys that nobody asked for, with the nearest that exists.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exchange::ConfigProblem;

/// The longest configuration that is read, in bytes: room for a reference vector of 65,536 numbers.
pub const CONFIG_BYTES_MAX: usize = 2 << 20;

/// How much of a value is quoted in a message, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// How many problems are reported, at most.
const PROBLEMS_MAX: usize = 100;

/// One table of a TOML text, while it is being read.
#[derive(Debug)]
pub struct Section<'t> {
    text: &'t str,
    path: String,
    table: DeTable<'t>,
    known: Vec<&'static str>,
    problems: Vec<ConfigProblem>,
}

/// Reads a configuration by `read`, which asks for every key that it knows.
///
/// # Errors
/// All problems: of TOML's syntax, else those that `read` noted and the keys that it didn't ask for.
pub fn read<'t, T>(text: &'t str, read: impl FnOnce(&mut Section<'t>) -> T) -> Result<T, Vec<ConfigProblem>> {
    if text.len() > CONFIG_BYTES_MAX {
        let message = format!("it is {} bytes long; at most {CONFIG_BYTES_MAX} are read", text.len());
        return Err(alloc::vec![ConfigProblem { key: String::new(), message }]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problem = |error: &toml::de::Error| ConfigProblem {
            key: String::new(),
            message: match error.span() {
                Some(span) => format!("line {}: {}", line_of(text, &span), error.message()),
                None => error.message().to_owned(),
            },
        };
        return Err(errors.iter().take(PROBLEMS_MAX).map(problem).collect());
    }
    let mut section = Section::new(text, String::new(), table.into_inner());
    let value = read(&mut section);
    section.refuse_unknown_keys();
    section.problems.truncate(PROBLEMS_MAX);
    if section.problems.is_empty() { Ok(value) } else { Err(section.problems) }
}

impl<'t> Section<'t> {
    fn new(text: &'t str, path: String, table: DeTable<'t>) -> Self {
        Self { text, path, table, known: Vec::new(), problems: Vec::new() }
    }

    /// A number within a range; whole numbers are taken as well.
    pub fn number(&mut self, key: &'static str, range: RangeInclusive<f64>, default: f64) -> f64 {
        self.optional_number(key, range).unwrap_or(default)
    }

    /// A number within a range, none where the key is missing.
    pub fn optional_number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.take(key)?;
        let read = number_of(value.get_ref()).filter(|number| range.contains(number));
        if read.is_none() {
            self.refuse(key, &value, &format!("a number from {} to {}", range.start(), range.end()));
        }
        read
    }

    /// A whole number within a range.
    pub fn count(&mut self, key: &'static str, range: RangeInclusive<usize>, default: usize) -> usize {
        self.optional_count(key, range).unwrap_or(default)
    }

    /// A whole number within a range, none where the key is missing.
    pub fn optional_count(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Option<usize> {
        let value = self.take(key)?;
        let read = match value.get_ref() {
            DeValue::Integer(integer) => usize::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        }
        .filter(|number| range.contains(number));
        if read.is_none() {
            self.refuse(key, &value, &format!("a whole number from {} to {}", range.start(), range.end()));
        }
        read
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.take(key) else { return default };
        let read = value.get_ref().as_bool();
        if read.is_none() {
            self.refuse(key, &value, "true or false");
        }
        read.unwrap_or(default)
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        let Some(value) = self.take(key) else { return default };
        let read = value.get_ref().as_str().and_then(|given| words.iter().find(|(word, _)| *word == given));
        if let Some((_, meaning)) = read {
            return *meaning;
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let hint = value.get_ref().as_str().and_then(|given| nearest(given, words.iter().map(|(word, _)| *word)));
        let hint = hint.map(|word| format!(" (did you mean \"{word}\"?)")).unwrap_or_default();
        self.refuse(key, &value, &format!("one of {}{hint}", all.join(", ")));
        default
    }

    /// A list of strings, none of them blank, none where the key is missing.
    pub fn strings(&mut self, key: &'static str, items_max: usize, bytes_max: usize) -> Option<Vec<String>> {
        let value = self.take(key)?;
        let read: Option<Vec<String>> = value
            .get_ref()
            .as_array()
            .filter(|array| array.len() <= items_max)
            .and_then(|array| array.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned)).collect());
        let read = read.filter(|all| all.iter().all(|item| !item.trim().is_empty() && item.len() <= bytes_max));
        if read.is_none() {
            let right = format!("a list of at most {items_max} strings, each of 1 to {bytes_max} bytes and not blank");
            self.refuse(key, &value, &right);
        }
        read
    }

    /// A list of finite numbers, none where the key is missing.
    pub fn numbers(&mut self, key: &'static str, items: RangeInclusive<usize>) -> Option<Vec<f64>> {
        let value = self.take(key)?;
        let read: Option<Vec<f64>> =
            value.get_ref().as_array().filter(|array| items.contains(&array.len())).and_then(|array| {
                array.iter().map(|item| number_of(item.get_ref()).filter(|n| n.is_finite())).collect()
            });
        if read.is_none() {
            self.refuse(key, &value, &format!("a list of {} to {} finite numbers", items.start(), items.end()));
        }
        read
    }

    /// A table within this one, read by `read`; an empty one where the key is missing.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'t>) -> T) -> T {
        let table = match self.take(key) {
            None => DeTable::new(),
            Some(value) => {
                let span = value.span();
                match value.into_inner() {
                    DeValue::Table(table) => table,
                    other => {
                        let message = format!("is {}; it must be a table: [{key}]", with_article(other.type_str()));
                        self.note(key, Some(&span), &message);
                        DeTable::new()
                    }
                }
            }
        };
        let mut section = Section::new(self.text, self.path_of(key), table);
        let value = read(&mut section);
        section.refuse_unknown_keys();
        self.problems.append(&mut section.problems);
        value
    }

    /// Notes a problem that only the scorer can see, such as two keys that don't go together.
    pub fn problem(&mut self, key: &str, message: &str) {
        self.note(key, None, message);
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn refuse(&mut self, key: &str, value: &Spanned<DeValue<'t>>, right: &str) {
        let span = value.span();
        let source = self.text.get(span.clone()).unwrap_or_default();
        let mut quoted: String = source.chars().take(QUOTED_CHARS_MAX).collect();
        if quoted.len() < source.len() {
            quoted.push_str("...");
        }
        self.note(key, Some(&span), &format!("is {quoted}; it must be {right}"));
    }

    fn refuse_unknown_keys(&mut self) {
        for (key, _) in core::mem::take(&mut self.table) {
            let given = key.get_ref();
            let hint = match nearest(given, self.known.iter().copied()) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("known here are: {}", self.known.join(", ")),
            };
            self.note(given, Some(&key.span()), &format!("there is no such key; {hint}"));
        }
    }

    fn note(&mut self, key: &str, span: Option<&Range<usize>>, message: &str) {
        let message = match span {
            Some(span) => format!("line {}: {message}", line_of(self.text, span)),
            None => message.to_owned(),
        };
        self.problems.push(ConfigProblem { key: self.path_of(key), message });
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// A TOML type's name with its article.
fn with_article(kind: &str) -> String {
    format!("{} {kind}", if kind.starts_with(['a', 'i']) { "an" } else { "a" })
}

fn number_of(value: &DeValue<'_>) -> Option<f64> {
    match value {
        #[allow(clippy::cast_precision_loss)] // thresholds, not identifiers
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number as f64)
        }
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => None,
    }
}

/// The line of a place in a text, from 1.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
}

/// The word nearest to what was written, if it is near enough to have been meant: at most a third of it wrong.
fn nearest<'w>(given: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    /// Longer keys are nobody's typing error.
    const GIVEN_CHARS_MAX: usize = 64;
    let given: Vec<char> = given.chars().take(GIVEN_CHARS_MAX + 1).collect();
    if given.len() > GIVEN_CHARS_MAX {
        return None;
    }
    words
        .map(|word| (distance(&given, word), word))
        .filter(|(distance, word)| *distance <= 1.max(word.chars().count().max(given.len()) / 3))
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein's distance: how many characters must be put in, taken out or changed.
fn distance(given: &[char], word: &str) -> usize {
    let mut row: Vec<usize> = (0..=given.len()).collect();
    for (line, wanted) in word.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, typed) in row.iter_mut().skip(1).zip(given) {
            let best = (diagonal + usize::from(*typed != wanted)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
