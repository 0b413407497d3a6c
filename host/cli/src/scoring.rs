//! Scores a trace's answers: by the built-in scorers that fit, or by those that the user names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use serde_json::value::RawValue;
use softfuse::{Body, Builtin, Engine, Exchange, ExchangeHead, ScoreOutcome, Scorer, ScorerError, ScorerSettings};
use softfuse_trace::OutcomeKind;

use crate::args::Combine;
use crate::fail::wrong;

/// Who scores, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScorerArg {
    /// The first built-in one that knows the answer's form.
    Auto,
    /// None.
    None,
    /// This one.
    One(ComponentArg, Option<PathBuf>),
}

/// A component as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ComponentArg {
    /// A built-in scorer.
    Builtin(Builtin),
    /// A file.
    File(PathBuf),
}

/// A scorer with its configuration's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfiguredArg {
    pub(crate) component: ComponentArg,
    pub(crate) config: Option<PathBuf>,
}

impl FromStr for ScorerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ => {}
        }
        match split(text)? {
            (Some(component), config) => Ok(Self::One(component, config)),
            (None, _) => Err(format!(
                "`{text}` is no scorer: auto, none, {} is wanted, with `:CONFIG.toml` or without",
                components()
            )),
        }
    }
}

impl FromStr for ConfiguredArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            (Some(component), config) => Ok(Self { component, config }),
            (None, _) => {
                Err(format!("`{text}` is no scorer: {} is wanted, with `:CONFIG.toml` or without", components()))
            }
        }
    }
}

impl FromStr for ComponentArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            (Some(component), None) => Ok(component),
            (Some(_), Some(_)) => Err(format!("`{text}`: a component is looked at without a configuration")),
            (None, _) => Err(format!("`{text}` is no component: {} is wanted", components())),
        }
    }
}

/// A component's name and its configuration's file; no component where it is none's name.
fn split(text: &str) -> Result<(Option<ComponentArg>, Option<PathBuf>), String> {
    // Split behind `.wasm`, since a path may have a colon of its own.
    let (component, config) = match text.find(".wasm:") {
        Some(place) => (&text[..place + 5], Some(&text[place + 6..])),
        None if text.ends_with(".wasm") => (text, None),
        None => text.split_once(':').map_or((text, None), |(name, config)| (name, Some(config))),
    };
    if config.is_some_and(str::is_empty) {
        return Err(format!("the configuration's file is missing behind the colon of `{text}`"));
    }
    let component = match Builtin::named(component) {
        Some(builtin) => Some(ComponentArg::Builtin(builtin)),
        None => component.ends_with(".wasm").then(|| ComponentArg::File(PathBuf::from(component))),
    };
    Ok((component, config.map(PathBuf::from)))
}

/// What a component may be named.
fn components() -> String {
    format!("{} or FILE.wasm", Builtin::ALL.map(Builtin::name).join(", "))
}

impl fmt::Display for ComponentArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(builtin) => f.write_str(builtin.name()),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Reads a scorer's configuration; no file is no configuration.
pub(crate) fn config(path: Option<&Path>) -> anyhow::Result<String> {
    let Some(path) = path else { return Ok(String::new()) };
    std::fs::read_to_string(path).with_context(|| format!("can't read the configuration {}", path.display()))
}

/// Loads a scorer.
///
/// # Errors
/// Where its file can't be read; where it is no scorer, or refuses its configuration.
pub(crate) fn load(engine: &Engine, component: &ComponentArg, settings: ScorerSettings) -> anyhow::Result<Scorer> {
    let loaded = match component {
        ComponentArg::Builtin(builtin) => Scorer::builtin(engine, *builtin, settings),
        ComponentArg::File(path) => {
            // Whether the file can be read is not the component's fault.
            let bytes = std::fs::read(path).with_context(|| format!("can't read the scorer {}", path.display()))?;
            let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            Scorer::from_bytes(engine, &name, &bytes, settings)
        }
    };
    loaded.map_err(|error| match error {
        ScorerError::Failed { name, failure } => wrong(format!("the scorer {name}: {failure}")),
        error => wrong(format!("the scorer {component}: {error}")),
    })
}

/// Checks that `auto` and `none` stand alone.
///
/// # Errors
/// Where one of them stands beside another scorer.
pub(crate) fn check(args: &[ScorerArg]) -> anyhow::Result<()> {
    for arg in args {
        let name = match arg {
            ScorerArg::Auto => "auto",
            ScorerArg::None => "none",
            ScorerArg::One(..) => continue,
        };
        anyhow::ensure!(args.len() == 1, "--scorer {name} can't stand beside other scorers");
    }
    Ok(())
}

/// Who scores, and what came of it.
pub(crate) struct Scoring {
    scorers: Vec<(Scorer, Counts)>,
    how: How,
    /// Answers that got a score here.
    pub(crate) scored: u64,
    /// Answers that nobody gave a score.
    pub(crate) unscored: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// The first that knows the form.
    First,
    All(Combine),
}

/// What a scorer said how often.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) scored: u64,
    pub(crate) abstained: u64,
    /// By the failure's word.
    pub(crate) failed: BTreeMap<&'static str, u64>,
    /// The first failure, in full.
    pub(crate) first_failure: Option<String>,
}

impl Scoring {
    /// Nobody scores.
    pub(crate) fn nobody() -> Self {
        Self { scorers: Vec::new(), how: How::First, scored: 0, unscored: 0 }
    }

    /// Loads the scorers that the user names, of whom [`check`] has heard; `auto` where there are none.
    ///
    /// # Errors
    /// Where one can't be loaded.
    pub(crate) fn load(engine: &Engine, args: &[ScorerArg], combine: Combine) -> anyhow::Result<Self> {
        let mut scorers = Vec::new();
        let mut how = How::First;
        for arg in if args.is_empty() { &[ScorerArg::Auto] } else { args } {
            match arg {
                ScorerArg::None => {}
                // In the order in which they are asked: what says more of the answer first, and text, which reads
                // everything, last.
                ScorerArg::Auto => {
                    for builtin in [Builtin::Logprobs, Builtin::Embedding, Builtin::Text] {
                        scorers.push(load(engine, &ComponentArg::Builtin(builtin), ScorerSettings::default())?);
                    }
                }
                ScorerArg::One(component, path) => {
                    how = How::All(combine);
                    let settings = ScorerSettings::with_config(&config(path.as_deref())?);
                    scorers.push(load(engine, component, settings)?);
                }
            }
        }
        let scorers = scorers.into_iter().map(|scorer| (scorer, Counts::default())).collect();
        Ok(Self { scorers, how, scored: 0, unscored: 0 })
    }

    /// The scorers by name, with what they said.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.scorers.iter().map(|(scorer, counts)| (&**scorer.name(), counts))
    }

    /// Scores a line's answer, if the call succeeded: the score of a failure's answer would say nothing.
    pub(crate) fn score(&mut self, parsed: &softfuse_trace::Parsed<'_>) -> Option<f64> {
        if parsed.call.kind != OutcomeKind::Success || self.scorers.is_empty() {
            return None;
        }
        let score = parsed.exchange.as_ref().and_then(|line| self.score_exchange(&exchange(line)));
        match score {
            Some(_) => self.scored += 1,
            None => self.unscored += 1,
        }
        score
    }

    fn score_exchange(&mut self, exchange: &Exchange) -> Option<f64> {
        let mut found: Vec<f64> = Vec::new();
        for (scorer, counts) in &mut self.scorers {
            match scorer.score(exchange) {
                ScoreOutcome::Score(score) => {
                    counts.scored += 1;
                    found.push(score.get());
                    if self.how == How::First {
                        break;
                    }
                }
                ScoreOutcome::Abstained(_) => counts.abstained += 1,
                ScoreOutcome::Failed(failure) => {
                    *counts.failed.entry(failure.as_str()).or_default() += 1;
                    counts.first_failure.get_or_insert_with(|| failure.to_string());
                }
            }
        }
        match self.how {
            How::All(Combine::Mean) if !found.is_empty() => Some(found.iter().sum::<f64>() / found.len() as f64),
            _ => found.into_iter().reduce(f64::min),
        }
    }
}

/// The exchange of a line, as a scorer takes it.
pub(crate) fn exchange(line: &softfuse_trace::Exchange<'_>) -> Exchange {
    Exchange {
        head: ExchangeHead {
            operation: line.operation.clone(),
            model: line.model.clone(),
            request: line.request.map(body).unwrap_or_default(),
            metadata: Vec::new(),
        },
        answer: body(line.response),
    }
}

/// A JSON value as a body: a text is the content itself, of a type that nobody knows; anything else is JSON.
pub(crate) fn body(raw: &RawValue) -> Body {
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => Body::new("", text),
        Err(_) => Body::new("application/json", raw.get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scorers_are_named_with_their_configuration() {
        let parse = |text: &str| text.parse::<ScorerArg>();
        let file = |path: &str| ComponentArg::File(path.into());
        let text = ComponentArg::Builtin(Builtin::Text);
        assert_eq!(parse("auto"), Ok(ScorerArg::Auto));
        assert_eq!(parse("text"), Ok(ScorerArg::One(text.clone(), None)));
        assert_eq!(parse("text:a.toml"), Ok(ScorerArg::One(text.clone(), Some("a.toml".into()))));
        assert_eq!(parse("c:/x.wasm"), Ok(ScorerArg::One(file("c:/x.wasm"), None)));
        assert_eq!(parse("x.wasm:d:/c.toml"), Ok(ScorerArg::One(file("x.wasm"), Some("d:/c.toml".into()))));
        for bad in ["txt", "auto:x", "none:x", "text:", "x.wasm:", "x.wat"] {
            assert!(parse(bad).is_err(), "{bad}");
            assert!(bad.parse::<ConfiguredArg>().is_err(), "{bad}");
            assert!(bad.parse::<ComponentArg>().is_err(), "{bad}");
        }
        let configured = ConfiguredArg { component: text.clone(), config: Some("a.toml".into()) };
        assert_eq!("text:a.toml".parse(), Ok(configured));
        assert_eq!("text".parse(), Ok(text));
    }

    /// What a message offers is taken.
    #[test]
    fn nobody_is_offered_what_would_be_refused() {
        let offered = |said: Result<(), String>| said.unwrap_err();
        let replay = offered("nope".parse::<ScorerArg>().map(drop));
        assert!(replay.contains("auto, none, text, logprobs, embedding or FILE.wasm is wanted"), "{replay}");
        for said in ["nope", "auto", "none"].map(|name| offered(name.parse::<ConfiguredArg>().map(drop))) {
            assert!(
                said.ends_with(
                    "is no scorer: text, logprobs, embedding or FILE.wasm is wanted, with \
                     `:CONFIG.toml` or without"
                ),
                "{said}"
            );
        }
        for name in ["good.toml", "auto", "none"] {
            let said = offered(name.parse::<ComponentArg>().map(drop));
            assert_eq!(said, format!("`{name}` is no component: text, logprobs, embedding or FILE.wasm is wanted"));
        }
        let said = offered("text:a.toml".parse::<ComponentArg>().map(drop));
        assert!(said.contains("without a configuration"), "{said}");
    }
}
