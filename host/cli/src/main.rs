//! The program `softfuse`.
fn main() {}
