//! Instances for a registry's named breakers and for each keyed family, and whether there is room in them.

use std::sync::{Arc, Weak};

use crate::breaker::Home;
use crate::clock::Clock;
use crate::component::{BreakerComponent, RestSettings, Slots};
use crate::error::RegistryError;
use crate::metrics::Metrics;

/// What instances of the component are made of, and whose they are.
pub(super) struct Making {
    pub(super) component: BreakerComponent,
    pub(super) instances: usize,
    pub(super) rest: RestSettings,
    /// Homes of keyed families: some may outlive their names.
    pub(super) families: Vec<Weak<Home>>,
}

impl Making {
    pub(super) fn slots(&self, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Slots {
        Slots::new(&self.component, self.instances, clock, self.rest, metrics.component())
    }

    /// A keyed family's home, with instances of its own.
    pub(super) fn family_home(&mut self, home: &Home) -> Arc<Home> {
        let family = Arc::new(home.with_slots(self.slots(&home.clock, &home.metrics)));
        self.families.retain(|family| family.strong_count() > 0);
        self.families.push(Arc::downgrade(&family));
        family
    }
}

/// Whether the component has room for breakers whose windows are full.
pub(super) fn check_room(name: &Arc<str>, breakers: usize, bytes: u64, bytes_max: u64) -> Result<(), RegistryError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(RegistryError::NoRoom { name: Arc::clone(name), breakers, bytes, bytes_max })
}
