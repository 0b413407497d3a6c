//! The components that come with the library, and their contracts, as bytes: for hosts in other languages, and for tools.

/// The breaker component.
pub static BREAKER: &[u8] = include_bytes!(env!("SOFTFUSE_BREAKER_WASM"));

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
        match self {
            Self::Text => include_bytes!(env!("SOFTFUSE_SCORER_TEXT_WASM")),
            Self::Logprobs => include_bytes!(env!("SOFTFUSE_SCORER_LOGPROBS_WASM")),
            Self::Embedding => include_bytes!(env!("SOFTFUSE_SCORER_EMBEDDING_WASM")),
        }
    }
}
