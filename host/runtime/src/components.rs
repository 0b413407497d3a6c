//! The components that come with the library, and their contracts, as bytes: for hosts in other languages, and for tools.

/// The breaker component.
pub static BREAKER: &[u8] = include_bytes!(env!("SOFTFUSE_BREAKER_WASM"));

/// A component as it is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binary<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its SHA-256 in hexadecimal digits, where that is known.
    pub(crate) sha256: Option<&'static str>,
}

impl<'a> From<&'a [u8]> for Binary<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, sha256: None }
    }
}

impl Binary<'static> {
    /// The breaker component that comes with the library.
    pub(crate) const BREAKER: Self = Self { bytes: BREAKER, sha256: Some(env!("SOFTFUSE_BREAKER_WASM_SHA256")) };
}

/// The contract of a breaker component, in WIT.
pub static BREAKER_WIT: &str = include_str!(env!("SOFTFUSE_BREAKER_WIT"));

/// The contract of a scorer component, in WIT.
pub static SCORER_WIT: &str = include_str!(env!("SOFTFUSE_SCORER_WIT"));

/// A scorer that comes with the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// Text: empty, truncated, repetitive, a refusal, or JSON that is none.
    Text,
    /// Token log-probabilities or a softmax vector: confidence, margin, entropy, perplexity.
    Logprobs,
    /// Embeddings: zero, NaN, a shifted norm, drift from a reference, collapse.
    Embedding,
}

impl Builtin {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Text, Self::Logprobs, Self::Embedding];

    /// Its name, as in `text`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Logprobs => "logprobs",
            Self::Embedding => "embedding",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name() == name)
    }

    /// The component.
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        self.binary().bytes
    }

    pub(crate) fn binary(self) -> Binary<'static> {
        let (bytes, sha256): (&[u8], _) = match self {
            Self::Text => (include_bytes!(env!("SOFTFUSE_SCORER_TEXT_WASM")), env!("SOFTFUSE_SCORER_TEXT_WASM_SHA256")),
            Self::Logprobs => {
                (include_bytes!(env!("SOFTFUSE_SCORER_LOGPROBS_WASM")), env!("SOFTFUSE_SCORER_LOGPROBS_WASM_SHA256"))
            }
            Self::Embedding => {
                (include_bytes!(env!("SOFTFUSE_SCORER_EMBEDDING_WASM")), env!("SOFTFUSE_SCORER_EMBEDDING_WASM_SHA256"))
            }
        };
        Binary { bytes, sha256: Some(sha256) }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_digests_are_the_components() {
        for binary in Builtin::ALL.map(Builtin::binary).into_iter().chain([Binary::BREAKER]) {
            let digest: String = Sha256::digest(binary.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(binary.sha256, Some(&*digest));
        }
    }
}
