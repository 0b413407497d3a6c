//! From a line to a call: what a breaker is told, and the exchange that a scorer may look at.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Fault, LineProblem};
use crate::fields::Fields;
use crate::mapping::{Field, Mapping, Rule};
use crate::value;
use softfuse_outcome::OutcomeKind;

/// The most late scores that one line may have.
pub const LATE_SCORES_MAX: usize = 1_000;
/// The most verdicts that one line may have: as many as a policy may have conditions.
pub const VERDICTS_MAX: usize = 256;
/// The largest magnitude that a score may have: the contract's bound.
pub const SCORE_MAX: f64 = 1e6;

/// A call of the trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The line that it stands in, from 1.
    pub line: u64,
    /// When it began, in nanoseconds from the log's own origin; within 146 years of it.
    pub at: i64,
    /// How long it took, in nanoseconds: at most 30 days, but where the end was given in its place.
    pub latency: u64,
    /// How it ended.
    pub kind: OutcomeKind,
    /// The answer's quality, of at most [`SCORE_MAX`] in magnitude.
    pub score: Option<f64>,
    /// Scores that came later, at most [`LATE_SCORES_MAX`].
    pub late_scores: Vec<LateScore>,
    /// How long the service asked not to be called, in nanoseconds, at most 30 days.
    pub retry_after: Option<u64>,
    /// The verdicts of the host's own conditions, by name, at most [`VERDICTS_MAX`]: for one that held, its reason.
    pub verdicts: Vec<(String, Option<String>)>,
}

impl Call {
    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let verdict = |(name, reason): &(String, Option<String>)| {
            size_of::<(String, Option<String>)>() + name.len() + reason.as_ref().map_or(0, String::len)
        };
        let lists = size_of_val(&*self.late_scores) + self.verdicts.iter().map(verdict).sum::<usize>();
        size_of::<Self>() + lists
    }
}

/// A score that came after the call had ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LateScore {
    /// Nanoseconds from the end of the call.
    pub after: u64,
    /// Of at most [`SCORE_MAX`] in magnitude.
    pub score: f64,
}

/// What a scorer may look at, as it stands in the line.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// What was asked for, as in `chat`; empty where the line doesn't say.
    pub operation: String,
    /// Who was asked; empty where the line doesn't say.
    pub model: String,
    /// What was asked, as JSON.
    pub request: Option<&'a RawValue>,
    /// The answer, as JSON.
    pub response: &'a RawValue,
}

/// What a line holds.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The call.
    pub call: Call,
    /// None for lines without a response.
    pub exchange: Option<Exchange<'a>>,
    /// The time was written as a date, so it is shown as one.
    pub dated: bool,
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
    // Where the line isn't the place, the parser says column 0.
    let column = Some(error.column()).filter(|column| *column > 0);
    LineProblem { column, ..Fault::NoObject(text.to_owned()).into() }
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
        read: impl FnOnce(&'a RawValue, &Rule) -> Result<T, Fault>,
    ) -> Result<Option<T>, LineProblem> {
        let rule = self.mapping.rule(field);
        // Of several paths the first that says something counts; a lone one may be blank, which its reader judges.
        let alone = rule.paths.0.len() == 1;
        let found = rule.paths.0.iter().find_map(|path| {
            self.fields.find(path).filter(|raw| alone || !value::is_blank(raw)).map(|raw| (raw, path))
        });
        let Some((raw, path)) = found else { return Ok(None) };
        let value = read(raw, rule).map_err(|fault| LineProblem::at(field, path, fault))?;
        self.mapping.saw(field);
        Ok(Some(value))
    }

    /// Reads a field that must be there.
    fn need<T>(
        &mut self,
        field: Field,
        read: impl FnOnce(&'a RawValue, &Rule) -> Result<T, Fault>,
    ) -> Result<T, LineProblem> {
        self.take(field, read)?.ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: Field) -> LineProblem {
        let rule = self.mapping.rule(field);
        LineProblem::of(field, Fault::Missing(rule.mapped.then(|| rule.paths.clone())))
    }

    /// A latency, or the time between the beginning and the end.
    fn latency(&mut self, at: i64) -> Result<u64, LineProblem> {
        if let Some(latency) = self.take(Field::Latency, |raw, rule| value::span(raw, rule.unit))? {
            return Ok(latency);
        }
        match self.take(Field::End, |raw, rule| value::instant(raw, rule.unit))? {
            Some((end, _)) if end >= at => Ok(end.abs_diff(at)),
            Some(_) => Err(LineProblem::of(Field::End, Fault::EndsBeforeBeginning)),
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

fn score(raw: &RawValue) -> Result<f64, Fault> {
    const WHAT: &str = "a number of at most 1000000 in magnitude, usually between 0 and 1";
    let score = value::number(raw, WHAT)?;
    if score.abs() <= SCORE_MAX { Ok(score) } else { Err(value::expected(WHAT, raw)) }
}

fn late_scores(raw: &RawValue) -> Result<Vec<LateScore>, Fault> {
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
        return Err(Fault::TooMany { what: "late scores", found: list.len(), most: LATE_SCORES_MAX });
    }
    let read = |late: &Late<'_>| {
        Ok(LateScore { after: value::span(late.after_ms, value::Unit::Milliseconds)?, score: score(late.score)? })
    };
    list.iter().map(read).collect()
}

fn verdicts(raw: &RawValue) -> Result<Vec<(String, Option<String>)>, Fault> {
    const WHAT: &str = "an object such as {\"my_condition\": null, \"other\": \"its reason\"}";
    let fields: std::collections::BTreeMap<String, Option<String>> =
        serde_json::from_str(raw.get()).map_err(|_| value::expected(WHAT, raw))?;
    if fields.len() > VERDICTS_MAX {
        return Err(Fault::TooMany { what: "verdicts", found: fields.len(), most: VERDICTS_MAX });
    }
    Ok(fields.into_iter().collect())
}
