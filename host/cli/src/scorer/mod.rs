//! `softfuse scorer`: run, time or inspect a scorer.

pub(crate) mod bench;
mod exchanges;
pub(crate) mod inspect;
pub(crate) mod run;

use std::path::Path;

use softfuse::{CacheDir, Engine, Scorer, ScorerSettings};

use crate::fail::wrong;
use crate::scoring::{self, ScorerArg};

/// Loads a scorer as `run` and `bench` take it: configured by `--config`, or by a file behind its name.
fn load(cache: CacheDir, arg: &ScorerArg, config: Option<&Path>, fresh: bool) -> anyhow::Result<Scorer> {
    let engine = Engine::new(cache)?;
    let settings = ScorerSettings { fresh, ..settings(arg, config)? };
    scoring::load(&engine, arg, settings)
}

fn settings(arg: &ScorerArg, config: Option<&Path>) -> anyhow::Result<ScorerSettings> {
    let own = match arg {
        ScorerArg::Builtin(_, own) | ScorerArg::File(_, own) => own.as_deref(),
        ScorerArg::Auto | ScorerArg::None => None,
    };
    if own.is_some() && config.is_some() {
        return Err(wrong("the configuration is given twice: by --config and behind the scorer's name"));
    }
    Ok(ScorerSettings::with_config(&scoring::config(config.or(own))?))
}
