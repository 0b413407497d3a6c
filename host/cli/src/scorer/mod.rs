//! `softfuse scorer`: begin, build, test, run, time or inspect a scorer.

pub(crate) mod bench;
mod cases;
pub(crate) mod componentize;
mod exchanges;
pub(crate) mod inspect;
pub(crate) mod new;
pub(crate) mod run;
pub(crate) mod test;

use std::path::Path;

use softfuse::{CacheDir, Engine, Scorer, ScorerSettings};

use crate::fail::wrong;
use crate::scoring::{self, ConfiguredArg};

/// Loads a scorer as `run` and `bench` take it: configured by `--config`, or by a file behind its name.
fn load(cache: CacheDir, arg: &ConfiguredArg, config: Option<&Path>, fresh: bool) -> anyhow::Result<Scorer> {
    let own = arg.config.as_deref();
    if own.is_some() && config.is_some() {
        return Err(wrong("the configuration is given twice: by --config and behind the scorer's name"));
    }
    let settings = ScorerSettings { fresh, ..ScorerSettings::with_config(&scoring::config(config.or(own))?) };
    scoring::load(&Engine::new(cache)?, &arg.component, settings)
}
