//! The native core runs every shared vector.

use softfuse_core::Policy;
use softfuse_testkit::{CoreSubject, Disciplined, policies, vectors};
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

#[test]
fn the_core_runs_every_vector() {
    let vectors = vectors::load(&folder()).expect("the vectors load");
    let mut failures = Vec::new();
    for vector in &vectors {
        let policy = Policy::parse(&vector.policy).unwrap_or_else(|problems| panic!("{}: {problems:?}", vector.name));
        let policy = std::sync::Arc::new(policy);
        if let Err(error) = vector.run(&mut CoreSubject::new(policy.clone())) {
            failures.push(format!("{error:#}"));
        }
        if !vector.is_raw() {
            let mut disciplined = Disciplined::new(CoreSubject::new(policy), vector.verdicts);
            if let Err(error) = vector.run(&mut disciplined) {
                failures.push(format!("behind a host's discipline: {error:#}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), vectors.len(), failures.join("\n\n"));
}

#[test]
fn the_core_reports_every_problem_of_bad_policies() {
    let mut failures = Vec::new();
    for bad in policies::load_bad(&folder()).expect("the vectors load") {
        let found = Policy::parse(&bad.text).err().unwrap_or_default();
        let found: Vec<_> = found.into_iter().map(|p| (p.line, p.column, p.key, p.message, p.nearest)).collect();
        if let Err(error) = bad.check(&found) {
            failures.push(format!("{error:#}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
