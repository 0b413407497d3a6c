//! A policy: text that the breaker component has taken, with where it comes from.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bindings::breaker as wit;
use crate::component::Slot;
use crate::error::PolicyError;
use crate::types::{PolicyInfo, PolicyProblem};

/// The longest text that is taken for a policy: 256 KiB, hundreds of times what one needs, and the component's own bound.
pub const POLICY_BYTES_MAX: usize = 256 << 10;

/// A policy that the breaker component has read and found right. Cheap to clone.
///
/// It is made by [`Registry::policy`](crate::Registry::policy) and
/// [`Registry::policy_file`](crate::Registry::policy_file), since the component alone knows what a policy is.
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    uid: u64,
    text: Box<str>,
    source_name: Arc<str>,
    info: PolicyInfo,
}

impl Policy {
    pub(crate) fn load(slot: &Slot, source_name: &str, text: &str) -> Result<Self, PolicyError> {
        static UIDS: AtomicU64 = AtomicU64::new(1);
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong {
                source_name: source_name.to_owned(),
                bytes: text.len() as u64,
                max: POLICY_BYTES_MAX,
            });
        }
        let uid = UIDS.fetch_add(1, Ordering::Relaxed);
        match slot.load_policy(uid, text)? {
            Ok(info) => {
                let info = PolicyInfo {
                    fingerprint: info.fingerprint,
                    host_conditions: info.host_conditions,
                    uses_scores: info.uses_scores,
                    require_quality_signal: info.require_quality_signal,
                    breaker_bytes: info.breaker_bytes,
                };
                Ok(Self(Arc::new(Inner { uid, text: text.into(), source_name: source_name.into(), info })))
            }
            Err(problems) => Err(PolicyError::Invalid {
                source_name: source_name.to_owned(),
                problems: problems.into_iter().map(problem).collect(),
            }),
        }
    }

    pub(crate) fn load_file(slot: &Slot, path: &Path) -> Result<Self, PolicyError> {
        let unreadable = |message: String| PolicyError::Unreadable { path: path.to_owned(), message };
        let bytes = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if bytes > POLICY_BYTES_MAX as u64 {
            return Err(PolicyError::TooLong { source_name: path.display().to_string(), bytes, max: POLICY_BYTES_MAX });
        }
        let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(text)
            .map_err(|error| unreadable(format!("not UTF-8 from byte {} on", error.utf8_error().valid_up_to())))?;
        Self::load(slot, &path.display().to_string(), &text)
    }

    /// The text, as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Where it comes from: a file's path, or what it was called.
    #[must_use]
    pub fn source_name(&self) -> &Arc<str> {
        &self.0.source_name
    }

    /// What the component says of it.
    #[must_use]
    pub fn info(&self) -> &PolicyInfo {
        &self.0.info
    }

    /// Tells it from all others of the process, of the same meaning even.
    pub(crate) fn uid(&self) -> u64 {
        self.0.uid
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("source_name", &self.0.source_name).field("info", &self.0.info).finish()
    }
}

fn problem(problem: wit::PolicyProblem) -> PolicyProblem {
    PolicyProblem {
        line: problem.line,
        column: problem.column,
        key: problem.key,
        message: problem.message,
        nearest: problem.nearest,
    }
}
