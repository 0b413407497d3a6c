//! Which of a log's fields is what: `--map latency_ms=duration:s,outcome=status`, and presets for well-known logs.

use std::fmt;
use std::str::FromStr;

use crate::value::Unit;

/// What a line can say of a call. The order is that of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// When the call began.
    At,
    /// How long it took.
    Latency,
    /// When it ended, in place of the latency.
    End,
    /// How it ended.
    Outcome,
    /// The answer's quality.
    Score,
    /// Scores that came later.
    LateScores,
    /// How long the service asked not to be called.
    RetryAfter,
    /// What the host's own conditions said.
    Verdicts,
    /// What was asked for.
    Operation,
    /// Who was asked.
    Model,
    /// What was asked.
    Request,
    /// The answer.
    Response,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 12] = [
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
    #[must_use]
    pub const fn name(self) -> &'static str {
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
/// The most entries of one argument.
pub const ENTRIES_MAX: usize = 256;
/// The most paths of one entry.
pub const PATHS_MAX: usize = 16;
/// The longest path, in bytes: it is looked for in every line.
pub const PATH_BYTES_MAX: usize = 512;

/// One `--map` argument, parsed: `latency_ms=duration:s,outcome=http.status|error` or a preset's name, such as `litellm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapArg(Vec<(Field, Rule)>);

/// Dotted paths, of which the first that is there counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(pub(crate) Vec<String>);

/// Where a field is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) paths: Paths,
    pub(crate) unit: Unit,
    /// It was said by the user, not by the trace's own format.
    pub(crate) mapped: bool,
}

/// Where all fields are found, and which of them ever were.
#[derive(Clone, Debug)]
pub struct Mapping {
    rules: Vec<Rule>,
    found: Vec<bool>,
}

impl Mapping {
    /// The trace's own format, changed by what the user says; of two entries for one field the later counts.
    #[must_use]
    pub fn new(args: &[MapArg]) -> Self {
        let own = |field: &Field| Rule { paths: Paths(vec![field.name().to_owned()]), ..Rule::default() };
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
    pub fn unused(&self) -> impl Iterator<Item = Unused> {
        let unused = |(field, rule): &(Field, &Rule)| rule.mapped && !self.found[field.index()];
        let rules = Field::ALL.into_iter().map(|field| (field, self.rule(field))).filter(unused);
        rules.map(|(field, rule)| Unused { field, paths: rule.paths.clone() })
    }
}

/// A mapped field that no line had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// The field.
    pub field: Field,
    /// Where it was looked for.
    pub paths: Paths,
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no line has {}, which `{}` is mapped to", self.paths, self.field.name())
    }
}

impl Paths {
    /// The paths, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().enumerate() {
            write!(f, "{}`{path}`", if index == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// Why a `--map` argument can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapError {
    /// Neither FIELD=PATH nor a preset.
    NoEntry(String),
    /// There is no such field.
    UnknownField(String),
    /// There is no such unit.
    UnknownUnit(String),
    /// The field takes no such unit.
    UnitNotTaken {
        /// The field.
        field: Field,
        /// What stands behind the equals sign.
        source: String,
    },
    /// A path is empty.
    NoPath {
        /// The field.
        field: Field,
        /// What stands behind the equals sign.
        source: String,
    },
    /// A path is longer than [`PATH_BYTES_MAX`].
    PathTooLong(Field),
    /// A field has more than [`PATHS_MAX`] paths.
    TooManyPaths(Field),
    /// There are more than [`ENTRIES_MAX`] entries.
    TooManyEntries,
    /// There is none.
    Nothing,
}

impl std::error::Error for MapError {}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry(entry) => {
                let names = PRESETS.map(|(name, _)| name).join(", ");
                write!(f, "`{entry}` is neither FIELD=PATH nor a preset ({names})")
            }
            Self::UnknownField(name) => {
                let names = Field::ALL.map(Field::name).join(", ");
                write!(f, "there is no field `{name}`; the fields are {names}")
            }
            Self::UnknownUnit(suffix) => {
                let names = Unit::NAMES.map(|(name, _)| name).join(", ");
                write!(f, "`{suffix}` is no unit; the units are {names}")
            }
            Self::UnitNotTaken { field, source } => {
                write!(f, "`{}` takes no unit like that of `{source}`", field.name())
            }
            Self::NoPath { field, source } => write!(f, "a path is missing in `{}={source}`", field.name()),
            Self::PathTooLong(field) => {
                write!(f, "a path of `{}` has more than {PATH_BYTES_MAX} bytes, the most of a path", field.name())
            }
            Self::TooManyPaths(field) => write!(f, "`{}` has more than {PATHS_MAX} paths", field.name()),
            Self::TooManyEntries => write!(f, "more than {ENTRIES_MAX} entries"),
            Self::Nothing => f.write_str("nothing is mapped: FIELD=PATH[:UNIT] is wanted, as in latency_ms=duration:s"),
        }
    }
}

impl FromStr for MapArg {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, MapError> {
        let mut entries = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry.split_once('=') {
                Some((field, path)) => entries.push(self::entry(field.trim(), path.trim())?),
                None => {
                    let preset = PRESETS.into_iter().find(|(name, _)| *name == entry);
                    let (_, preset) = preset.ok_or_else(|| MapError::NoEntry(entry.to_owned()))?;
                    entries.extend(preset.parse::<Self>()?.0);
                }
            }
            if entries.len() > ENTRIES_MAX {
                return Err(MapError::TooManyEntries);
            }
        }
        if entries.is_empty() { Err(MapError::Nothing) } else { Ok(Self(entries)) }
    }
}

fn entry(name: &str, source: &str) -> Result<(Field, Rule), MapError> {
    let field = Field::ALL.into_iter().find(|field| field.name() == name);
    let field = field.ok_or_else(|| MapError::UnknownField(name.to_owned()))?;
    let (paths, unit) = match source.rsplit_once(':') {
        None => (source, Unit::Default),
        Some((paths, suffix)) => match Unit::NAMES.into_iter().find(|(name, _)| *name == suffix) {
            Some((_, unit)) => (paths, unit),
            None => return Err(MapError::UnknownUnit(suffix.to_owned())),
        },
    };
    if !field.takes(unit) {
        return Err(MapError::UnitNotTaken { field, source: source.to_owned() });
    }
    let paths: Vec<String> = paths.split('|').map(|path| path.trim().to_owned()).collect();
    if paths.len() > PATHS_MAX {
        return Err(MapError::TooManyPaths(field));
    }
    if paths.iter().any(String::is_empty) {
        return Err(MapError::NoPath { field, source: source.to_owned() });
    }
    if paths.iter().any(|path| path.len() > PATH_BYTES_MAX) {
        return Err(MapError::PathTooLong(field));
    }
    Ok((field, Rule { paths: Paths(paths), unit, mapped: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_entries_win_and_presets_are_entries() {
        let args: Vec<MapArg> =
            ["litellm", "score=metadata.score, outcome=ok:failed"].map(|text| text.parse().unwrap()).into();
        let mapping = Mapping::new(&args);
        assert_eq!(mapping.rule(Field::At).paths.0, ["startTime"]);
        assert_eq!(mapping.rule(Field::At).unit, Unit::Seconds);
        assert_eq!(mapping.rule(Field::Outcome).paths.0, ["ok"]);
        assert_eq!(mapping.rule(Field::Outcome).unit, Unit::Failed);
        assert_eq!(mapping.rule(Field::Score).paths.0, ["metadata.score"]);
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
            let error = text.parse::<MapArg>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let long = |count: usize| format!("score={}", "x".repeat(count)).parse::<MapArg>();
        assert_eq!(long(PATH_BYTES_MAX + 1), Err(MapError::PathTooLong(Field::Score)));
        assert!(long(PATH_BYTES_MAX).is_ok());
        let many = |count: usize| format!("score={}", vec!["x"; count].join("|")).parse::<MapArg>();
        assert_eq!(many(PATHS_MAX + 1), Err(MapError::TooManyPaths(Field::Score)));
        assert!(many(PATHS_MAX).is_ok());
        assert_eq!("litellm,".repeat(ENTRIES_MAX).parse::<MapArg>(), Err(MapError::TooManyEntries));
    }
}
