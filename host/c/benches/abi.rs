//! What a guarded call costs through the C ABI, beside the Rust host's own in the same run:
//! `cargo bench -p softfuse-c --bench abi`, with `-- --json` for machines and `-- --quick` for a look.
//!
//! The C half is compiled by the system's compiler and linked with the shared library that `install.sh` builds and installs, as a C
//! program is; it is loaded beside the Rust half. Samples of the two take turns, so that noise hits both alike, and medians are compared.

use std::ffi::{CString, c_char, c_void};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use libloading::Library;
use softfuse::{Breaker, OperatorState, Outcome, Registry, Time};

/// What a guarded call through the ABI may cost, as a multiple of the Rust host's.
const GOAL: f64 = 1.3;

const FAILURES: &str = "trip_on = { error_rate_above = { rate = 0.5, window = 20 } }";
const QUALITY: &str = "trip_on = { quality_below = { threshold = 0.7, window = 20 } }";

type New = unsafe extern "C" fn(*const c_char, i32) -> *mut c_void;
type Loop = unsafe extern "C" fn(*mut c_void, u64, f64) -> u64;

struct Row {
    name: &'static str,
    policy: &'static str,
    open: bool,
    score: f64,
    in_c: &'static str,
    in_rust: fn(&Breaker, &mut i64, u64, f64) -> u64,
}

const ROWS: [Row; 5] = [
    Row {
        name: "guarded call by a permit, clock handed in",
        policy: FAILURES,
        open: false,
        score: -1.0,
        in_c: "bench_permits",
        in_rust: permits,
    },
    Row {
        name: "the same, scored, window 20",
        policy: QUALITY,
        open: false,
        score: 0.9,
        in_c: "bench_permits",
        in_rust: permits,
    },
    Row {
        name: "guarded call by a permit, clock read",
        policy: FAILURES,
        open: false,
        score: -1.0,
        in_c: "bench_permits_clock",
        in_rust: permits_clock,
    },
    Row {
        name: "guarded call by a function, clock read",
        policy: FAILURES,
        open: false,
        score: -1.0,
        in_c: "bench_calls_clock",
        in_rust: calls_clock,
    },
    Row {
        name: "refusal, clock handed in",
        policy: FAILURES,
        open: true,
        score: -1.0,
        in_c: "bench_refusals",
        in_rust: refusals,
    },
];

fn permits(breaker: &Breaker, now: &mut i64, calls: u64, score: f64) -> u64 {
    let mut made = 0;
    for _ in 0..calls {
        *now += 1000;
        if let Ok(mut permit) = breaker.permit_at(Time::from_nanos(*now)) {
            if score >= 0.0 {
                let _ = permit.report_quality(score);
            }
            black_box(permit.settle_at(Outcome::success(), Time::from_nanos(*now + 500)));
            made += 1;
        }
    }
    made
}

fn permits_clock(breaker: &Breaker, _: &mut i64, calls: u64, _: f64) -> u64 {
    (0..calls).map(|_| u64::from(breaker.permit().map(|permit| black_box(permit.success())).is_ok())).sum()
}

fn calls_clock(breaker: &Breaker, _: &mut i64, calls: u64, _: f64) -> u64 {
    (0..calls).map(|_| u64::from(breaker.call(|_| Ok::<_, ()>(black_box(1))).is_ok())).sum()
}

fn refusals(breaker: &Breaker, now: &mut i64, calls: u64, _: f64) -> u64 {
    let mut refused = 0;
    for _ in 0..calls {
        *now += 1000;
        refused += u64::from(black_box(breaker.permit_at(Time::from_nanos(*now))).is_err());
    }
    refused
}

/// Installs the library as anybody does, which builds it where need be, and links the C half with it; or with one that is installed
/// already, in the folder that SOFTFUSE_PREFIX names.
fn c_half() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = std::env::var_os("SOFTFUSE_PREFIX").map(PathBuf::from);
    let prefix = installed.clone().unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench"));
    let run = |command: &mut Command, package: &str| match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.get_program().display())),
        Err(error) => {
            Err(format!("{}: {error}. On Debian: apt-get install {package}", command.get_program().display()))
        }
    };
    // What cargo sets for a bench isn't meant for the build of the library.
    let variables =
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| name.starts_with("CARGO_")));
    let mut install = Command::new("sh");
    for (name, _) in variables.filter(|(name, _)| name != "CARGO_TARGET_DIR" && name != "CARGO_HOME") {
        install.env_remove(name);
    }
    if installed.is_none() {
        run(install.arg(root.join("install.sh")).arg(&prefix).stdout(Stdio::null()), "dash")?;
    }
    let to = std::env::temp_dir().join(format!("softfuse-bench-{}.so", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-O2", "-shared", "-fPIC", "-I"]).arg(prefix.join("include")).arg(root.join("benches/abi.c"));
    cc.arg("-o").arg(&to).arg(format!("-L{}", prefix.join("lib").display()));
    cc.arg(format!("-Wl,-rpath,{}", prefix.join("lib").display())).arg("-lsoftfuse");
    run(&mut cc, "gcc")?;
    Ok(to)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn run() -> Result<bool, String> {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let (json, samples, calls) = (has("--json"), if has("--quick") { 21 } else { 201 }, 20_000_u64);
    let path = c_half()?;
    // SAFETY: it has no code that runs when it is loaded, but that of the Rust library in it, which is made for that.
    let library = unsafe { Library::new(&path) }.map_err(|error| error.to_string())?;
    let _ = std::fs::remove_file(&path);
    let registry = Registry::new().map_err(|error| error.to_string())?;
    let (mut met, mut lines) = (true, Vec::new());
    for (at, row) in ROWS.iter().enumerate() {
        let policy = registry.policy("bench", row.policy).map_err(|error| error.to_string())?;
        let breaker = registry.breaker(&format!("bench {at}"), &policy).map_err(|error| error.to_string())?;
        if row.open {
            breaker.set_operator_state(OperatorState::ForcedOpen).map_err(|error| error.to_string())?;
        }
        let text = CString::new(row.policy).map_err(|error| error.to_string())?;
        // SAFETY: benches/abi.c has these functions, of these types; `bench` lives as long as the process.
        let mut in_c = unsafe {
            let new = library.get::<New>(b"bench_new").map_err(|error| error.to_string())?;
            let function = *library.get::<Loop>(row.in_c.as_bytes()).map_err(|error| error.to_string())?;
            let bench = new(text.as_ptr(), row.open.into());
            if bench.is_null() {
                return Err("the C half can't be set up".to_owned());
            }
            move || function(bench, calls, row.score)
        };
        let mut now = 0;
        let mut in_rust = || (row.in_rust)(&breaker, &mut now, calls, row.score);
        let time = |run: &mut dyn FnMut() -> u64| {
            let began = Instant::now();
            let made = run();
            assert_eq!(made, calls, "{}: all calls go the same way", row.name);
            began.elapsed().as_nanos() as f64 / calls as f64
        };
        let (mut c, mut rust) = (Vec::new(), Vec::new());
        for sample in 0..samples + 5 {
            let (first, second) = (time(&mut in_c), time(&mut in_rust));
            // The first ones warm up.
            if sample >= 5 {
                c.push(first);
                rust.push(second);
            }
        }
        let (c, rust) = (median(c), median(rust));
        let ratio = c / rust;
        let verdict = if ratio <= GOAL { "MET" } else { "MISSED" };
        met &= ratio <= GOAL;
        lines.push((row.name, c, rust, ratio, verdict));
    }
    if json {
        let rows: Vec<_> = lines
            .iter()
            .map(|(name, c, rust, ratio, verdict)| {
                serde_json::json!({
                    "row": name, "c_ns": c, "rust_ns": rust, "ratio": ratio, "goal": GOAL, "verdict": verdict,
                })
            })
            .collect();
        println!("{}", serde_json::Value::from(rows));
    } else {
        println!("{:<44} {:>8} {:>8} {:>7}  goal <= {GOAL}", "medians, ns a call", "C", "Rust", "ratio");
        for (name, c, rust, ratio, verdict) in lines {
            println!("{name:<44} {c:>8.1} {rust:>8.1} {ratio:>7.2}  {verdict}");
        }
    }
    Ok(met)
}

fn main() -> ExitCode {
    match run() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
