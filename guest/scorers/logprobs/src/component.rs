//! The component: converts, calls the scorer, converts back.

// It brings the allocator, the panic handler and `cabi_realloc`.
use softfuse_bare as _;

wit_bindgen::generate!({ path: "../../../wit/scorer", world: "streaming-scorer" });

softfuse_scorer_common::export_scorer!(crate::LogprobsScorer);
softfuse_scorer_common::export_streaming!(crate::LogprobsScorer);

export!(Component);
