//! A scorer's own cases: exchanges, each with what the scorer must say of it. Every host's tests read the same file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use softfuse::{Body, Exchange, ExchangeHead, ScoreOutcome, ScorerFailure};

use crate::output::number;

/// How far a score may be from the one that is expected, for what adding up fractions in another order costs.
const SCORE_TOLERANCE: f64 = 1e-9;

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cases {
    /// The configuration of all cases that have none of their own.
    pub(crate) config: Option<String>,
    /// In the order of the file.
    #[serde(rename = "case", default)]
    pub(crate) cases: Vec<Case>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) config: Option<String>,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    request: Content,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    answer: Option<Content>,
    score: Option<Expected>,
    abstains: Option<String>,
    malformed: Option<String>,
    fails: Option<String>,
    misconfigured: Option<String>,
}

/// A body: a text alone, or a table.
#[derive(Clone, Debug, Default)]
struct Content(Body);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContentTable {
    #[serde(default)]
    content_type: String,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    truncated: bool,
}

/// A score: a number alone, or a table with its bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    at_least: f64,
    at_most: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedTable {
    at_least: Option<f64>,
    at_most: Option<f64>,
}

/// What a case wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    Score(Expected),
    /// It abstains, and says this among other things.
    Abstains(&'a str),
    /// The answer isn't of its form.
    Malformed(&'a str),
    /// It fails otherwise.
    Fails(&'a str),
    /// It refuses its configuration.
    Misconfigured(&'a str),
}

impl Cases {
    /// Reads a file's text.
    ///
    /// # Errors
    /// In words, naming the key or the case: where it is no TOML, has a key that doesn't exist or none that says what is expected, or
    /// has no cases.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let read: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        if read.cases.is_empty() {
            return Err("no cases: each begins with [[case]]".to_owned());
        }
        let mut names = HashSet::new();
        for case in &read.cases {
            if case.name.trim().is_empty() {
                return Err("name: a case's name is empty".to_owned());
            }
            if !names.insert(case.name.as_str()) {
                return Err(format!("the case `{}` is there twice", case.name));
            }
            let wanted = case.wanted()?;
            match (wanted, &case.answer) {
                (Wanted::Misconfigured(_), Some(_)) => {
                    return Err(format!(
                        "the case `{}`: answer: nobody reads it where `misconfigured` stands",
                        case.name
                    ));
                }
                (Wanted::Misconfigured(_), None) | (_, Some(_)) => {}
                (_, None) => return Err(format!("the case `{}`: answer: the key is missing", case.name)),
            }
        }
        Ok(read)
    }
}

impl Case {
    /// What it wants.
    ///
    /// # Errors
    /// Where that is nothing, or several things.
    pub(crate) fn wanted(&self) -> Result<Wanted<'_>, String> {
        let found: Vec<Wanted<'_>> = [
            self.score.map(Wanted::Score),
            self.abstains.as_deref().map(Wanted::Abstains),
            self.malformed.as_deref().map(Wanted::Malformed),
            self.fails.as_deref().map(Wanted::Fails),
            self.misconfigured.as_deref().map(Wanted::Misconfigured),
        ]
        .into_iter()
        .flatten()
        .collect();
        match found[..] {
            [wanted] => Ok(wanted),
            _ => Err(format!(
                "the case `{}` says {}: one of score, abstains, malformed, fails, misconfigured is wanted",
                self.name,
                if found.is_empty() { "not what is expected" } else { "several things that are expected" }
            )),
        }
    }

    /// What the scorer is shown.
    pub(crate) fn exchange(&self) -> Exchange {
        Exchange {
            head: ExchangeHead {
                operation: self.operation.clone(),
                model: self.model.clone(),
                request: self.request.0.clone(),
                metadata: self.metadata.clone().into_iter().collect(),
            },
            answer: self.answer.clone().unwrap_or_default().0,
        }
    }
}

impl Wanted<'_> {
    /// Whether this is what came.
    pub(crate) fn is_met_by(self, outcome: &ScoreOutcome) -> bool {
        match (self, outcome) {
            (Self::Score(Expected { at_least, at_most }), ScoreOutcome::Score(score)) => {
                (at_least - SCORE_TOLERANCE..=at_most + SCORE_TOLERANCE).contains(&score.get())
            }
            (Self::Abstains(part), ScoreOutcome::Abstained(why)) => why.contains(part),
            (Self::Malformed(part), ScoreOutcome::Failed(ScorerFailure::Malformed(why))) => why.contains(part),
            // Hosts name a problem's key in ways of their own.
            (Self::Misconfigured(part), ScoreOutcome::Failed(ScorerFailure::BadConfig(problems))) => {
                problems.iter().any(|problem| problem.message.contains(part))
            }
            (Self::Fails(_), ScoreOutcome::Failed(ScorerFailure::Malformed(_) | ScorerFailure::BadConfig(_))) => false,
            (Self::Fails(part), ScoreOutcome::Failed(failure)) => failure.to_string().contains(part),
            _ => false,
        }
    }
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |f: &mut fmt::Formatter<'_>, what: &str, part: &str| match part {
            "" => f.write_str(what),
            part => write!(f, "{what} that says `{part}`"),
        };
        match self {
            Self::Score(Expected { at_least, at_most }) if at_least == at_most => {
                write!(f, "a score of {}", number(*at_least))
            }
            Self::Score(Expected { at_least, at_most }) if *at_most == f64::INFINITY => {
                write!(f, "a score of at least {}", number(*at_least))
            }
            Self::Score(Expected { at_least, at_most }) if *at_least == f64::NEG_INFINITY => {
                write!(f, "a score of at most {}", number(*at_most))
            }
            Self::Score(Expected { at_least, at_most }) => {
                write!(f, "a score from {} to {}", number(*at_least), number(*at_most))
            }
            Self::Abstains(part) => said(f, "an abstention", part),
            Self::Malformed(part) => said(f, "an error `malformed`", part),
            Self::Fails(part) => said(f, "a failure", part),
            Self::Misconfigured(part) => said(f, "a refusal of the configuration", part),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a table as in { content_type = \"text/plain\", text = \"Paris\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content(Body::new("", text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
                let table = ContentTable::deserialize(MapAccessDeserializer::new(map))?;
                let bytes = match (table.text, table.bytes) {
                    (Some(text), None) => text.into_bytes(),
                    (None, Some(bytes)) => bytes,
                    _ => return Err(A::Error::custom("one of text and bytes is wanted")),
                };
                Ok(Content(Body { content_type: table.content_type, bytes, truncated: table.truncated }))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Expected;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a table as in { at_least = 0.2, at_most = 0.4 }")
            }

            fn visit_f64<E: Error>(self, score: f64) -> Result<Expected, E> {
                if !score.is_finite() {
                    return Err(E::custom("a score is finite"));
                }
                Ok(Expected { at_least: score, at_most: score })
            }

            fn visit_i64<E: Error>(self, score: i64) -> Result<Expected, E> {
                self.visit_f64(score as f64)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expected, A::Error> {
                let table = ExpectedTable::deserialize(MapAccessDeserializer::new(map))?;
                if table.at_least.is_none() && table.at_most.is_none() {
                    return Err(A::Error::custom("one of at_least and at_most is wanted, or both"));
                }
                let expected = Expected {
                    at_least: table.at_least.unwrap_or(f64::NEG_INFINITY),
                    at_most: table.at_most.unwrap_or(f64::INFINITY),
                };
                // NaN is in order with nothing.
                if expected.at_least <= expected.at_most {
                    Ok(expected)
                } else {
                    Err(A::Error::custom("at_least is more than at_most: no score would do"))
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests;
