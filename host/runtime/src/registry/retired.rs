//! What is remembered of a family's breakers that retired: their snapshots, up to a bound.

use std::sync::Arc;

use ecow::EcoString;
use lru::LruCache;

use super::KeyedSettings;
use super::shards::Gone;
use crate::condition::Held;
use crate::types::Time;

/// What is left of a breaker that retired.
pub(super) struct Retired {
    pub(super) snapshot: Arc<[u8]>,
    pub(super) at: Time,
    /// The host's own conditions are not in the snapshot.
    pub(super) conditions: Held,
    pub(super) trip_count: u64,
}

/// Those of a family, by key.
pub(super) struct RetiredKeys {
    keys: LruCache<EcoString, Retired>,
    /// What the keys and the snapshots have.
    bytes: usize,
}

impl Default for RetiredKeys {
    fn default() -> Self {
        Self { keys: LruCache::unbounded(), bytes: 0 }
    }
}

impl RetiredKeys {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Retired> {
        let retired = self.keys.pop(key)?;
        self.bytes -= key.len() + retired.snapshot.len();
        Some(retired)
    }

    /// Remembers one that retired, and forgets those for which there is no room any more.
    pub(super) fn put(&mut self, key: EcoString, retired: Retired, settings: &KeyedSettings, gone: &mut Vec<Gone>) {
        self.bytes += key.len() + retired.snapshot.len();
        self.keys.put(key, retired);
        while self.keys.len() > settings.retired_max || self.bytes > settings.retired_bytes_max {
            let Some((key, forgotten)) = self.keys.pop_lru() else { return };
            self.bytes -= key.len() + forgotten.snapshot.len();
            gone.push(Gone::Retired(forgotten));
        }
    }
}
