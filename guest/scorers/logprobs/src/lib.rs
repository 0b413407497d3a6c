//! Under construction: see the crate's description.
