//! Writes the seeds of the corpora into `fuzz/corpus`: the example policies and those of the shared vectors, snapshots of
//! breakers in every state, random histories, and traces of every kind. Run it again when the snapshots' format changes.
//!
//! `cargo run -p softfuse-corpora --example seed`

mod traces;

use anyhow::{Context, Result, ensure};
use softfuse_core::{Breaker, OperatorState, Outcome, OutcomeKind, QualityReport, Signal};
use softfuse_corpora::{policies, snapshot};
use softfuse_testkit::{policies::load_bad, vectors};
use std::path::{Path, PathBuf};
use std::{collections::BTreeSet, fs};

/// Histories in the seeds, and their length in bytes.
const HISTORIES: u64 = 24;
const HISTORY_BYTES: usize = 400;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = root.join("fuzz/corpus");
    policy_seeds(&root, &corpus.join("policy"))?;
    snapshot_seeds(&corpus.join("snapshot"))?;
    let history = folder(corpus.join("history"))?;
    for seed in 0..HISTORIES {
        let mut bytes = random(seed + 1, HISTORY_BYTES);
        // Every policy comes up.
        bytes[0] = (seed % u64::from(policies::count())) as u8;
        fs::write(history.join(format!("seed-{seed:02}")), bytes)?;
    }
    traces::write(&folder(corpus.join("trace"))?)
}

fn folder(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn policy_seeds(root: &Path, folder: &Path) -> Result<()> {
    self::folder(folder.to_owned())?;
    let examples = root.join("examples/policies");
    for entry in fs::read_dir(&examples).with_context(|| examples.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let stem = path.file_stem().context("a name")?.to_string_lossy().into_owned();
            fs::copy(&path, folder.join(format!("example-{stem}.toml")))?;
        }
    }
    let vectors_folder = root.join("tests/vectors");
    let texts: BTreeSet<String> = vectors::load(&vectors_folder)?.into_iter().map(|vector| vector.policy).collect();
    for (index, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("vector-{index:02}.toml")), text)?;
    }
    for (index, bad) in load_bad(&vectors_folder)?.iter().enumerate() {
        fs::write(folder.join(format!("bad-{index:02}.toml")), &bad.text)?;
    }
    Ok(())
}

/// Snapshots of breakers of every policy: fresh, used, open, half-open with probes, and in the operator's states.
fn snapshot_seeds(folder: &Path) -> Result<()> {
    self::folder(folder.to_owned())?;
    for place in 0..policies::count() {
        let known = policies::known(place);
        let mut fresh = Breaker::new(known.policy.clone(), "seed", 0, 0);
        write_seed(folder, place, "fresh", 0, &fresh)?;
        for step in 0..5 {
            let Ok(admission) = fresh.before_call(step) else { break };
            let verdicts = vec![None; known.policy.host_conditions().len()];
            let kind = if step == 2 { OutcomeKind::Error } else { OutcomeKind::Success };
            let signal = Signal::Score(0.95);
            let outcome = Outcome { signal, verdicts: &verdicts, ..Outcome::new(kind, 4_000_000) };
            // Whether it trips is the policy's matter.
            let _ = fresh.record_outcome(admission.permit, &outcome, step);
        }
        write_seed(folder, place, "used", 1, &fresh)?;
        fresh.reset(9);
        fresh.trip("seed".into(), Some(1_000), 10);
        write_seed(folder, place, "open", 2, &fresh)?;
        let probe = fresh.before_call(2_000).ok().map(|admission| admission.permit).context("a probe")?;
        let mut owed = fresh.clone();
        let verdicts = vec![Some("so says the host".to_owned()); known.policy.host_conditions().len()];
        let outcome = Outcome { signal: Signal::Pending, verdicts: &verdicts, ..Outcome::new(OutcomeKind::Success, 0) };
        // Whether a verdict fails the probe at once is the policy's matter.
        let settled = owed.record_outcome(probe, &outcome, 2_000);
        ensure!(settled.is_ok(), "a probe's outcome was refused: {settled:?}");
        write_seed(folder, place, "owed", 2, &owed)?;
        // A score that comes before its outcome is kept with the probe.
        let kept = fresh.report_quality(probe, QualityReport::Score(0.5), 2_000);
        ensure!(kept.is_ok(), "a probe's score was refused: {kept:?}");
        write_seed(folder, place, "half-open", 1, &fresh)?;
        let state = [OperatorState::ForcedOpen, OperatorState::Disabled, OperatorState::MetricsOnly];
        fresh.set_operator_state(state[usize::from(place) % state.len()], 3_000);
        write_seed(folder, place, "operator", 2, &fresh)?;
        bad_snapshots(folder, place, &fresh.snapshot(4_000))?;
    }
    Ok(())
}

/// What must be refused: a flipped bit, an end too soon, another policy's, another file.
fn bad_snapshots(folder: &Path, place: u8, whole: &[u8]) -> Result<()> {
    let write = |name: &str, place: u8, form: u8, payload: &[u8]| {
        let bytes = [&[place, form, 2, 1, 0], payload].concat();
        fs::write(folder.join(format!("bad-{place:02}-{name}")), bytes)
    };
    match place % 4 {
        0 => {
            let mut flipped = whole.to_vec();
            flipped[whole.len() / 2] ^= 4;
            write("flipped", place, 0, &flipped)?;
        }
        1 => write("short", place, 1, &whole[snapshot::HEADER.len()..whole.len() * 3 / 4])?,
        2 => write("foreign", place + 1, 0, whole)?,
        _ => write("no-snapshot", place, 0, b"trip_on = 1")?,
    }
    Ok(())
}

/// A snapshot as an input of its form: whole, its body, or its state after the fingerprint; with some steps after it.
fn write_seed(folder: &Path, place: u8, name: &str, form: u8, breaker: &Breaker) -> Result<()> {
    let whole = breaker.snapshot(5_000);
    let body = &whole[snapshot::HEADER.len()..whole.len() - 4];
    let payload = match form {
        0 => &whole[..],
        1 => body,
        _ => &body[snapshot::fingerprint_bytes(breaker.policy().fingerprint())..],
    };
    let steps = random(u64::from(place) * 31 + u64::from(form) + 1, 120);
    let steps_len = u8::try_from(steps.len())?;
    let prefix = [place, form, 2, 1, steps_len];
    let bytes = [&prefix[..], payload, &steps].concat();
    fs::write(folder.join(format!("seed-{place:02}-{name}")), bytes)?;
    Ok(())
}

/// Xorshift64: any bytes do, but the same each time.
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The middle byte of the eight.
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
