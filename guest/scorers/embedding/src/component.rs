//! The component: converts, calls the scorer, converts back.

// It brings the allocator, the panic handler and `cabi_realloc`.
use softfuse_bare as _;

wit_bindgen::generate!({ path: "../../../wit/scorer", world: "answer-scorer" });

softfuse_scorer_common::export_scorer!(crate::EmbeddingScorer);

export!(Component);
