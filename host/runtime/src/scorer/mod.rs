//! Scorers: components that say how good an answer is, each in a sandbox. One that loops, traps, eats memory or returns
//! nonsense gives no score, and harms nothing else.

mod answer_stream;
mod attached;
mod exchange;
mod instance;
mod pool;
mod sandbox;
mod stream;
mod thread;
mod workers;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use answer_stream::AnswerStream;
pub use attached::{Scoring, ScoringSettings};
pub use exchange::{Body, ConfigProblem, Exchange, ExchangeHead, ScoreOutcome, ScorerFailure};
pub use stream::ScoreStream;

use crate::components::{Binary, Builtin};
use crate::engine::{Engine, read_component};
use crate::error::LoadError;
use instance::Compiled;
use pool::{Lent, Pool};

/// The longest deadlines of a scorer: an answer that takes longer to score is worth nothing, and time has an end.
const DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// How a scorer is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScorerSettings {
    /// Its configuration, in a format of its own, TOML in those that come with the library. Empty: its defaults.
    pub config: String,
    /// How long it may take for one answer, or one piece of a stream. Default 1 s, at most an hour; kept to
    /// 5 ms.
    pub deadline: Duration,
    /// How long it may take to start and to read its configuration. Default 10 s, since a language's runtime may have to
    /// wake up; at most an hour.
    pub start_deadline: Duration,
    /// Memory that one instance may have. Default 256 MiB.
    pub memory_bytes_max: usize,
    /// What it may hand over in one call: its verdict's text, say. Default 1 MiB.
    pub output_bytes_max: usize,
    /// Whether every answer gets an instance of its own, so that nothing can be carried over from one to the next. Default no:
    /// starting takes 10 us (Rust) to 1 ms (Python) each time. Where `instances_max` is more than 1, a thread makes instances
    /// ahead and drops those that were used, so that answers that come one by one don't wait for that.
    pub fresh: bool,
    /// Instances at most, and so answers that are scored at once. Default 4. Further callers wait, as long as `deadline`.
    pub instances_max: usize,
    /// What a stream's pieces are collected up to, for a scorer that takes no streams. Default 64 KiB.
    pub answer_bytes_max: usize,
}

impl Default for ScorerSettings {
    fn default() -> Self {
        Self {
            config: String::new(),
            deadline: Duration::from_secs(1),
            start_deadline: Duration::from_secs(10),
            memory_bytes_max: 256 << 20,
            output_bytes_max: 1 << 20,
            fresh: false,
            instances_max: 4,
            answer_bytes_max: 64 << 10,
        }
    }
}

impl ScorerSettings {
    /// The defaults, with this configuration.
    #[must_use]
    pub fn with_config(config: &str) -> Self {
        Self { config: config.to_owned(), ..Self::default() }
    }
}

/// Why there is no scorer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScorerError {
    /// The component can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It was loaded, and doesn't start, or refuses its configuration.
    #[error("the scorer {name}: {failure}")]
    Failed {
        /// The scorer.
        name: Arc<str>,
        /// Why.
        failure: ScorerFailure,
    },
}

/// A scorer, ready to be asked from any thread. Cheap to clone; clones share their instances.
#[derive(Clone)]
pub struct Scorer(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    pool: Pool,
}

impl Scorer {
    /// One that comes with the library.
    ///
    /// # Errors
    /// Where it refuses its configuration.
    pub fn builtin(engine: &Engine, builtin: Builtin, settings: ScorerSettings) -> Result<Self, ScorerError> {
        Self::make(engine, builtin.name(), builtin.name(), builtin.binary(), settings)
    }

    /// A component from a file, named by the file's stem.
    ///
    /// # Errors
    /// Where the file can't be read, is no scorer, imports what isn't granted, or refuses its configuration.
    pub fn from_file(engine: &Engine, path: &Path, settings: ScorerSettings) -> Result<Self, ScorerError> {
        let bytes = read_component(path)?;
        let name = path.file_stem().map_or_else(|| path.to_string_lossy(), |stem| stem.to_string_lossy());
        Self::make(engine, &name, &path.display().to_string(), bytes.as_slice().into(), settings)
    }

    /// A component from bytes.
    ///
    /// # Errors
    /// Where it is no scorer, imports what isn't granted, or refuses its configuration.
    pub fn from_bytes(
        engine: &Engine,
        name: &str,
        bytes: &[u8],
        settings: ScorerSettings,
    ) -> Result<Self, ScorerError> {
        Self::make(engine, name, name, bytes.into(), settings)
    }

    fn make(
        engine: &Engine,
        name: &str,
        source_name: &str,
        binary: Binary<'_>,
        mut settings: ScorerSettings,
    ) -> Result<Self, ScorerError> {
        settings.deadline = settings.deadline.min(DEADLINE_MAX);
        settings.start_deadline = settings.start_deadline.min(DEADLINE_MAX);
        let compiled = Compiled::load(engine, source_name, binary, &settings)?;
        let name: Arc<str> = name.into();
        // The first instance is made now, so that a bad configuration is told to whoever wrote it.
        let pool = thread::outside_tokio(compiled.may_wait(), || Pool::start(compiled, settings))
            .flatten()
            .map_err(|failure| ScorerError::Failed { name: Arc::clone(&name), failure })?;
        Ok(Self(Arc::new(Inner { name, pool })))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// How it is run.
    #[must_use]
    pub fn settings(&self) -> &ScorerSettings {
        self.0.pool.settings()
    }

    /// Whether it takes streams as they pass; otherwise their pieces are collected.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.0.pool.compiled().is_streaming()
    }

    /// What its component imports. All of it is granted, and gives it nothing.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        self.0.pool.compiled().imports()
    }

    /// Bytes of memory that its waiting instances have.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.pool.memory_bytes()
    }

    /// Scores one exchange. This thread waits for it, and its stack must have 640 KiB left: 512 KiB are the component's to
    /// use up. A [`Scoring`] scores on threads of its own, which have them; asynchronous callers use that one.
    ///
    /// Inside of a tokio runtime a component that imports something is run on a thread of its own, and waited for.
    #[must_use]
    pub fn score(&self, exchange: &Exchange) -> ScoreOutcome {
        let scored = self.aside(|| {
            let mut lent = self.take(self.settings().deadline)?;
            lent.run(|instance, settings| instance.score(exchange, settings))
        });
        scored.flatten().unwrap_or_else(ScoreOutcome::Failed)
    }

    /// Runs what calls the component, where it can be called.
    fn aside<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T, ScorerFailure> {
        thread::outside_tokio(self.0.pool.compiled().may_wait(), run)
    }

    /// Begins to score an answer that comes in pieces.
    #[must_use]
    pub fn stream(&self, head: ExchangeHead, content_type: &str) -> ScoreStream {
        ScoreStream::begin(self, head, content_type)
    }

    /// An instance, waited for where all are at work.
    fn take(&self, wait_max: Duration) -> Result<Lent, ScorerFailure> {
        self.0.pool.take(wait_max)
    }
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("name", &self.0.name).finish_non_exhaustive()
    }
}
