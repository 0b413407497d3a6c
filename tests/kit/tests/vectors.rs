//! The native core runs every shared vector.

use softfuse_core::Policy;
use softfuse_testkit::recorded::random;
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
        if !vector.is_hosts_own()
            && let Err(error) = vector.run(&mut CoreSubject::new(policy.clone()))
        {
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

/// What is written down of random histories holds of the core that it was written down of.
#[test]
fn recorded_histories_are_vectors() {
    let mut tripped = 0;
    for recorded in random(300, 40).expect("they can be written down") {
        tripped += usize::from(recorded.observed.trips() > 0);
        let vectors = vectors::parse("recorded.toml", &recorded.text).expect("it is a vector");
        let policy: std::sync::Arc<_> = Policy::parse(&recorded.policy).expect("a good policy").into();
        let verdicts = policy.host_conditions().len();
        let mut subject = Disciplined::new(CoreSubject::new(policy), verdicts);
        vectors[0].run(&mut subject).unwrap_or_else(|error| panic!("{error:#}\n{}", recorded.text));
    }
    assert!(tripped > 30, "histories that never trip prove nothing: {tripped} did");
}

/// Runs one vector with these steps on a breaker that one failure trips.
fn run_steps(steps: &str) -> anyhow::Result<()> {
    let text = format!(
        "[[vector]]\nname = \"n\"\nholds = \"h\"\npolicy = \"trip_on = {{ consecutive_failures = 1 }}\"\nsteps = [{steps}]"
    );
    let vectors = vectors::parse("test.toml", &text)?;
    let policy = Policy::parse(&vectors[0].policy).expect("a good policy");
    vectors[0].run(&mut CoreSubject::new(policy.into()))
}

#[test]
fn what_no_answer_ever_has_is_a_slip_of_the_vector() {
    run_steps(r#"{ do = "call", expect = { error = false, event = false, effect = "recorded" } }"#).expect("it holds");
    run_steps(r#"{ do = "status", expect = { last_trip = false, conditions = [{ holds = false }] } }"#)
        .expect("it holds");
    for (steps, key) in [
        (r#"{ do = "call", expect = { eror = false } }"#, "eror"),
        (r#"{ do = "call", expect = { live_probes = false } }"#, "live_probes"),
        (r#"{ do = "call", outcome = "error", expect = { event = { closed = false } } }"#, "closed"),
        (r#"{ do = "status", expect = { late = false } }"#, "late"),
        (r#"{ do = "status", expect = { conditions = [{ hold = false }] } }"#, "hold"),
    ] {
        let error = format!("{:#}", run_steps(steps).expect_err(steps));
        assert!(error.contains(&format!("there is no key `{key}` to expect")), "{steps}: {error}");
    }
    for (steps, said) in [
        (r#"{ do = "call", expect = { event = { new = false } } }"#, "found null"),
        (r#"{ do = "call", expect = { effect = false } }"#, "expected Boolean(false), found \"recorded\""),
        (r#"{ do = "call", exect = { effect = "recorded" } }"#, "unknown field `exect`"),
        (r#"{ do = "call", times = 0, state = "open" }"#, "`times` is 0"),
        (r#"{ expect = { effect = false }, state = "closed" }"#, "`expect` without `do`"),
        (r#"{ do = "call" }"#, "expects nothing"),
    ] {
        let error = format!("{:#}", run_steps(steps).expect_err(steps));
        assert!(error.contains(said), "{steps}: {error}");
    }
}

#[test]
fn a_name_comes_once_in_all_files() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors");
    std::fs::create_dir_all(&folder).expect("a folder of the tests' own");
    let vector = |name: &str| {
        format!("[[vector]]\nname = \"{name}\"\nholds = \"h\"\npolicy = \"\"\nsteps = [{{ state = \"closed\" }}]\n")
    };
    let bad = |name: &str| format!("[[policy]]\nname = \"{name}\"\ntext = \"\"\nproblems = []\n");
    let load = |a: &str, b: &str, bad_names: &[&str]| {
        let write = |file: &str, text: String| std::fs::write(folder.join(file), text).expect("a file");
        write("a.toml", vector(a));
        write("b.toml", vector(b));
        write("policies.toml", bad_names.iter().map(|name| bad(name)).collect());
        vectors::load(&folder).map(|vectors| vectors.len()).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(load("one", "two", &["three"]), Ok(2));
    assert_eq!(load("one", "one", &["three"]), Err("two vectors are named `one`".to_owned()));
    assert_eq!(load("one", "two", &["two"]), Err("two vectors are named `two`".to_owned()));
    assert_eq!(load("one", "two", &["three", "three"]), Err("two vectors are named `three`".to_owned()));
}
