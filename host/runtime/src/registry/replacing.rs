//! Hot upgrades: another breaker component in the place of the one at work.

use std::path::Path;
use std::sync::{Arc, Weak};

use super::Registry;
use crate::breaker::Home;
use crate::component::{self, BreakerComponent};
use crate::engine::read_component;
use crate::error::{ComponentFailure, LoadError};

/// What a hot upgrade of the component did with the breakers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaceReport {
    /// Breakers that came along with their state.
    pub restored: Vec<Arc<str>>,
    /// Breakers whose state the new component refuses, and why. With its next call each comes back from the last snapshot that
    /// the registry keeps of it, where the new component takes that; else it starts afresh.
    pub refused: Vec<(Arc<str>, String)>,
    /// Breakers whose state the old component didn't give, since it failed at that. They too come back from their last
    /// snapshots; what they have recorded since is lost.
    pub lost: Vec<Arc<str>>,
}

/// Why a component was not replaced. The old one is at work still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The new one can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The new one failed at starting, or at taking the breakers over.
    #[error(transparent)]
    Failed(#[from] ComponentFailure),
}

impl Registry {
    /// Puts another breaker component in the place of the one at work: a newer build, a user's own. Every breaker comes along
    /// as it is, but for those that the report names otherwise. Events tell how those come back.
    ///
    /// # Errors
    /// Where it can't be loaded, has no room for the breakers, or fails at taking them over. The old one is at work still, in
    /// all instances, and nothing has changed.
    pub fn replace_component(&self, source_name: &str, bytes: &[u8]) -> Result<ReplaceReport, ReplaceError> {
        // Held meanwhile, so that no family is made of the old one while the others change over.
        let mut making = self.0.making.lock();
        let component = BreakerComponent::load(&self.0.engine, source_name, bytes.into(), making.component.bounds())?;
        let families: Vec<Arc<Home>> = making.families.iter().filter_map(Weak::upgrade).collect();
        let homes = families.iter().chain([&self.0.home]).map(|home| &home.slots);
        let replaced = component::replace(homes, &component)?;
        making.component = component;
        drop(making);
        let (mut restored, mut refused, mut lost) = (replaced.restored, replaced.refused, replaced.lost);
        restored.sort_unstable();
        refused.sort_unstable();
        lost.sort_unstable();
        Ok(ReplaceReport { restored, refused, lost })
    }

    /// [`replace_component`](Self::replace_component), from a file.
    ///
    /// # Errors
    /// Where the file can't be read, and as [`replace_component`](Self::replace_component).
    pub fn replace_component_file(&self, path: impl AsRef<Path>) -> Result<ReplaceReport, ReplaceError> {
        let path = path.as_ref();
        self.replace_component(&path.display().to_string(), &read_component(path)?)
    }
}
