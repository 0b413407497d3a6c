//! What stands around breakers: a bound on calls at once, providers in a chain, a registry's health. It is made of what the
//! library's users have as well (permits, guards, statuses), so that a breaker needn't know of any of it.

mod bulkhead;
mod chain;
mod health;
mod providers;

pub use bulkhead::{Bulkhead, BulkheadCounts, BulkheadError, BulkheadSettings, InvalidBulkhead, Place};
pub use chain::{AsyncAttempt, Attempt, Chain, ChainError, MoveOn, Tried};
pub use health::{CircuitHealth, FamilyHealth, Health};
pub use providers::{ProviderPreset, Providers, ProvidersError};
