//! An instance of a scorer: configured once, asked many times, and never again after a fault.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, ResourceAny};

use super::ScorerSettings;
use super::exchange::{ConfigProblem, Exchange, ExchangeHead, ScoreOutcome, ScorerFailure};
use super::sandbox::{GRANTED_TEXT, Sandbox, is_granted, linker};
use crate::bindings::{scorer as wit, streaming};
use crate::components::Binary;
use crate::engine::{Engine, Kind, Places, Running, TICK, refused_imports};
use crate::error::LoadError;
use crate::limits::{Fault, fault};
use crate::text::cut;
use crate::types::{InvalidScore, Score};

/// Problems with one configuration that are told.
const CONFIG_PROBLEMS_MAX: usize = 100;

/// A scorer's compiled code, its imports and exports checked.
pub(super) struct Compiled {
    engine: Engine,
    component: Component,
    /// Where its instances have places among those that are kept ready.
    _places: Option<Places>,
    pre: InstancePre<Sandbox>,
    scorer: wit::GuestIndices,
    streaming: Option<streaming::GuestIndices>,
    may_wait: bool,
}

impl Compiled {
    pub(super) fn load(
        engine: &Engine,
        name: &str,
        binary: Binary<'_>,
        settings: &ScorerSettings,
    ) -> Result<Self, LoadError> {
        let mut component = engine.compile(Kind::Scorer, name, binary)?;
        let imports = refused_imports(&component, is_granted);
        if !imports.is_empty() {
            return Err(LoadError::NotGranted { source_name: name.to_owned(), imports, granted: GRANTED_TEXT });
        }
        let mut places = None;
        if settings.fresh
            && let Some((pooled, taken)) =
                engine.pooled(&component, binary, settings.instances_max, settings.memory_bytes_max)
        {
            (component, places) = (pooled, Some(taken));
        }
        let broken = |error: wasmtime::Error| LoadError::ContractBroken {
            source_name: name.to_owned(),
            message: format!("{error:#}"),
        };
        // Without an import it calls no host function that could wait.
        let may_wait = component.component_type().imports(component.engine()).len() > 0;
        let linker = linker(component.engine(), may_wait).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        let pre = linker.instantiate_pre(&component).map_err(broken)?;
        let scorer = wit::GuestIndices::new(&pre).map_err(broken)?;
        // Whoever exports the interface must export it right; whoever doesn't is no streaming scorer.
        let streaming = match component.get_export_index(None, "softfuse:scorer/streaming@0.1.0") {
            Some(_) => Some(streaming::GuestIndices::new(&pre).map_err(broken)?),
            None => None,
        };
        Ok(Self { engine: engine.clone(), component, _places: places, pre, scorer, streaming, may_wait })
    }

    /// Whether it may wait in a host function, in a runtime of the host's own.
    pub(super) fn may_wait(&self) -> bool {
        self.may_wait
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.streaming.is_some()
    }

    /// The names of what it imports, granted or harmless.
    pub(super) fn imports(&self) -> Vec<String> {
        self.component.component_type().imports(self.component.engine()).map(|(name, _)| name.to_owned()).collect()
    }

    /// Makes an instance and hands it its configuration.
    pub(super) fn start(&self, settings: &ScorerSettings) -> Result<Instance, ScorerFailure> {
        let mut store = Store::new(self.component.engine(), Sandbox::new(settings.memory_bytes_max, self.may_wait));
        store.limiter(|sandbox| &mut sandbox.limits);
        store.set_hostcall_fuel(settings.output_bytes_max);
        let running = begin(&self.engine, &mut store, settings.start_deadline);
        let made = self.pre.instantiate(&mut store).and_then(|instance| {
            let scorer = self.scorer.load(&mut store, &instance)?;
            let streaming = self.streaming.as_ref().map(|indices| indices.load(&mut store, &instance)).transpose()?;
            Ok((scorer, streaming))
        });
        let (scorer, streaming) =
            made.map_err(|error| match failure(&error, &store, settings, settings.start_deadline) {
                ScorerFailure::Trapped(text) => ScorerFailure::NotStarting(text),
                failure => failure,
            })?;
        let configured = scorer.call_configure(&mut store, &settings.config);
        drop(running);
        match configured {
            Ok(Ok(())) => Ok(Instance { store, scorer, streaming, engine: self.engine.clone() }),
            Ok(Err(problems)) => {
                let problem = |p: wit::ConfigProblem| ConfigProblem { key: cut(p.key), message: cut(p.message) };
                Err(ScorerFailure::BadConfig(problems.into_iter().take(CONFIG_PROBLEMS_MAX).map(problem).collect()))
            }
            Err(error) => Err(failure(&error, &store, settings, settings.start_deadline)),
        }
    }
}

/// Starts the clock of a call.
fn begin<'a>(engine: &'a Engine, store: &mut Store<Sandbox>, deadline: Duration) -> Running<'a> {
    let running = engine.ticker().run();
    store.data_mut().begin(deadline);
    // One more, since the tick under way is partly over.
    store.set_epoch_deadline(u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX >> 1) + 1);
    running
}

fn failure(
    error: &wasmtime::Error,
    store: &Store<Sandbox>,
    settings: &ScorerSettings,
    deadline: Duration,
) -> ScorerFailure {
    if let Some(wasmtime_wasi::I32Exit(code)) = error.downcast_ref() {
        return ScorerFailure::Trapped(format!("it ended itself with the code {code}"));
    }
    match fault(error, &store.data().limits) {
        Fault::Deadline => ScorerFailure::DeadlineExceeded(deadline),
        Fault::OutOfMemory => ScorerFailure::OutOfMemory(settings.memory_bytes_max),
        Fault::StackOverflow => ScorerFailure::StackOverflow,
        Fault::TooMuchOutput => ScorerFailure::OutputTooLarge(settings.output_bytes_max),
        Fault::Other(text) => ScorerFailure::Trapped(cut(text)),
    }
}

/// One that is at work, or waits for it.
pub(super) struct Instance {
    store: Store<Sandbox>,
    scorer: wit::Guest,
    streaming: Option<streaming::Guest>,
    engine: Engine,
}

/// What a call came to, and whether the instance can be called again.
pub(super) type Called<T> = Result<T, ScorerFailure>;

impl Instance {
    /// Scores one exchange. An error means that the instance is broken.
    pub(super) fn score(&mut self, exchange: &Exchange, settings: &ScorerSettings) -> Called<ScoreOutcome> {
        let _running = begin(&self.engine, &mut self.store, settings.deadline);
        let metadata = exchange.head.metadata_as_wit();
        let called = self.scorer.call_score(&mut self.store, exchange.as_wit(&metadata));
        self.read(called, settings)
    }

    /// Bytes of memory that it has now.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().limits.memory_bytes()
    }

    /// Begins a stream. `None`: it takes none.
    pub(super) fn open(
        &mut self,
        head: &ExchangeHead,
        content_type: &str,
        settings: &ScorerSettings,
    ) -> Called<Option<ResourceAny>> {
        let Some(guest) = self.streaming.clone() else { return Ok(None) };
        let _running = begin(&self.engine, &mut self.store, settings.deadline);
        let metadata = head.metadata_as_wit();
        let opened = guest.answer().call_constructor(&mut self.store, head.as_wit(&metadata), content_type);
        opened.map(Some).map_err(|error| failure(&error, &self.store, settings, settings.deadline))
    }

    /// Hands in a piece: a verdict ends the stream.
    pub(super) fn push(
        &mut self,
        answer: ResourceAny,
        piece: &[u8],
        settings: &ScorerSettings,
    ) -> Called<Option<ScoreOutcome>> {
        let Some(guest) = self.streaming.clone() else { return Ok(None) };
        let running = begin(&self.engine, &mut self.store, settings.deadline);
        let called = guest.answer().call_push(&mut self.store, answer, piece);
        drop(running);
        match called {
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(verdict))) => self.read(Ok(Ok(verdict)), settings).map(Some),
            Ok(Err(error)) => self.read(Ok(Err(error)), settings).map(Some),
            Err(error) => Err(failure(&error, &self.store, settings, settings.deadline)),
        }
    }

    /// The answer has ended.
    pub(super) fn finish(
        &mut self,
        answer: ResourceAny,
        complete: bool,
        settings: &ScorerSettings,
    ) -> Called<ScoreOutcome> {
        let Some(guest) = self.streaming.clone() else {
            return Err(ScorerFailure::Trapped("a stream of a scorer that takes none".to_owned()));
        };
        let _running = begin(&self.engine, &mut self.store, settings.deadline);
        let called = guest.answer().call_finish(&mut self.store, answer, complete);
        self.read(called, settings)
    }

    /// Drops a stream's resource.
    pub(super) fn close(&mut self, answer: ResourceAny, settings: &ScorerSettings) -> Called<()> {
        let _running = begin(&self.engine, &mut self.store, settings.deadline);
        let dropped = answer.resource_drop(&mut self.store);
        dropped.map_err(|error| failure(&error, &self.store, settings, settings.deadline))
    }

    fn read(
        &self,
        called: wasmtime::Result<Result<wit::Verdict, wit::ScoreError>>,
        settings: &ScorerSettings,
    ) -> Called<ScoreOutcome> {
        Ok(match called {
            Ok(Ok(wit::Verdict::Score(score))) => match Score::new(score) {
                Ok(score) => ScoreOutcome::Score(score),
                Err(InvalidScore(number)) => ScoreOutcome::Failed(ScorerFailure::InvalidScore(number)),
            },
            Ok(Ok(wit::Verdict::Abstain(why))) => ScoreOutcome::Abstained(cut(why)),
            Ok(Err(wit::ScoreError::Malformed(what))) => ScoreOutcome::Failed(ScorerFailure::Malformed(cut(what))),
            Ok(Err(wit::ScoreError::Other(what))) => ScoreOutcome::Failed(ScorerFailure::Refused(cut(what))),
            Err(error) => return Err(failure(&error, &self.store, settings, settings.deadline)),
        })
    }
}
