//! Providers of one service, in the order in which they are to be asked, each behind a breaker of its own.

use std::fmt;
use std::sync::Arc;

use super::Chain;
use crate::breaker::Breaker;
use crate::error::{PolicyError, RegistryError};
use crate::registry::Registry;
use crate::types::Time;

/// Providers of a chain at most: a call may be made of each, one after the other.
const PROVIDERS_MAX: usize = 64;

/// A provider with the policy that the breakers for LLMs that came before Softfuse have for it: so many failures in a row
/// open its circuit for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderPreset {
    /// Its name, and its breaker's.
    pub name: &'static str,
    /// Its policy's text.
    pub policy: &'static str,
}

impl ProviderPreset {
    /// OpenAI: 5 failures, 60 s.
    pub const OPENAI: Self =
        Self { name: "openai", policy: "half_open_after = \"60s\"\ntrip_on = { consecutive_failures = 5 }\n" };
    /// Azure: 5 failures, 60 s.
    pub const AZURE: Self =
        Self { name: "azure", policy: "half_open_after = \"60s\"\ntrip_on = { consecutive_failures = 5 }\n" };
    /// Anthropic: 3 failures, 120 s.
    pub const ANTHROPIC: Self =
        Self { name: "anthropic", policy: "half_open_after = \"120s\"\ntrip_on = { consecutive_failures = 3 }\n" };
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 3] = [Self::OPENAI, Self::AZURE, Self::ANTHROPIC];

    /// Its breaker in a registry: the one that exists, or a new one.
    ///
    /// # Errors
    /// Where a breaker of its name exists with another policy, or there is no room.
    pub fn breaker(&self, registry: &Registry) -> Result<Breaker, ProvidersError> {
        let policy = registry.policy(&format!("preset `{}`", self.name), self.policy)?;
        Ok(registry.breaker(self.name, &policy)?)
    }
}

/// Why there are no such providers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvidersError {
    /// None was named.
    #[error("a chain has one provider at least, and none was named")]
    None,
    /// Too many were named.
    #[error("a chain has {PROVIDERS_MAX} providers at most, and {0} were named")]
    TooMany(usize),
    /// One was named twice.
    #[error("the provider `{0}` was named twice: each has its place in the order once")]
    Twice(Arc<str>),
    /// A preset's policy could not be loaded.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A preset's breaker could not be made.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Providers in the order in which they are to be asked, each with a breaker, whose name is the provider's. Cheap to clone.
///
/// ```
/// use softfuse::{Providers, Registry};
///
/// let registry = Registry::new()?;
/// let strict = registry.policy("strict", "trip_on = { consecutive_failures = 3 }")?;
/// let patient = registry.policy("patient", "trip_on = { consecutive_failures = 10 }")?;
/// let providers = Providers::new([registry.breaker("near", &strict)?, registry.breaker("far", &patient)?])?;
/// registry.get("near").ok_or("gone")?.trip("maintenance", None)?;
///
/// let chain = providers.chain();
/// let answer = chain.call(|attempt| {
///     attempt.report_quality(0.9)?;
///     Ok::<_, softfuse::InvalidScore>(format!("the answer of {}", attempt.provider()))
/// })?;
/// assert_eq!(answer, "the answer of far");
/// assert_eq!(providers.available().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Providers(Arc<[Breaker]>);

impl Providers {
    /// These breakers' providers, in this order.
    ///
    /// # Errors
    /// Where there is none, where there are more than 64, and where two have one name.
    pub fn new(breakers: impl IntoIterator<Item = Breaker>) -> Result<Self, ProvidersError> {
        let breakers: Vec<Breaker> = breakers.into_iter().collect();
        if breakers.is_empty() {
            return Err(ProvidersError::None);
        }
        if breakers.len() > PROVIDERS_MAX {
            return Err(ProvidersError::TooMany(breakers.len()));
        }
        for (at, breaker) in breakers.iter().enumerate() {
            if breakers.iter().take(at).any(|earlier| earlier.name() == breaker.name()) {
                return Err(ProvidersError::Twice(Arc::clone(breaker.name())));
            }
        }
        Ok(Self(breakers.into()))
    }

    /// OpenAI, then Azure, then Anthropic, with the policies of [`ProviderPreset`].
    ///
    /// # Errors
    /// Where a breaker of such a name exists with another policy, or there is no room.
    pub fn presets(registry: &Registry) -> Result<Self, ProvidersError> {
        let breakers: Result<Vec<Breaker>, ProvidersError> =
            ProviderPreset::ALL.iter().map(|preset| preset.breaker(registry)).collect();
        Self::new(breakers?)
    }

    /// Their breakers, in order.
    #[must_use]
    pub fn breakers(&self) -> &[Breaker] {
        &self.0
    }

    /// The breaker of the provider of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Breaker> {
        self.0.iter().find(|breaker| &**breaker.name() == name)
    }

    /// The providers that would admit a call now, in order. An open circuit whose time has passed is among them, or nobody
    /// would ever probe it. Asking takes no probe.
    #[must_use]
    pub fn available(&self) -> Vec<Breaker> {
        self.0.iter().filter(|breaker| !breaker.is_open()).cloned().collect()
    }

    /// [`available`](Self::available), as of `now`.
    #[must_use]
    pub fn available_at(&self, now: Time) -> Vec<Breaker> {
        self.0.iter().filter(|breaker| !breaker.is_open_at(now)).cloned().collect()
    }

    /// Begins a chain for calls of one kind.
    #[must_use]
    pub fn chain<T, E>(&self) -> Chain<T, E> {
        Chain::new(self)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}
