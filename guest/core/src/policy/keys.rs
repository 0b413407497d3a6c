//! Reading keys out of a TOML table, so that every problem is collected and every key that nobody asked for is named.

use super::limits;
use super::nearest::nearest;
use super::number;
use super::problem::Problem;
use crate::time::{MILLISECOND, Nanos, SECOND};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Display;
use core::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The problems found so far in a text.
pub(super) struct Problems<'t> {
    pub(super) text: &'t str,
    pub(super) found: Vec<Found>,
}

/// A problem whose line isn't counted yet: that takes a walk through the text, and only the first few are told.
pub(super) struct Found {
    pub(super) offset: usize,
    pub(super) key: String,
    pub(super) message: String,
    pub(super) nearest: Option<String>,
}

impl Problems<'_> {
    pub(super) fn add(&mut self, span: &Range<usize>, key: &str, message: String) {
        self.add_near(span, key, message, None);
    }

    /// A problem with a key for which there is a near one.
    pub(super) fn add_near(&mut self, span: &Range<usize>, key: &str, message: String, nearest: Option<&str>) {
        let nearest = nearest.map(ToString::to_string);
        self.found.push(Found { offset: span.start, key: key.to_string(), message, nearest });
    }

    /// The first of them, in order of appearance.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|found| found.offset);
        self.found.truncate(limits::PROBLEMS_MAX);
        let told = self.found.into_iter().map(|found| {
            let problem = Problem::at(self.text, found.offset, found.key, found.message);
            Problem { nearest: found.nearest, ..problem }
        });
        told.collect()
    }
}

/// A value with its place and its path.
pub(super) struct Item<'a> {
    pub(super) value: &'a DeValue<'a>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

/// A table whose keys are taken one by one.
pub(super) struct Table<'a> {
    items: Vec<(&'a str, Range<usize>, Option<Item<'a>>)>,
    known: Vec<&'static str>,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

impl<'a> Table<'a> {
    pub(super) fn new(table: &'a DeTable<'a>, span: Range<usize>, path: String) -> Self {
        let mut items: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let name: &str = key.get_ref();
                let item_path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                (name, key.span(), Some(Item::new(value, item_path)))
            })
            .collect();
        items.sort_by_key(|(_, span, _)| span.start);
        Self { items, known: Vec::new(), span, path }
    }

    /// The value of a key, where it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        self.items.iter_mut().find(|(name, ..)| *name == key).and_then(|(.., item)| item.take())
    }

    /// The value of a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Item<'a>> {
        let item = self.take(key);
        if item.is_none() {
            problems.add(&self.span, &self.path, format!("the key `{key}` is missing"));
        }
        item
    }

    /// Whether a key that nobody has taken is most likely this one. All that are known are to be taken before.
    pub(super) fn misspells(&self, key: &str) -> bool {
        let mut unknown = self.items.iter().filter(|(.., item)| item.is_some()).map(|(name, ..)| *name);
        unknown.any(|name| nearest(name, self.known.iter().copied()) == Some(key))
    }

    /// The keys that the table has, in order of appearance.
    pub(super) fn names(&self) -> Vec<&'a str> {
        self.items.iter().map(|(name, ..)| *name).collect()
    }

    /// Where the first key stands; the table, where it has none.
    pub(super) fn first_key(&self) -> Range<usize> {
        self.items.first().map_or_else(|| self.span.clone(), |(_, span, _)| span.clone())
    }

    /// Whatever nobody has taken is unknown.
    pub(super) fn finish(self, problems: &mut Problems<'_>) {
        let place = if self.path.is_empty() { "at the top of a policy" } else { "here" };
        for (name, span, item) in self.items {
            let Some(item) = item else { continue };
            let message = format!("there is no key `{name}` {place}; the keys are {}", list(&self.known));
            problems.add_near(&span, &item.path, message, nearest(name, self.known.iter().copied()));
        }
    }
}

/// `a`, `b` and `c`.
pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

impl<'a> Item<'a> {
    pub(super) fn new(value: &'a Spanned<DeValue<'a>>, path: String) -> Self {
        Self { value: value.get_ref(), span: value.span(), path }
    }

    /// Says that something else was expected.
    pub(super) fn expected(&self, what: &str, problems: &mut Problems<'_>) {
        let shown = problems.text.get(self.span.clone()).unwrap_or_default();
        // A value may be a whole table: a glance at it is enough.
        let glance: String = shown.chars().take_while(|c| *c != '\n').take(40).collect();
        let more = if glance.len() < shown.len() { "..." } else { "" };
        problems.add(&self.span, &self.path, format!("expected {what}, found {glance}{more}"));
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        self.value.as_table().map(|table| Table::new(table, self.span.clone(), self.path.clone()))
    }

    pub(super) fn bool(&self, problems: &mut Problems<'_>) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.expected("`true` or `false`", problems);
        }
        value
    }

    pub(super) fn u32(&self, range: RangeInclusive<u32>, problems: &mut Problems<'_>) -> Option<u32> {
        self.number(
            range,
            "a whole number",
            |value| {
                let integer = value.as_integer()?;
                u32::from_str_radix(integer.as_str(), integer.radix()).ok()
            },
            problems,
        )
    }

    pub(super) fn u64(&self, problems: &mut Problems<'_>) -> Option<u64> {
        self.number(
            0..=i64::MAX as u64,
            "a whole number",
            |value| {
                let integer = value.as_integer()?;
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            },
            problems,
        )
    }

    pub(super) fn f64(&self, range: RangeInclusive<f64>, problems: &mut Problems<'_>) -> Option<f64> {
        self.number(range, "a number", |value| decimal(value)?.parse().ok(), problems)
    }

    /// A number of milliseconds, exact to the nanosecond.
    pub(super) fn milliseconds(&self, nanos_max: Nanos, problems: &mut Problems<'_>) -> Option<Nanos> {
        let nanos = decimal(self.value).and_then(|text| number::scaled(text, MILLISECOND));
        let nanos = nanos.filter(|nanos| *nanos <= nanos_max);
        if nanos.is_none() {
            let what = format!("milliseconds from 0 to {}, with at most 6 decimal places", nanos_max / MILLISECOND);
            self.expected(&what, problems);
        }
        nanos
    }

    /// A span of time: a number of seconds, or a string such as `"1.5s"`.
    pub(super) fn span(&self, range: RangeInclusive<Nanos>, problems: &mut Problems<'_>) -> Option<Nanos> {
        let nanos = match self.value {
            DeValue::String(text) => number::span(text),
            value => decimal(value).and_then(|text| number::scaled(text, SECOND)),
        };
        let nanos = nanos.filter(|nanos| range.contains(nanos));
        if nanos.is_none() {
            let (least, most) = (shown(*range.start()), shown(*range.end()));
            let what = format!("a span from {least} to {most}, such as 60 (seconds), \"60s\", \"1m30s\" or \"250ms\"");
            self.expected(&what, problems);
        }
        nanos
    }

    fn number<N: PartialOrd + Display>(
        &self,
        range: RangeInclusive<N>,
        what: &str,
        read: impl Fn(&DeValue<'_>) -> Option<N>,
        problems: &mut Problems<'_>,
    ) -> Option<N> {
        let number = read(self.value).filter(|number| range.contains(number));
        if number.is_none() {
            self.expected(&format!("{what} from {} to {}", range.start(), range.end()), problems);
        }
        number
    }
}

/// The text of a decimal integer or a float.
fn decimal<'a>(value: &'a DeValue<'_>) -> Option<&'a str> {
    match value {
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
        DeValue::Float(float) => Some(float.as_str()),
        _ => None,
    }
}

/// A span in the largest unit that leaves it whole.
pub(super) fn shown(nanos: Nanos) -> String {
    for (unit, name) in [(86_400 * SECOND, "d"), (SECOND, "s"), (MILLISECOND, "ms")] {
        if nanos > 0 && nanos.is_multiple_of(unit) {
            return format!("{}{name}", nanos / unit);
        }
    }
    format!("{nanos}ns")
}
