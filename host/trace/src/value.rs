//! From a field's JSON to times, spans, outcomes and texts, in whichever of the usual ways a log writes them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;
use softfuse_outcome::OutcomeKind;

use crate::error::Fault;

/// The longest text that is read as a time, a number or an outcome: longer ones are cut for messages and searches.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// The longest latency and `Retry-After`: 30 days. Whatever is longer was given in the wrong unit.
const SPAN_NANOS_MAX: f64 = 30.0 * 86_400.0 * 1e9;
/// Instants lie within 146 years of 1970, so that sums of them don't overflow.
const INSTANT_NANOS_MAX: u64 = i64::MAX as u64 / 2;

/// How a field's number or truth value is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Numbers are milliseconds; `true` is a success.
    #[default]
    Default,
    /// Numbers are seconds.
    Seconds,
    /// Numbers are milliseconds.
    Milliseconds,
    /// Numbers are microseconds.
    Microseconds,
    /// Numbers are nanoseconds.
    Nanoseconds,
    /// `true` is a failure.
    Failed,
}

impl Unit {
    /// The suffixes that a mapping may have.
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("s", Self::Seconds),
        ("ms", Self::Milliseconds),
        ("us", Self::Microseconds),
        ("ns", Self::Nanoseconds),
        ("failed", Self::Failed),
    ];

    const fn nanos(self) -> f64 {
        match self {
            Self::Seconds => 1e9,
            Self::Default | Self::Milliseconds | Self::Failed => 1e6,
            Self::Microseconds => 1e3,
            Self::Nanoseconds => 1.0,
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Default | Self::Milliseconds | Self::Failed => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

/// A value that is no container.
enum Scalar {
    Bool(bool),
    Number(f64),
    Text(String),
    Other,
}

fn scalar(raw: &RawValue) -> Scalar {
    if raw.get().starts_with(['{', '[']) || raw.get().len() > TEXT_BYTES_MAX {
        return Scalar::Other;
    }
    match serde_json::from_str(raw.get()) {
        Ok(Value::Bool(value)) => Scalar::Bool(value),
        Ok(Value::Number(number)) => number.as_f64().map_or(Scalar::Other, Scalar::Number),
        Ok(Value::String(text)) => Scalar::Text(text),
        _ => Scalar::Other,
    }
}

/// Says what was expected, and shows the beginning of what was found.
pub(crate) fn expected(what: &str, raw: &RawValue) -> Fault {
    const GLANCE_CHARS: usize = 40;
    let glance: String = raw.get().chars().take(GLANCE_CHARS).collect();
    let more = if glance.len() < raw.get().len() { "..." } else { "" };
    Fault::Unexpected { expected: what.to_owned(), found: format!("{glance}{more}") }
}

/// A number, or a text that is one.
pub(crate) fn number(raw: &RawValue, what: &str) -> Result<f64, Fault> {
    let number = match scalar(raw) {
        Scalar::Number(number) => Some(number),
        Scalar::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| expected(what, raw))
}

/// An instant, in nanoseconds from whatever origin the log has, and whether it was written as a date.
pub(crate) fn instant(raw: &RawValue, unit: Unit) -> Result<(i64, bool), Fault> {
    let what = format!("a number of {} or a time such as 2026-01-31T12:00:00.5Z", unit.plural());
    let text = match scalar(raw) {
        // As it is written: a double holds the seconds since 1970 to a quarter of a microsecond only.
        Scalar::Number(_) => raw.get().to_owned(),
        Scalar::Text(text) => text.trim().to_owned(),
        _ => return Err(expected(&what, raw)),
    };
    let (nanos, dated) = match (scaled(&text, unit.nanos()), date(&text)) {
        (Some(nanos), _) => (nanos, false),
        (None, Some(nanos)) => (nanos, true),
        (None, None) => return Err(expected(&what, raw)),
    };
    let in_range = i64::try_from(nanos).ok().filter(|nanos| nanos.unsigned_abs() <= INSTANT_NANOS_MAX);
    in_range.map(|nanos| (nanos, dated)).ok_or_else(|| match dated {
        true => expected("a time between 1824 and 2116", raw),
        false => expected(&format!("a number of {} within 146 years of 0", unit.plural()), raw),
    })
}

/// A decimal number in units of so many nanoseconds, exactly where it has no exponent; what is below a nanosecond is cut
/// off.
fn scaled(text: &str, unit_nanos: f64) -> Option<i128> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |digits: &str| digits.len() <= 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !plain(whole) || whole.is_empty() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        // Saturates; the caller checks the range.
        return Some((number * unit_nanos).round() as i128);
    }
    // Units are 1, 10^3, 10^6 and 10^9 nanoseconds, and 20 digits of them fit.
    let unit = unit_nanos as i128;
    let mut nanos = whole.parse::<i128>().ok()? * unit;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos += i128::from(digit - b'0') * place;
    }
    Some(sign * nanos)
}

/// RFC 3339 and its relatives; a time without a zone is UTC.
fn date(text: &str) -> Option<i128> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_nanosecond());
    }
    let local: DateTime = text.parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(local).ok()?.as_nanosecond())
}

/// A span, in nanoseconds: a number, or a text such as `1.5s` or `250ms`.
pub(crate) fn span(raw: &RawValue, unit: Unit) -> Result<u64, Fault> {
    let what = format!("a number of {} from 0 to 30 days, or a text such as \"1.5s\"", unit.plural());
    let nanos = match scalar(raw) {
        Scalar::Number(number) => number * unit.nanos(),
        Scalar::Text(text) => match text.trim().parse::<f64>() {
            Ok(number) => number * unit.nanos(),
            Err(_) => {
                let span: SignedDuration = text.trim().parse().map_err(|_| expected(&what, raw))?;
                span.as_nanos() as f64
            }
        },
        _ => return Err(expected(&what, raw)),
    };
    let nanos = nanos.round();
    // NaN is in no range.
    if (0.0..=SPAN_NANOS_MAX).contains(&nanos) { Ok(nanos as u64) } else { Err(expected(&what, raw)) }
}

/// A text; numbers and truth values as they are written.
pub(crate) fn text(raw: &RawValue) -> Result<String, Fault> {
    match scalar(raw) {
        Scalar::Text(text) => Ok(text),
        Scalar::Number(_) | Scalar::Bool(_) => Ok(raw.get().to_owned()),
        Scalar::Other => Err(expected("a text", raw)),
    }
}

/// Whether a value says nothing: an empty text, as some logs write for "no error".
pub(crate) fn is_blank(raw: &RawValue) -> bool {
    raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some_and(|text| text.trim().is_empty())
}

/// How a call ended: an outcome's name, an HTTP status, a truth value, or an exception's name and message.
pub(crate) fn outcome(raw: &RawValue, unit: Unit) -> Result<OutcomeKind, Fault> {
    match scalar(raw) {
        Scalar::Bool(value) => {
            Ok(if value == (unit == Unit::Failed) { OutcomeKind::Error } else { OutcomeKind::Success })
        }
        Scalar::Number(number) => http_status(number).ok_or_else(|| expected("an HTTP status from 100 to 599", raw)),
        Scalar::Text(text) => match text.trim().parse() {
            Ok(number) => http_status(number).ok_or_else(|| expected("an HTTP status from 100 to 599", raw)),
            Err(_) => Ok(named(text.trim()).unwrap_or_else(|| exception(&text))),
        },
        // An error's object: it is there, so there was an error, and its words say which.
        Scalar::Other if raw.get().starts_with('{') => {
            let end = raw.get().floor_char_boundary(TEXT_BYTES_MAX);
            Ok(exception(&raw.get()[..end]))
        }
        Scalar::Other => Err(expected("an outcome, an HTTP status, a truth value or an exception", raw)),
    }
}

/// What an outcome's own field may say in the trace's own format, where a wrong word must not become an error.
pub(crate) fn own_outcome(raw: &RawValue) -> Result<OutcomeKind, Fault> {
    let found = match scalar(raw) {
        Scalar::Text(text) => OutcomeKind::ALL.into_iter().find(|kind| kind.as_str() == text),
        _ => None,
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = OutcomeKind::ALL.iter().map(|kind| kind.as_str()).collect();
        expected(&format!("one of {} (other logs: --map outcome=PATH)", names.join(", ")), raw)
    })
}

/// What a status counts as, for those that RFC 9110 allows.
fn http_status(number: f64) -> Option<OutcomeKind> {
    if number.fract() != 0.0 || !(100.0..600.0).contains(&number) {
        return None;
    }
    // In range and whole by the check above.
    Some(OutcomeKind::from_http_status(number as u16))
}

/// An outcome's own name, or one of the words that logs use in its place.
fn named(text: &str) -> Option<OutcomeKind> {
    let word: String = text.chars().map(|c| if c == '_' || c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect();
    if let Some(kind) = OutcomeKind::ALL.into_iter().find(|kind| kind.as_str() == word) {
        return Some(kind);
    }
    match word.as_str() {
        "ok" | "succeeded" | "completed" | "none" => Some(OutcomeKind::Success),
        "failure" | "failed" => Some(OutcomeKind::Error),
        "canceled" => Some(OutcomeKind::Cancelled),
        _ => None,
    }
}

/// An exception, by the words that the usual client libraries put into its name or message. The more telling come first.
fn exception(text: &str) -> OutcomeKind {
    const SIGNS: [(&str, OutcomeKind); 22] = [
        ("contentpolicy", OutcomeKind::ContentPolicy),
        ("content_policy", OutcomeKind::ContentPolicy),
        ("content_filter", OutcomeKind::ContentPolicy),
        ("contentfilter", OutcomeKind::ContentPolicy),
        ("ratelimit", OutcomeKind::RateLimited),
        ("rate_limit", OutcomeKind::RateLimited),
        ("rate limit", OutcomeKind::RateLimited),
        ("too many requests", OutcomeKind::RateLimited),
        ("timeout", OutcomeKind::Timeout),
        ("timed out", OutcomeKind::Timeout),
        ("deadlineexceeded", OutcomeKind::Timeout),
        ("overloaded", OutcomeKind::Overloaded),
        ("serviceunavailable", OutcomeKind::Overloaded),
        ("service unavailable", OutcomeKind::Overloaded),
        ("cancel", OutcomeKind::Cancelled),
        ("badrequest", OutcomeKind::BadRequest),
        ("bad request", OutcomeKind::BadRequest),
        ("invalidrequest", OutcomeKind::BadRequest),
        ("invalid_request", OutcomeKind::BadRequest),
        ("unprocessableentity", OutcomeKind::BadRequest),
        ("contextwindowexceeded", OutcomeKind::BadRequest),
        ("context_length_exceeded", OutcomeKind::BadRequest),
    ];
    let lower = text.to_ascii_lowercase();
    SIGNS.into_iter().find(|(sign, _)| lower.contains(sign)).map_or(OutcomeKind::Error, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn reads_instants() {
        for (text, unit, nanos) in [
            ("873.1", Unit::Default, 873_100_000),
            ("-3", Unit::Default, -3_000_000),
            ("1700000000.25", Unit::Seconds, 1_700_000_000_250_000_000),
            ("\"1700000000\"", Unit::Seconds, 1_700_000_000_000_000_000),
            ("12", Unit::Nanoseconds, 12),
            ("\"1970-01-01T00:00:01.5Z\"", Unit::Default, 1_500_000_000),
            ("\"1970-01-01T01:00:00+01:00\"", Unit::Seconds, 0),
            ("\"1970-01-01 00:00:02.000001\"", Unit::Default, 2_000_001_000),
        ] {
            assert_eq!(instant(&raw(text), unit).unwrap().0, nanos, "{text}");
        }
        for text in ["true", "\"noon\"", "[1]", "{}", "1e300", "\"NaN\"", "\"inf\"", "\"3000-01-01T00:00:00Z\""] {
            assert!(instant(&raw(text), Unit::Default).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_spans() {
        for (text, unit, nanos) in [
            ("872.7", Unit::Default, 872_700_000),
            ("1.5", Unit::Seconds, 1_500_000_000),
            ("7", Unit::Microseconds, 7_000),
            ("\"1.5s\"", Unit::Default, 1_500_000_000),
            ("\"250ms\"", Unit::Seconds, 250_000_000),
            ("\"0.25\"", Unit::Seconds, 250_000_000),
        ] {
            assert_eq!(span(&raw(text), unit).unwrap(), nanos, "{text}");
        }
        for text in ["-1", "true", "\"soon\"", "1e20", "\"-1s\"", "\"NaN\""] {
            assert!(span(&raw(text), Unit::Default).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_outcomes_as_logs_write_them() {
        use OutcomeKind::*;
        for (text, kind) in [
            ("\"success\"", Success),
            ("\"rate_limited\"", RateLimited),
            ("\"failure\"", Error),
            ("200", Success),
            ("302", Success),
            ("429", RateLimited),
            ("\"529\"", Overloaded),
            ("503", Overloaded),
            ("504", Timeout),
            ("499", Cancelled),
            ("422", BadRequest),
            ("401", Error),
            ("500", Error),
            ("true", Success),
            ("false", Error),
            ("\"litellm.RateLimitError: slow down\"", RateLimited),
            ("\"openai.APITimeoutError\"", Timeout),
            ("\"asyncio.CancelledError\"", Cancelled),
            ("\"BadRequestError: ContentPolicyViolationError\"", ContentPolicy),
            ("\"ContextWindowExceededError\"", BadRequest),
            ("\"ConnectionError\"", Error),
            ("{\"type\":\"overloaded_error\"}", Overloaded),
        ] {
            assert_eq!(outcome(&raw(text), Unit::Default).unwrap(), kind, "{text}");
        }
        assert_eq!(outcome(&raw("true"), Unit::Failed).unwrap(), Error);
        assert_eq!(outcome(&raw("false"), Unit::Failed).unwrap(), Success);
        for text in ["99", "600", "200.5", "[]"] {
            assert!(outcome(&raw(text), Unit::Default).is_err(), "{text}");
        }
        assert_eq!(own_outcome(&raw("\"timeout\"")).unwrap(), Timeout);
        assert!(own_outcome(&raw("\"Timeout\"")).unwrap_err().to_string().contains("one of success, error, timeout"));
    }
}
