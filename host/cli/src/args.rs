//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use softfuse_trace::MapArg;

use crate::scorer::new::{Language, ProjectName};
use crate::scoring::{ComponentArg, ConfiguredArg, ScorerArg};

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  problems were found: in a policy, a trace, a scorer, an exchange or a breaker component
  2  wrong usage, or a file that can't be read or written";

/// A circuit breaker that trips on bad answers: check policies, replay traces, run scorers.
#[derive(Debug, Parser)]
#[command(name = "softfuse", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) color: colorchoice_clap::Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check policies: every problem at once, with file, line, key, and the nearest key that exists
    Check(CheckArgs),
    /// Replay a trace through the breaker: when it would have tripped, why, and what it would have refused
    Replay(Box<ReplayArgs>),
    /// Begin, build, test, run, time or inspect a scorer
    #[command(subcommand)]
    Scorer(ScorerCommand),
    /// Write the breaker component, the built-in scorers and the WIT files, for other hosts to load
    Components(ComponentsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct CheckArgs {
    /// Policy files (TOML); `-` is standard input
    #[arg(required = true, value_name = "POLICY")]
    pub(crate) policies: Vec<PathBuf>,
    /// Write one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Another breaker component in place of the one that comes with the program
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) breaker: Option<PathBuf>,
}

const REPLAY_HELP: &str = r#"Trace format: JSON lines, one call a line, sorted by at_ms (4,096 lines of disorder are tolerated):
  {"at_ms": 873.1, "latency_ms": 1154.8, "outcome": "success", "score": 0.8}
    at_ms           when the call began, in milliseconds from any origin, or a time (RFC 3339)
    latency_ms      how long it took; or end_ms, when it ended
    outcome         success, error, timeout, rate-limited, overloaded, cancelled, content-policy, bad-request
  and where there is one:
    score           the answer's quality; without it the scorers look at the response
    late_scores     [{"after_ms": 2000, "score": 0.4}], scores that came so long after the end
    retry_after_ms  what the service asked for
    verdicts        {"name": "reason" or null}, for policies with conditions of the host's own
    operation, model, request, response  the exchange, for scorers
  Other keys are ignored. gzip and Zstandard are read as they are.

Other people's logs: --map FIELD=PATH[:UNIT],...
    PATH  dotted, as in response.usage.total or choices.0.text; of a|b the first that is there
    UNIT  s, ms, us, ns for times; `failed` for an outcome where true means failure
    An outcome may be a name, an HTTP status (1xx-3xx success; 429 rate-limited; 503, 529 overloaded; 408, 504 timeout;
    499 cancelled; 451 content-policy; 401-404, 407 error; other 4xx bad-request; other 5xx error), true or false,
    or an exception's name or text; a line without one is a success.
  --map litellm  LiteLLM's standard logging payload; the same as
    at_ms=startTime:s,end_ms=endTime:s,latency_ms=response_time:s,operation=call_type,request=model_parameters,
    outcome=error_information.error_class|error_information.error_code|error_str|status

Examples:
  softfuse replay examples/traces/smollm2.jsonl --policy examples/policies/llm.toml --plot replay.svg
  softfuse replay litellm.jsonl.gz --map litellm -p strict.toml -p lenient.toml
  zcat gateway.log.gz | softfuse replay - --map at_ms=time,latency_ms=took:s,outcome=status -p policy.toml

Exit codes:
  0  the trace was replayed, whether or not a breaker tripped
  1  problems were found in a policy, the trace or a scorer, or the breaker component failed
  2  wrong usage, or a file that can't be read or written"#;

#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub(crate) struct ReplayArgs {
    /// The trace: JSON lines, plain or compressed; `-` is standard input
    pub(crate) trace: PathBuf,
    /// A policy file; given several times, the policies are compared side by side
    #[arg(long, short, required = true, value_name = "POLICY")]
    pub(crate) policy: Vec<PathBuf>,
    /// Where a log of another format has its fields: FIELD=PATH[:UNIT],... or a preset: litellm
    #[arg(long, value_name = "MAP")]
    pub(crate) map: Vec<MapArg>,
    /// Who scores lines without a score: auto, none, text, logprobs, embedding, or FILE.wasm; with `:CONFIG.toml`
    /// behind it, configured by that file. `auto` takes the first built-in scorer that knows the answer's form, token
    /// log-probabilities before text. Used where a policy looks at scores [default: auto]
    #[arg(long, value_name = "SCORER")]
    pub(crate) scorer: Vec<ScorerArg>,
    /// What several scorers' scores come to
    #[arg(long, value_enum, default_value_t)]
    pub(crate) scorer_combine: Combine,
    /// Count bad lines instead of ending at the first
    #[arg(long)]
    pub(crate) skip_bad_lines: bool,
    /// Draw quality, errors, latency and the state over time
    #[arg(long, value_name = "OUT.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Write one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Another breaker component in place of the one that comes with the program
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) breaker: Option<PathBuf>,
}

/// What several scorers' scores come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Combine {
    /// The least: an answer is as good as the worst that is found in it.
    #[default]
    Min,
    /// The mean.
    Mean,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScorerCommand {
    /// Write a project that builds a scorer of your own, with its test
    New(ScorerNewArgs),
    /// Run a scorer's own cases
    Test(ScorerTestArgs),
    /// Score an exchange, or every line of a trace
    Run(ScorerRunArgs),
    /// Time a scorer: compiling, starting, a reused instance and a fresh one
    Bench(ScorerBenchArgs),
    /// Show a component's imports, exports, size and metadata, and whether it would be loaded as a scorer
    Inspect(ScorerInspectArgs),
    /// Make a scorer component of a core module, as compilers of C, Go and Rust write them
    Componentize(ScorerComponentizeArgs),
}

const EXCHANGE_HELP: &str = r#"An exchange is a JSON object, or several, a line each, as in a trace:
  {"operation": "chat", "model": "m", "request": {...}, "response": {...}, "metadata": {"name": "value"}}
A response that is a text is the answer itself. A file with a key `choices`, `data` or `output` and without `response` is
taken for the response. A trace's calls without a response, as those that failed, are passed over, and counted.

Exit codes:
  0  every exchange got a score or was abstained from
  1  the scorer failed, or an exchange is wrong
  2  wrong usage, or a file that can't be read"#;

#[derive(Debug, Args)]
#[command(after_help = EXCHANGE_HELP)]
pub(crate) struct ScorerRunArgs {
    /// text, logprobs, embedding, or FILE.wasm; with `:CONFIG.toml` behind it, configured by that file
    pub(crate) scorer: ConfiguredArg,
    /// An exchange (JSON), or a trace (JSON lines); `-` is standard input
    pub(crate) exchange: PathBuf,
    /// The scorer's configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Write JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXCHANGE_HELP)]
pub(crate) struct ScorerBenchArgs {
    /// text, logprobs, embedding, or FILE.wasm; with `:CONFIG.toml` behind it, configured by that file
    pub(crate) scorer: ConfiguredArg,
    /// An exchange (JSON), or a trace (JSON lines), whose exchanges are taken in turn
    pub(crate) exchange: PathBuf,
    /// The scorer's configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How often it is called for each figure
    #[arg(long, short = 'n', default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) calls: u32,
    /// Write one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ScorerInspectArgs {
    /// text, logprobs, embedding, or FILE.wasm
    pub(crate) component: ComponentArg,
    /// Write one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const NEW_HELP: &str = "\
The project has the scorer's source, the contract, the versions of its tools, a README, cases, and one command that builds it:
  sh build.sh && softfuse scorer test

Exit codes:
  0  the project was written
  2  wrong usage, or the folder is there already, or can't be written";

#[derive(Debug, Args)]
#[command(after_help = NEW_HELP)]
pub(crate) struct ScorerNewArgs {
    /// The scorer's name: small letters, digits and hyphens, as in `polite-answers`
    pub(crate) name: ProjectName,
    /// The language that it is written in
    #[arg(long, value_enum)]
    pub(crate) lang: Language,
    /// The project's folder, which must not be there, or be empty [default: the name]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

const TEST_HELP: &str = r#"Cases are TOML, an exchange each with what is expected of the scorer:
  config = "limit = 3"          # of all cases without one of their own
  [[case]]
  name = "a good answer"
  request = "Where is Paris?"   # and operation, model, metadata = { name = "value" }, config
  answer = "In France."         # or { content_type = "text/plain", text = "...", truncated = true }; bytes = [0, 255] for text
  score = 1                     # or { at_least = 0.8, at_most = 1 }
Instead of `score`, one of
  abstains = "part of why"      malformed = "part of what it says"     fails = "part of any other failure"
  misconfigured = "part of what it says of its configuration"; without an answer

Exit codes:
  0  every case passed
  1  one failed, or the cases or the scorer are wrong
  2  wrong usage, or there is no component, or there are no cases"#;

#[derive(Debug, Args)]
#[command(after_help = TEST_HELP)]
pub(crate) struct ScorerTestArgs {
    /// A project, whose component lies in `dist/` and whose cases are `cases.toml`; a component; or text, logprobs, embedding
    #[arg(default_value = ".", value_name = "PROJECT|FILE.wasm")]
    pub(crate) target: PathBuf,
    /// The cases
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) cases: Option<PathBuf>,
    /// The configuration of cases that have none of their own, in place of the one in their file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Give every case an instance of its own
    #[arg(long)]
    pub(crate) fresh: bool,
    /// How long a case may take, in milliseconds [default: 1000, as in a service]
    #[arg(long, value_name = "MS")]
    pub(crate) deadline_ms: Option<u64>,
    /// How long the scorer may take to start and read its configuration, in milliseconds [default: 10000]
    #[arg(long, value_name = "MS")]
    pub(crate) start_deadline_ms: Option<u64>,
    /// Write one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const COMPONENTIZE_HELP: &str = "\
What the module imports of WASI (preview 1 or 0.2) is answered inside the component: no arguments, no environment, no files, a clock
that counts its readings, the same bytes for randomness each time. So the component imports nothing, and one core module does
all the work. An `_initialize` that the module exports is called when it is started.

Exit codes:
  0  the component was written
  1  the module is none, imports anything else, or doesn't export what a scorer does
  2  wrong usage, or a file that can't be read or written";

#[derive(Debug, Args)]
#[command(after_help = COMPONENTIZE_HELP)]
pub(crate) struct ScorerComponentizeArgs {
    /// The core module: as `go build -buildmode=c-shared`, a C compiler or rustc (with --skip-wit-component) make it
    #[arg(value_name = "MODULE.wasm")]
    pub(crate) module: PathBuf,
    /// The component; its folder is made if it isn't there
    #[arg(long, short, value_name = "OUT.wasm")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ComponentsArgs {
    /// The folder; it is made if it isn't there
    pub(crate) dir: PathBuf,
    /// Write over files that differ
    #[arg(long)]
    pub(crate) force: bool,
}
