//! Registries, policies, families and the manual clock, as the package's Python side holds them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};
use softfuse::{
    CacheDir, Engine, Event, FailureMode, Keyed, KeyedSettings, LoadError, ManualClock, PolicyError, ProviderPreset,
    RegistryError, Time,
};

use crate::breaker::Core;
use crate::condition::conditions;
use crate::python::{attached, detached, error, let_through, problem};
use crate::raw::call;
use crate::values::{span_of, state_change};

/// A clock that is set by hand, in nanoseconds.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Clock(Arc<ManualClock>);

#[pymethods]
impl Clock {
    #[new]
    fn new(now_ns: i64) -> Self {
        Self(Arc::new(ManualClock::new(Time::from_nanos(now_ns))))
    }

    fn now_ns(&self) -> i64 {
        softfuse::Clock::now(&self.0).as_nanos()
    }

    fn set_ns(&self, now_ns: i64) {
        self.0.set(Time::from_nanos(now_ns));
    }
}

/// A policy that the breaker component has taken.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Policy {
    policy: softfuse::Policy,
}

impl Policy {
    pub(crate) const fn of(policy: softfuse::Policy) -> Self {
        Self { policy }
    }
}

#[pymethods]
impl Policy {
    #[getter]
    fn text(&self) -> &str {
        self.policy.text()
    }

    #[getter]
    fn source_name(&self) -> &str {
        self.policy.source_name()
    }

    /// Fingerprint, the host's conditions, whether scores are used, whether they are required, bytes a breaker.
    fn info(&self) -> (u64, Vec<String>, bool, bool, u64) {
        let info = self.policy.info();
        let conditions = info.host_conditions.clone();
        (info.fingerprint, conditions, info.uses_scores, info.require_quality_signal, info.breaker_bytes)
    }
}

/// Makes breakers and keeps them by name.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Registry {
    registry: softfuse::Registry,
}

/// What all components of this process run on, but for those of registries with a cache of their own.
pub(crate) fn engine(py: Python<'_>) -> PyResult<&'static Engine> {
    static ENGINE: PyOnceLock<Engine> = PyOnceLock::new();
    ENGINE.get_or_try_init(py, || Engine::new(CacheDir::Default).map_err(|failed| not_loaded(py, &failed)))
}

/// A deadline of the component's.
fn deadline_of(nanos: u64) -> PyResult<Duration> {
    if (10_000_000..=5_000_000_000).contains(&nanos) {
        return Ok(span_of(nanos));
    }
    let message = format!("component_deadline is {:?}, and may be from 10 ms to 5 s", span_of(nanos));
    Err(pyo3::exceptions::PyValueError::new_err(message))
}

/// The presets of providers: names and policies.
#[pyfunction]
pub(crate) fn presets() -> Vec<(&'static str, &'static str)> {
    ProviderPreset::ALL.iter().map(|preset| (preset.name, preset.policy)).collect()
}

pub(crate) fn not_loaded(py: Python<'_>, failed: &LoadError) -> PyErr {
    error(py, "LoadError", (failed.to_string(),))
}

fn no_policy(py: Python<'_>, failed: &PolicyError) -> PyErr {
    let problems: Vec<_> = match failed {
        PolicyError::Invalid { problems, .. } => {
            problems.iter().map(|p| (p.line, p.column, &*p.key, &*p.message, p.nearest.as_deref())).collect()
        }
        _ => Vec::new(),
    };
    error(py, "PolicyError", (failed.to_string(), problems))
}

fn no_breaker(py: Python<'_>, failed: &RegistryError) -> PyErr {
    match failed {
        RegistryError::Component(failure) => crate::breaker::failed(py, failure),
        RegistryError::PolicyDiffers { .. } => error(py, "PolicyDiffers", (failed.to_string(),)),
        _ => error(py, "RegistryError", (failed.to_string(),)),
    }
}

#[pymethods]
impl Registry {
    /// Settings by name; those that aren't there have their defaults.
    #[new]
    fn new(py: Python<'_>, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut builder = softfuse::Registry::builder();
        if !settings.contains("cache_dir")? {
            builder = builder.engine(engine(py)?);
        }
        for (name, value) in settings {
            let name: String = name.extract()?;
            builder = match name.as_str() {
                "clock" => builder.clock(Arc::clone(&value.cast::<Clock>()?.get().0)),
                "salt" => builder.salt(value.extract()?),
                "fail_closed" if value.is_truthy()? => builder.failure_mode(FailureMode::Closed),
                "fail_closed" => builder.failure_mode(FailureMode::Open),
                "snapshot_every" => builder.snapshot_every(value.extract()?),
                "snapshot_interval_ns" => builder.snapshot_interval(span_of(value.extract()?)),
                "lease_after" => builder.lease_after(value.extract()?),
                "event_capacity" => builder.event_capacity(value.extract()?),
                "component_instances" => builder.component_instances(value.extract()?),
                "component_file" => builder.component_file(value.extract::<PathBuf>()?),
                "component_deadline_ns" => builder.component_deadline(deadline_of(value.extract()?)?),
                "component_memory_bytes_max" => builder.component_memory_bytes_max(value.extract()?),
                "cache_dir" if value.is_none() => builder.cache(CacheDir::None),
                "cache_dir" => builder.cache(CacheDir::Dir(value.extract::<PathBuf>()?)),
                other => {
                    let message = format!("there is no setting {other:?} of a registry");
                    return Err(pyo3::exceptions::PyTypeError::new_err(message));
                }
            };
        }
        // Compiles the component where its code isn't cached.
        let built = detached(py, || builder.build());
        Ok(Self { registry: built.map_err(|failed| not_loaded(py, &failed))? })
    }

    fn now_ns(&self) -> i64 {
        self.registry.now().as_nanos()
    }

    fn policy(&self, py: Python<'_>, source_name: &str, text: &str) -> PyResult<Policy> {
        let loaded = detached(py, || self.registry.policy(source_name, text));
        loaded.map(Policy::of).map_err(|failed| no_policy(py, &failed))
    }

    fn policy_file(&self, py: Python<'_>, path: PathBuf) -> PyResult<Policy> {
        let loaded = detached(py, || self.registry.policy_file(&path));
        loaded.map(Policy::of).map_err(|failed| no_policy(py, &failed))
    }

    fn breaker(
        &self,
        py: Python<'_>,
        name: &str,
        policy: &Policy,
        given: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Core> {
        let given = conditions(given)?;
        let made = detached(py, || self.registry.breaker_with(name, &policy.policy, given));
        made.map(Core::of).map_err(|failed| no_breaker(py, &failed))
    }

    #[allow(clippy::too_many_arguments, reason = "they are the Rust host's, by name")]
    fn restore(
        &self,
        py: Python<'_>,
        name: &str,
        policy: &Policy,
        given: Option<&Bound<'_, PyDict>>,
        snapshot: &Bound<'_, PyBytes>,
        away_ns: u64,
        now_ns: Option<i64>,
    ) -> PyResult<Core> {
        let given = conditions(given)?;
        let bytes = snapshot.as_bytes().to_vec();
        let now = now_ns.map_or_else(|| self.registry.now(), Time::from_nanos);
        let away = span_of(away_ns);
        let made = detached(py, || self.registry.restore_at(name, &policy.policy, given, &bytes, away, now));
        made.map(Core::of).map_err(|failed| no_breaker(py, &failed))
    }

    /// A family: one breaker per key. `make_conditions` makes a key's own conditions, a dictionary by name.
    #[allow(clippy::too_many_arguments, reason = "they are the Rust host's, by name")]
    fn keyed(
        &self,
        py: Python<'_>,
        name: &str,
        policy: &Policy,
        make_conditions: Option<Py<PyAny>>,
        live_max: Option<usize>,
        lent_max: Option<usize>,
        retired_max: Option<usize>,
        retired_bytes_max: Option<usize>,
    ) -> PyResult<Family> {
        let defaults = KeyedSettings::default();
        let settings = KeyedSettings {
            live_max: live_max.unwrap_or(defaults.live_max),
            lent_max: lent_max.unwrap_or(defaults.lent_max),
            retired_max: retired_max.unwrap_or(defaults.retired_max),
            retired_bytes_max: retired_bytes_max.unwrap_or(defaults.retired_bytes_max),
            conditions: make_conditions.map(|make| -> Arc<dyn Fn(&str) -> softfuse::Conditions + Send + Sync> {
                Arc::new(move |key| {
                    let made = attached(|py| {
                        let made = call(make.bind(py), (key,), None).and_then(|made| conditions(Some(made.cast()?)));
                        made.unwrap_or_else(|raised| {
                            problem(py, "making a key's conditions", raised);
                            softfuse::Conditions::new()
                        })
                    });
                    made.unwrap_or_default()
                })
            }),
        };
        let made = detached(py, || self.registry.keyed(name, &policy.policy, settings));
        made.map(|family| Family { family }).map_err(|failed| no_breaker(py, &failed))
    }

    fn remove(&self, py: Python<'_>, name: &str) -> bool {
        detached(py, || self.registry.remove(name))
    }

    fn metrics_text(&self, py: Python<'_>) -> String {
        detached(py, || self.registry.metrics_text())
    }

    /// The status code, the summary, and the page as JSON.
    fn health(&self, py: Python<'_>) -> (u16, String, String) {
        let health = detached(py, || self.registry.health());
        (health.status_code(), health.to_string(), health.to_json())
    }

    /// Calls `state_changed(StateChange)` with every change of state, and `other(name, text, fields)` with every other event.
    fn on_event(&self, state_changed: Py<PyAny>, other: Py<PyAny>) {
        self.registry.on_event(move |event| {
            // While Python ends nobody is there to be told.
            attached(|py| {
                if let Err(raised) = told(py, event, &state_changed, &other) {
                    problem(py, "an event callback", raised);
                }
            });
        });
    }
}

fn told(py: Python<'_>, event: &Event, state_changed: &Py<PyAny>, other: &Py<PyAny>) -> PyResult<()> {
    let (name, kind, text) = match event {
        Event::StateChanged { breaker, change } => {
            return call(state_changed.bind(py), (state_change(py, breaker, change)?,), None).map(drop);
        }
        Event::ComponentFailed { breaker, failure } => (breaker, "component-failed", failure.to_string()),
        Event::BreakerRestored { breaker, state, records_lost, from_snapshot } => {
            let text = format!("{state}, {records_lost} records lost, from a snapshot: {from_snapshot}");
            (breaker, "breaker-restored", text)
        }
        Event::ScorerFailed { breaker, scorer, failure } => (breaker, "scorer-failed", format!("{scorer}: {failure}")),
        Event::ConditionPanicked { breaker, condition } => (breaker, "condition-failed", condition.to_string()),
        _ => return Ok(()),
    };
    call(other.bind(py), (&**name, kind, text), None).map(drop)
}

/// One breaker per key.
#[pyclass(frozen, module = "softfuse._softfuse")]
pub(crate) struct Family {
    family: Keyed,
}

impl Family {
    pub(crate) const fn family(&self) -> &Keyed {
        &self.family
    }
}

#[pymethods]
impl Family {
    fn get(&self, py: Python<'_>, key: &str) -> PyResult<Core> {
        let found = detached(py, || self.family.get(key));
        let_through()?;
        found.map(Core::of).map_err(|failed| no_breaker(py, &failed))
    }

    fn overflow(&self) -> Core {
        Core::of(self.family.overflow().clone())
    }

    fn live(&self) -> usize {
        self.family.live()
    }

    fn retired(&self) -> usize {
        self.family.retired()
    }
}
