//! Prints random histories as vectors, for whoever works on a host:
//! `cargo run -p softfuse-testkit --example histories -- 500 > histories.toml`.

use anyhow::{Context, Result};
use softfuse_testkit::recorded::random;

/// Steps of a history at most.
const OPS_MAX: usize = 60;

fn main() -> Result<()> {
    let count = std::env::args().nth(1).context("say how many")?;
    let count = count.parse().with_context(|| format!("`{count}` is no number of histories"))?;
    for recorded in random(count, OPS_MAX)? {
        println!("{}", recorded.text);
    }
    Ok(())
}
