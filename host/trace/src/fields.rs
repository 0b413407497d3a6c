//! A line's fields, found by dotted paths without reading what nobody asks for: an answer of a megabyte is passed on as
//! the bytes that it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The keys of a JSON object with their values' text.
#[derive(Debug)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key, borrowed from the line where it has no escapes in it.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'a> Fields<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// Where it isn't one JSON object.
    pub fn parse(line: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// The value at a dotted path, as in `response.usage.total` or `choices.0.text`. A key may itself have dots in it:
    /// the longest that exists is taken. None also where the value is `null`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&'a RawValue> {
        let found = self.find_or_null(path)?;
        (found.get() != "null").then_some(found)
    }

    /// Whether there is anything at a path, and be it null.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.find_or_null(path).is_some()
    }

    fn find_or_null(&self, path: &str) -> Option<&'a RawValue> {
        if let Some(value) = self.value(path) {
            return Some(value);
        }
        // From the right, so that the longest key comes first.
        path.rmatch_indices('.').find_map(|(dot, _)| {
            let value = self.value(&path[..dot])?;
            descend(value, &path[dot + 1..])
        })
    }

    /// The last value of a key: later ones win, as everywhere in JSON.
    fn value(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }
}

fn descend<'a>(value: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    match value.get().as_bytes().first() {
        // The text of a value is valid JSON, so only the shape can be another.
        Some(b'{') => serde_json::from_str::<Fields<'a>>(value.get()).ok()?.find_or_null(path),
        Some(b'[') => {
            let (index, rest) = path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
            let index: usize = index.parse().ok()?;
            let item = Nth(index).of(value)?;
            match rest {
                Some(rest) => descend(item, rest),
                None => Some(item),
            }
        }
        _ => None,
    }
}

/// Finds one item of an array, without a place for all others: there may be millions.
struct Nth(usize);

impl Nth {
    fn of(self, array: &RawValue) -> Option<&RawValue> {
        self.deserialize(&mut serde_json::Deserializer::from_str(array.get())).ok()?
    }
}

impl<'de> DeserializeSeed<'de> for Nth {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Nth {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = items.next_element::<&'de RawValue>()?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_dotted_paths() {
        let line =
            br#"{"a":{"b":[1,{"c":"x"}],"n":null},"a.b":7,"gen_ai.usage":{"total.all":3},"k\u0065y":true,"d":1,"d":2}"#;
        let fields = Fields::parse(line).unwrap();
        let find = |path: &str| fields.find(path).map(RawValue::get);
        assert_eq!(find("a.b"), Some("7"), "a key with a dot in it comes first");
        assert_eq!(find("a.b.1.c"), Some("\"x\""));
        assert_eq!(find("a.b.0"), Some("1"));
        assert_eq!((find("a.n"), fields.has("a.n"), fields.has("a.m")), (None, true, false));
        assert_eq!(find("a.b.2"), None);
        assert_eq!(find("a.b.18446744073709551615"), None);
        assert_eq!(find("a.b.18446744073709551616"), None);
        assert_eq!(find("a.n"), None, "null is nothing");
        assert_eq!(find("gen_ai.usage.total.all"), Some("3"));
        assert_eq!(find("key"), Some("true"), "escapes are read");
        assert_eq!(find("d"), Some("2"), "the last one wins");
        assert_eq!(find(""), None);
        assert_eq!(find("."), None);
    }

    #[test]
    fn refuses_what_is_no_object() {
        for line in [&b"[1]"[..], b"3", b"", b"{\"a\":1} x", b"{\"a\":}", b"\xff"] {
            assert!(Fields::parse(line).is_err());
        }
    }
}
