//! The instances of a registry, or of a keyed family. Breakers are spread over them, so that two cores serve two breakers
//! without meeting, and an instance that fails takes none with it but those that sit there.

use std::sync::Arc;

use super::live::Replaced;
use super::slot::{RestSettings, Slot};
use super::{BreakerComponent, Cell};
use crate::clock::Clock;
use crate::error::ComponentFailure;
use crate::metrics::ComponentMeters;

/// Instances, each made when the first breaker takes its seat there.
pub(crate) struct Slots(Box<[Slot]>);

impl Slots {
    pub(crate) fn new(
        component: &BreakerComponent,
        instances: usize,
        clock: &Arc<dyn Clock>,
        rest: RestSettings,
        meters: &Arc<ComponentMeters>,
    ) -> Self {
        let slot = |_| Slot::new(component.clone(), Arc::clone(clock), rest, Arc::clone(meters));
        Self((0..instances.max(1)).map(slot).collect())
    }

    /// Where a breaker sits.
    pub(crate) fn of(&self, cell: &Cell) -> &Slot {
        &self.0[(cell.uid % self.0.len() as u64) as usize]
    }

    /// One of them, for what any can answer.
    pub(crate) fn any(&self) -> &Slot {
        &self.0[0]
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
    for slot in homes.into_iter().flat_map(|slots| &slots.0) {
        prepared.push(slot.prepare(component, &mut replaced)?);
    }
    for slot in prepared {
        slot.commit(component);
    }
    Ok(replaced)
}
