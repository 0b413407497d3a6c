//! Instances for a registry's named breakers and for each keyed family, and what is said where they have no room.

use std::sync::{Arc, Weak};

use super::builder::INSTANCES_MAX;
use super::keyed::KeyedSettings;
use super::shards::SHARDED_FROM;
use crate::breaker::Home;
use crate::clock::RegistryClock;
use crate::component::{BreakerComponent, NoPlace, RestSettings, Slots};
use crate::error::RegistryError;
use crate::metrics::Metrics;

/// Instances for each core that a large keyed family has, where nobody says otherwise. Its keys are asked at once by all cores, and
/// two that meet in an instance wait for each other: with one for each of two cores they do every other time.
const FAMILY_TIMES: usize = 4;

/// What instances of the component are made of, and whose they are.
pub(super) struct Making {
    pub(super) component: BreakerComponent,
    /// As many as a user has said.
    pub(super) instances: Option<usize>,
    /// Of the machine.
    pub(super) cores: usize,
    pub(super) rest: RestSettings,
    /// Homes of keyed families: some may outlive their names.
    pub(super) families: Vec<Weak<Home>>,
}

impl Making {
    /// Instances for named breakers.
    pub(super) fn slots(&self, clock: &RegistryClock, metrics: &Metrics) -> Slots {
        self.make_slots(self.cores, clock, metrics)
    }

    fn make_slots(&self, unless_said: usize, clock: &RegistryClock, metrics: &Metrics) -> Slots {
        let instances = self.instances.unwrap_or(unless_said).clamp(1, INSTANCES_MAX);
        Slots::new(&self.component, instances, clock, self.rest, metrics.component())
    }

    /// A keyed family's home, with instances of its own.
    pub(super) fn family_home(&mut self, home: &Home, settings: &KeyedSettings) -> Arc<Home> {
        let times = if settings.live_max < SHARDED_FROM { 1 } else { FAMILY_TIMES };
        let slots = self.make_slots(self.cores.saturating_mul(times), &home.clock, &home.metrics);
        let family = Arc::new(home.of_family(slots, settings.lent_max));
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
