//! The instances of a registry, or of a keyed family. Breakers are spread over them, so that two cores serve two breakers
//! without meeting, and an instance that fails takes none with it but those that sit there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::live::Replaced;
use super::slot::{RestSettings, Slot};
use super::{Bounds, BreakerComponent, Cell};
use crate::clock::Clock;
use crate::error::ComponentFailure;
use crate::metrics::ComponentMeters;
use crate::policy::Policy;

/// Instances, each made when the first breaker takes its seat there.
pub(crate) struct Slots {
    slots: Box<[Slot]>,
    /// How many places were given: breakers are spread in turn.
    given: AtomicUsize,
}

impl Slots {
    pub(crate) fn new(
        component: &BreakerComponent,
        instances: usize,
        clock: &Arc<dyn Clock>,
        rest: RestSettings,
        meters: &Arc<ComponentMeters>,
    ) -> Self {
        let slot = |_| Slot::new(component.clone(), Arc::clone(clock), rest, Arc::clone(meters));
        Self { slots: (0..instances.max(1)).map(slot).collect(), given: AtomicUsize::new(0) }
    }

    /// A place for a breaker.
    pub(crate) fn place(&self, name: Arc<str>, policy: Policy, salt: u64) -> Cell {
        let slot = self.given.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        Cell::new(slot, name, policy, salt)
    }

    /// Where a breaker sits.
    pub(crate) fn of(&self, cell: &Cell) -> &Slot {
        &self.slots[cell.slot]
    }

    /// One of them, for what any can answer.
    pub(crate) fn any(&self) -> &Slot {
        &self.slots[0]
    }

    /// Bytes that breakers' windows may have in all of them together.
    pub(crate) fn windows_bytes_max(&self, bounds: Bounds) -> u64 {
        bounds.windows_bytes_max() * self.slots.len() as u64
    }
}

/// Puts a newer component in the place of the one at work, in all slots or in none, and brings along every breaker that
/// sits there.
///
/// # Errors
/// Where the new one doesn't start, or fails while it takes the breakers over: the old one then stays at work.
pub(crate) fn replace<'a>(
    homes: impl IntoIterator<Item = &'a Slots>,
    component: &BreakerComponent,
) -> Result<Replaced, ComponentFailure> {
    // Whether it starts at all, where no breaker sits anywhere yet.
    drop(component.instantiate()?);
    let mut replaced = Replaced::default();
    let mut prepared = Vec::new();
    for slot in homes.into_iter().flat_map(|home| &home.slots) {
        prepared.push(slot.prepare(component, &mut replaced)?);
    }
    for slot in prepared {
        slot.commit(component);
    }
    Ok(replaced)
}
