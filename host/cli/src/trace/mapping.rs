//! Which of a log's fields is what: `--map latency_ms=duration:s,outcome=status`, and presets for well-known logs.

use std::fmt;
use std::str::FromStr;

use super::value::Unit;

/// What a line can say of a call. The order is that of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Field {
    At,
    Latency,
    End,
    Outcome,
    Score,
    LateScores,
    RetryAfter,
    Verdicts,
    Operation,
    Model,
    Request,
    Response,
}

impl Field {
    const ALL: [Self; 12] = [
        Self::At,
        Self::Latency,
        Self::End,
        Self::Outcome,
        Self::Score,
        Self::LateScores,
        Self::RetryAfter,
        Self::Verdicts,
        Self::Operation,
        Self::Model,
        Self::Request,
        Self::Response,
    ];

    /// Its name, which is its key in the trace's own format.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::At => "at_ms",
            Self::Latency => "latency_ms",
            Self::End => "end_ms",
            Self::Outcome => "outcome",
            Self::Score => "score",
            Self::LateScores => "late_scores",
            Self::RetryAfter => "retry_after_ms",
            Self::Verdicts => "verdicts",
            Self::Operation => "operation",
            Self::Model => "model",
            Self::Request => "request",
            Self::Response => "response",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }

    /// Which suffixes make sense for it.
    const fn takes(self, unit: Unit) -> bool {
        match unit {
            Unit::Default => true,
            Unit::Failed => matches!(self, Self::Outcome),
            _ => matches!(self, Self::At | Self::Latency | Self::End | Self::RetryAfter),
        }
    }
}

/// LiteLLM's standard logging payload, as its callbacks and its JSON logs write it.
const LITELLM: &str = "at_ms=startTime:s,end_ms=endTime:s,latency_ms=response_time:s,\
    outcome=error_information.error_class|error_information.error_code|error_str|status,\
    operation=call_type,request=model_parameters";
/// The presets by name.
const PRESETS: [(&str, &str); 1] = [("litellm", LITELLM)];
/// The most entries of all `--map` together.
const ENTRIES_MAX: usize = 256;

/// One `--map` argument, parsed.
#[derive(Clone, Debug)]
pub(crate) struct MapArg(Vec<(Field, Rule)>);

/// Where a field is found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    /// Dotted paths, the first that is there counts.
    pub(crate) paths: Vec<String>,
    pub(crate) unit: Unit,
    /// It was said by the user, not by the trace's own format.
    pub(crate) mapped: bool,
}

/// All rules, and which of them ever found something.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    rules: Vec<Rule>,
    found: Vec<bool>,
}

impl Mapping {
    /// The trace's own format, changed by what the user says; of two entries for one field the later counts.
    pub(crate) fn new(args: &[MapArg]) -> Self {
        let own = |field: &Field| Rule { paths: vec![field.name().to_owned()], ..Rule::default() };
        let mut rules: Vec<Rule> = Field::ALL.iter().map(own).collect();
        for (field, rule) in args.iter().flat_map(|arg| &arg.0) {
            rules[field.index()] = rule.clone();
        }
        let found = vec![false; rules.len()];
        Self { rules, found }
    }

    /// Where a field is found.
    pub(crate) fn rule(&self, field: Field) -> &Rule {
        &self.rules[field.index()]
    }

    /// Takes note that a field was found.
    pub(crate) fn saw(&mut self, field: Field) {
        self.found[field.index()] = true;
    }

    /// The mapped fields that no line had: slips of the pen, most likely.
    pub(crate) fn never_found(&self) -> impl Iterator<Item = (Field, &Rule)> {
        Field::ALL
            .into_iter()
            .map(|field| (field, self.rule(field)))
            .filter(|(field, rule)| rule.mapped && !self.found[field.index()])
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.paths.iter().enumerate() {
            write!(f, "{}`{path}`", if index == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

impl FromStr for MapArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut entries = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry.split_once('=') {
                Some((field, path)) => entries.push(self::entry(field.trim(), path.trim())?),
                None => {
                    let Some((_, preset)) = PRESETS.into_iter().find(|(name, _)| *name == entry) else {
                        let names = PRESETS.map(|(name, _)| name).join(", ");
                        return Err(format!("`{entry}` is neither FIELD=PATH nor a preset ({names})"));
                    };
                    entries.extend(preset.parse::<Self>()?.0);
                }
            }
            if entries.len() > ENTRIES_MAX {
                return Err(format!("more than {ENTRIES_MAX} entries"));
            }
        }
        if entries.is_empty() {
            return Err("nothing is mapped: FIELD=PATH[:UNIT] is wanted, as in latency_ms=duration:s".to_owned());
        }
        Ok(Self(entries))
    }
}

fn entry(name: &str, source: &str) -> Result<(Field, Rule), String> {
    let Some(field) = Field::ALL.into_iter().find(|field| field.name() == name) else {
        let names = Field::ALL.map(Field::name).join(", ");
        return Err(format!("there is no field `{name}`; the fields are {names}"));
    };
    let (paths, unit) = match source.rsplit_once(':') {
        None => (source, Unit::Default),
        Some((paths, suffix)) => match Unit::NAMES.into_iter().find(|(name, _)| *name == suffix) {
            Some((_, unit)) => (paths, unit),
            None => {
                let names = Unit::NAMES.map(|(name, _)| name).join(", ");
                return Err(format!("`{suffix}` is no unit; the units are {names}"));
            }
        },
    };
    if !field.takes(unit) {
        return Err(format!("`{name}` takes no unit like that of `{source}`"));
    }
    let paths: Vec<String> = paths.split('|').map(|path| path.trim().to_owned()).collect();
    if paths.iter().any(String::is_empty) {
        return Err(format!("a path is missing in `{name}={source}`"));
    }
    Ok((field, Rule { paths, unit, mapped: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_entries_win_and_presets_are_entries() {
        let args: Vec<MapArg> =
            ["litellm", "score=metadata.score, outcome=ok:failed"].map(|text| text.parse().unwrap()).into();
        let mapping = Mapping::new(&args);
        assert_eq!(mapping.rule(Field::At).paths, ["startTime"]);
        assert_eq!(mapping.rule(Field::At).unit, Unit::Seconds);
        assert_eq!(mapping.rule(Field::Outcome).paths, ["ok"]);
        assert_eq!(mapping.rule(Field::Outcome).unit, Unit::Failed);
        assert_eq!(mapping.rule(Field::Score).paths, ["metadata.score"]);
        assert!(!mapping.rule(Field::Model).mapped);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, said) in [
            ("lat=x", "there is no field `lat`; the fields are at_ms, latency_ms"),
            ("latency_ms=x:min", "`min` is no unit; the units are s, ms, us, ns, failed"),
            ("latency_ms=x:failed", "takes no unit"),
            ("score=x:s", "takes no unit"),
            ("latency_ms=", "a path is missing"),
            ("latency_ms=a|", "a path is missing"),
            ("litelm", "neither FIELD=PATH nor a preset (litellm)"),
            ("", "nothing is mapped"),
        ] {
            let error = text.parse::<MapArg>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
