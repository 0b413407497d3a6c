//! Instances for a registry's named breakers and for each keyed family, and what is said where they have no room.

use std::sync::{Arc, Weak};

use crate::breaker::Home;
use crate::clock::Clock;
use crate::component::{BreakerComponent, NoPlace, RestSettings, Slots};
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
    pub(super) fn family_home(&mut self, home: &Home, lent_max: usize) -> Arc<Home> {
        let family = Arc::new(home.of_family(self.slots(&home.clock, &home.metrics), lent_max));
        self.families.retain(|family| family.strong_count() > 0);
        self.families.push(Arc::downgrade(&family));
        family
    }
}

/// That the component has no room for a breaker or a family, as one of so many breakers.
pub(super) fn no_room(name: &Arc<str>, breakers: usize, no_place: NoPlace) -> RegistryError {
    let NoPlace { bytes, instance_bytes_max, instances, fit } = no_place;
    RegistryError::NoRoom { name: Arc::clone(name), breakers, bytes, instance_bytes_max, instances, fit }
}
