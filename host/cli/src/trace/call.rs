//! From a line to a call: what a breaker is told, and the exchange that a scorer may look at.

use serde::Deserialize;
use serde_json::value::RawValue;
use softfuse::OutcomeKind;

use super::fields::Fields;
use super::mapping::{Field, Mapping, Rule};
use super::value;

/// The most late scores that one line may have.
const LATE_SCORES_MAX: usize = 1_000;
/// The most verdicts that one line may have.
const VERDICTS_MAX: usize = 256;
/// The largest magnitude that a score may have: the contract's bound.
const SCORE_MAX: f64 = 1e6;

/// A call of the trace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// The line that it stands in, from 1.
    pub(crate) line: u64,
    /// When it began, in nanoseconds from the log's own origin.
    pub(crate) at: i64,
    /// How long it took, in nanoseconds.
    pub(crate) latency: u64,
    pub(crate) kind: OutcomeKind,
    pub(crate) score: Option<f64>,
    pub(crate) late_scores: Vec<LateScore>,
    /// In nanoseconds.
    pub(crate) retry_after: Option<u64>,
    /// The verdicts of the host's own conditions, by name.
    pub(crate) verdicts: Vec<(String, Option<String>)>,
}

/// A score that came after the call had ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LateScore {
    /// Nanoseconds from the end of the call.
    pub(crate) after: u64,
    pub(crate) score: f64,
}

/// What a scorer may look at, as it stands in the line.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) operation: String,
    pub(crate) model: String,
    pub(crate) request: Option<&'a RawValue>,
    pub(crate) response: &'a RawValue,
}

/// What a line holds.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    pub(crate) call: Call,
    /// None for lines without a response.
    pub(crate) exchange: Option<Exchange<'a>>,
    /// The time was written as a date, so it is shown as one.
    pub(crate) dated: bool,
}

/// Something wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineProblem {
    /// From 1; 0 where the line as a whole is meant.
    pub(crate) column: usize,
    /// The field, and where it was looked for; empty where the line is no JSON.
    pub(crate) field: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

/// Reads a line.
pub(crate) fn parse<'a>(line: &'a [u8], number: u64, mapping: &mut Mapping) -> Result<Parsed<'a>, LineProblem> {
    let fields = Fields::parse(line).map_err(|error| no_json(&error))?;
    let mut reader = Reader { fields, mapping };
    let (at, dated) = reader.need(Field::At, |raw, rule| value::instant(raw, rule.unit))?;
    let latency = reader.latency(at)?;
    let kind = reader.outcome()?;
    let score = reader.take(Field::Score, |raw, _| score(raw))?;
    let late_scores = reader.take(Field::LateScores, |raw, _| late_scores(raw))?.unwrap_or_default();
    let retry_after = reader.take(Field::RetryAfter, |raw, rule| value::span(raw, rule.unit))?;
    let verdicts = reader.take(Field::Verdicts, |raw, _| verdicts(raw))?.unwrap_or_default();
    let call = Call { line: number, at, latency, kind, score, late_scores, retry_after, verdicts };
    let exchange = match reader.take(Field::Response, |raw, _| Ok(raw))? {
        Some(response) => Some(Exchange {
            operation: reader.take(Field::Operation, |raw, _| value::text(raw))?.unwrap_or_default(),
            model: reader.take(Field::Model, |raw, _| value::text(raw))?.unwrap_or_default(),
            request: reader.take(Field::Request, |raw, _| Ok(raw))?,
            response,
        }),
        None => None,
    };
    Ok(Parsed { call, exchange, dated })
}

fn no_json(error: &serde_json::Error) -> LineProblem {
    let text = error.to_string();
    // The line is one line to the parser, so what it says of lines would only mislead.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    LineProblem { column: error.column(), field: String::new(), message: format!("this is no JSON object: {text}") }
}

struct Reader<'a, 'm> {
    fields: Fields<'a>,
    mapping: &'m mut Mapping,
}

impl<'a> Reader<'a, '_> {
    /// Reads a field that may be absent.
    fn take<T>(
        &mut self,
        field: Field,
        read: impl FnOnce(&'a RawValue, &Rule) -> Result<T, String>,
    ) -> Result<Option<T>, LineProblem> {
        let rule = self.mapping.rule(field);
        // Of several paths the first that says something counts; a lone one may be blank, which its reader judges.
        let alone = rule.paths.len() == 1;
        let found = rule.paths.iter().find_map(|path| {
            self.fields.find(path).filter(|raw| alone || !value::is_blank(raw)).map(|raw| (raw, path))
        });
        let Some((raw, path)) = found else { return Ok(None) };
        let value = read(raw, rule).map_err(|message| problem(field, path, message))?;
        self.mapping.saw(field);
        Ok(Some(value))
    }

    /// Reads a field that must be there.
    fn need<T>(
        &mut self,
        field: Field,
        read: impl FnOnce(&'a RawValue, &Rule) -> Result<T, String>,
    ) -> Result<T, LineProblem> {
        self.take(field, read)?.ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: Field) -> LineProblem {
        let rule = self.mapping.rule(field);
        let message = if rule.mapped {
            format!("the line has no {rule}")
        } else {
            format!("the field is missing (a log with other names is read by --map {}=PATH)", field.name())
        };
        LineProblem { column: 0, field: field.name().to_owned(), message }
    }

    /// A latency, or the time between the beginning and the end.
    fn latency(&mut self, at: i64) -> Result<u64, LineProblem> {
        if let Some(latency) = self.take(Field::Latency, |raw, rule| value::span(raw, rule.unit))? {
            return Ok(latency);
        }
        match self.take(Field::End, |raw, rule| value::instant(raw, rule.unit))? {
            Some((end, _)) if end >= at => Ok(end.abs_diff(at)),
            Some(_) => Err(problem(Field::End, Field::End.name(), "the call ends before it begins".to_owned())),
            None if self.mapping.rule(Field::End).mapped => Err(self.missing(Field::End)),
            None => Err(self.missing(Field::Latency)),
        }
    }

    /// In the trace's own format it must be there, in its own words. A log that maps it may leave it out where there was
    /// no error.
    fn outcome(&mut self) -> Result<OutcomeKind, LineProblem> {
        if !self.mapping.rule(Field::Outcome).mapped {
            return self.need(Field::Outcome, |raw, _| value::own_outcome(raw));
        }
        let read = |raw: &RawValue, rule: &Rule| {
            if value::is_blank(raw) { Ok(OutcomeKind::Success) } else { value::outcome(raw, rule.unit) }
        };
        Ok(self.take(Field::Outcome, read)?.unwrap_or(OutcomeKind::Success))
    }
}

fn problem(field: Field, path: &str, message: String) -> LineProblem {
    let name = field.name();
    let field = if name == path { name.to_owned() } else { format!("{name} ({path})") };
    LineProblem { column: 0, field, message }
}

fn score(raw: &RawValue) -> Result<f64, String> {
    const WHAT: &str = "a number of at most 1000000 in magnitude, usually between 0 and 1";
    let score = value::number(raw, WHAT)?;
    if score.abs() <= SCORE_MAX { Ok(score) } else { Err(value::expected(WHAT, raw)) }
}

fn late_scores(raw: &RawValue) -> Result<Vec<LateScore>, String> {
    #[derive(Deserialize)]
    struct Late<'a> {
        #[serde(borrow)]
        after_ms: &'a RawValue,
        #[serde(borrow)]
        score: &'a RawValue,
    }
    const WHAT: &str = "a list such as [{\"after_ms\": 2000, \"score\": 0.4}]";
    let list: Vec<Late<'_>> = serde_json::from_str(raw.get()).map_err(|_| value::expected(WHAT, raw))?;
    if list.len() > LATE_SCORES_MAX {
        return Err(format!("{} late scores, and a call may have {LATE_SCORES_MAX}", list.len()));
    }
    let read = |late: &Late<'_>| {
        Ok(LateScore { after: value::span(late.after_ms, value::Unit::Milliseconds)?, score: score(late.score)? })
    };
    list.iter().map(read).collect()
}

fn verdicts(raw: &RawValue) -> Result<Vec<(String, Option<String>)>, String> {
    const WHAT: &str = "an object such as {\"my_condition\": null, \"other\": \"its reason\"}";
    let fields: std::collections::BTreeMap<String, Option<String>> =
        serde_json::from_str(raw.get()).map_err(|_| value::expected(WHAT, raw))?;
    if fields.len() > VERDICTS_MAX {
        return Err(format!("{} verdicts, and a call may have {VERDICTS_MAX}", fields.len()));
    }
    Ok(fields.into_iter().collect())
}
