//! JSON as model servers really send it.
//!
//! JSON has no NaN, but broken models do: Python's `json` writes a bare `NaN` or `-Infinity`, protobuf's JSON mapping
//! writes them as strings, JavaScript writes `null`. A scorer that is to notice them must read them all. Depth is
//! bounded by serde_json (128 levels for what is kept; what is skipped is skipped without recursion).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

/// A number that may be NaN or infinite, as number, as `"NaN"`, `"Infinity"`, `"-Infinity"`, or as null for NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    #[allow(clippy::cast_precision_loss)] // JSON's numbers are doubles to everyone else as well
    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss)] // as above
    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_unit<E: Error>(self) -> Result<Number, E> {
        Ok(Number(f64::NAN))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Number, E> {
        BARE.iter()
            .find(|(name, _)| *name == value)
            .map(|(_, number)| Number(*number))
            .ok_or_else(|| E::invalid_type(serde::de::Unexpected::Str(value), &self))
    }
}

/// The words that stand for numbers, longest first, since one contains another.
const BARE: [(&str, f64); 3] = [("-Infinity", f64::NEG_INFINITY), ("Infinity", f64::INFINITY), ("NaN", f64::NAN)];

/// One vector or several: a list of numbers, or a list of such lists. No vector where the list is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors(pub Vec<Vec<f64>>);

/// A list's first element, which says what the others are.
enum Cell {
    Number(Number),
    Row(Row),
}

/// A list of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row(pub Vec<f64>);

impl<'de> Deserialize<'de> for Vectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(VectorsVisitor)
    }
}

struct VectorsVisitor;

impl<'de> Visitor<'de> for VectorsVisitor {
    type Value = Vectors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, or a list of such lists")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vectors, A::Error> {
        match items.next_element::<Cell>()? {
            None => Ok(Vectors::default()),
            Some(Cell::Number(first)) => {
                let mut row = alloc::vec![first.0];
                while let Some(number) = items.next_element::<Number>()? {
                    row.push(number.0);
                }
                Ok(Vectors(alloc::vec![row]))
            }
            Some(Cell::Row(first)) => {
                let mut rows = alloc::vec![first.0];
                while let Some(row) = items.next_element::<Row>()? {
                    rows.push(row.0);
                }
                Ok(Vectors(rows))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Row, A::Error> {
        let mut row = Vec::new();
        while let Some(number) = items.next_element::<Number>()? {
            row.push(number.0);
        }
        Ok(Row(row))
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Cell, E> {
        NumberVisitor.visit_f64(value).map(Cell::Number)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Cell, E> {
        NumberVisitor.visit_i64(value).map(Cell::Number)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Cell, E> {
        NumberVisitor.visit_u64(value).map(Cell::Number)
    }

    fn visit_unit<E: Error>(self) -> Result<Cell, E> {
        NumberVisitor.visit_unit().map(Cell::Number)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Cell, E> {
        NumberVisitor.visit_str(value).map(Cell::Number)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Cell, A::Error> {
        RowVisitor.visit_seq(items).map(Cell::Row)
    }
}

/// A JSON value that was there and isn't null, and is not looked into.
#[derive(Clone, Copy, Debug)]
pub struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A string; any other JSON value is taken for none, where it would be wrong to refuse a whole answer for it.
#[derive(Clone, Debug, Default)]
pub struct MaybeString(pub Option<String>);

impl<'de> Deserialize<'de> for MaybeString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaybeStringVisitor)
    }
}

struct MaybeStringVisitor;

impl<'de> Visitor<'de> for MaybeStringVisitor {
    type Value = MaybeString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<MaybeString, E> {
        Ok(MaybeString(Some(value.into())))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<MaybeString, E> {
        Ok(MaybeString(Some(value)))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<MaybeString, E> {
        Ok(MaybeString(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<MaybeString, E> {
        Ok(MaybeString(None))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<MaybeString, E> {
        Ok(MaybeString(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<MaybeString, E> {
        Ok(MaybeString(None))
    }

    fn visit_unit<E: Error>(self) -> Result<MaybeString, E> {
        Ok(MaybeString(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<MaybeString, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(MaybeString(None))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<MaybeString, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(MaybeString(None))
    }
}

/// What a JSON text begins with, white space aside: `{`, `[`, `"`, or none where there is nothing.
#[must_use]
pub fn first_byte(text: &[u8]) -> Option<u8> {
    text.trim_ascii_start().first().copied()
}

/// Whether the text is one JSON document by the book (RFC 8259): no bare NaN, nothing after it.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Reads a JSON document, bare `NaN` and `Infinity` included.
///
/// # Errors
/// What is wrong, with its line and column; where the text has no bare word, of the text as it came.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let strict = serde_json::from_slice(text).map_err(|e| format!("{e}"));
    if strict.is_ok() {
        return strict;
    }
    match quote_bare_words(text) {
        Cow::Owned(quoted) => serde_json::from_slice(&quoted).map_err(|e| format!("{e}")),
        Cow::Borrowed(_) => strict,
    }
}

/// Puts the bare words of [`BARE`] in quotes, where they stand outside of strings.
fn quote_bare_words(text: &[u8]) -> Cow<'_, [u8]> {
    let mut quoted: Option<Vec<u8>> = None;
    let (mut at, mut copied, mut in_string) = (0, 0, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if in_string => at += 1, // whatever is escaped can't end the string
            b'"' => in_string = !in_string,
            b'N' | b'I' | b'-' if !in_string => {
                let rest = text.get(at..).unwrap_or_default();
                if let Some((word, _)) = BARE.iter().find(|(word, _)| rest.starts_with(word.as_bytes())) {
                    let out = quoted.get_or_insert_with(|| Vec::with_capacity(text.len() + text.len() / 2));
                    out.extend_from_slice(text.get(copied..at).unwrap_or_default());
                    out.push(b'"');
                    out.extend_from_slice(word.as_bytes());
                    out.push(b'"');
                    at += word.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    match quoted {
        Some(mut out) => {
            out.extend_from_slice(text.get(copied..).unwrap_or_default());
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
