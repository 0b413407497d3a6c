//! The target `trace`: any bytes are a trace under any mapping, and its reader says which lines are bad, keeps its bounds,
//! and reads the same however the bytes come.
//!
//! An input is the mapping's arguments, separated by `;`, up to the first line feed (an empty line is the trace's own
//! format), then the trace, plain or compressed.

use softfuse_trace::{
    Call, Error, Fault, LATE_SCORES_MAX, LINE_BYTES_MAX, LineError, MapArg, Mapping, Parsed, REORDERED_BYTES_MAX,
    REORDERED_LINES_MAX, Reader, SCORE_MAX, Source, VERDICTS_MAX,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

/// Most calls and bad lines of one input: a compressed one may have very many.
const STEPS_MAX: usize = 20_000;
/// Instants lie within 146 years of the origin.
const INSTANT_NANOS_MAX: u64 = i64::MAX as u64 / 2;
/// The longest `Retry-After`, and the longest latency where no end was given in its place.
const SPAN_NANOS_MAX: u64 = 30 * 86_400 * 1_000_000_000;
/// The most that a message shows of a value, in characters: a glance of 40, and three dots.
const GLANCE_CHARS_MAX: usize = 43;
/// The largest call: all of a longest line are verdicts, and there is room for as many as may be.
const CALL_BYTES_MAX: usize = LINE_BYTES_MAX + (64 << 10);
/// The name that messages give the trace.
const NAME: &str = "fuzz.jsonl";

/// What an input came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reached {
    /// The mapping was refused.
    pub bad_mapping: bool,
    /// It was compressed, as far as its first bytes tell.
    pub compressed: bool,
    /// Calls that were read.
    pub calls: usize,
    /// Of them: those with late scores or verdicts.
    pub rich: usize,
    /// Calls with a date.
    pub dated: bool,
    /// Bad lines.
    pub bad_lines: usize,
    /// Of them: those that came too late to be put in order.
    pub disorder: usize,
    /// The file broke off.
    pub broken: bool,
}

/// A step of a reader, as far as it can be compared.
#[derive(Debug, PartialEq)]
enum Step {
    Call(Call),
    Bad(LineError),
    Broken(String),
}

/// Checks one input.
///
/// # Panics
/// Where something doesn't hold.
pub fn run(bytes: &[u8]) -> Reached {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (map, trace) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let Some(args) = mapping(map) else { return Reached { bad_mapping: true, ..Reached::default() } };
    let whole = read(&args, trace, usize::MAX);
    // As a slow pipe hands it over, in pieces that fall across everything.
    let pieces = read(&args, trace, 1 + trace.len() % 7);
    check_same(&whole, &pieces);
    check_order(&whole);
    let count = |is: fn(&Step) -> bool| whole.steps.iter().filter(|step| is(step)).count();
    Reached {
        bad_mapping: false,
        compressed: [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"].iter().any(|m| trace.starts_with(m)),
        calls: count(|step| matches!(step, Step::Call(_))),
        rich: count(
            |step| matches!(step, Step::Call(call) if !call.late_scores.is_empty() || !call.verdicts.is_empty()),
        ),
        dated: whole.dated,
        bad_lines: count(|step| matches!(step, Step::Bad(_))),
        disorder: count(|step| matches!(step, Step::Bad(bad) if matches!(bad.problem.fault, Fault::Disorder(_)))),
        broken: count(|step| matches!(step, Step::Broken(_))) > 0,
    }
}

/// The mapping's arguments; none where one is refused, with a reason.
fn mapping(text: &[u8]) -> Option<Vec<MapArg>> {
    let text = std::str::from_utf8(text).ok()?;
    let args = text.split(';').filter(|arg| !arg.is_empty()).map(|arg| {
        let parsed = arg.parse::<MapArg>();
        assert_eq!(parsed, arg.parse(), "parsing twice differs");
        parsed.map_err(|error| assert!(!error.to_string().is_empty(), "refused without a reason: {error:?}")).ok()
    });
    args.collect()
}

/// All that a reader has to say of a trace.
struct Told {
    steps: Vec<Step>,
    dated: bool,
    unused: Vec<String>,
    lines: u64,
}

/// Reads a trace that comes in pieces of so many bytes, and checks each step.
fn read(args: &[MapArg], trace: &[u8], piece_bytes: usize) -> Told {
    let source = Source::new(NAME, Pieces { bytes: io::Cursor::new(trace.to_vec()), piece_bytes });
    let source = source.unwrap_or_else(|error| panic!("bytes in memory can't be read: {error}"));
    let mut reader = Reader::new(source, Mapping::new(args));
    let mut steps = Vec::new();
    while steps.len() < STEPS_MAX {
        let step = reader.next(&mut |parsed| score(parsed));
        let (lines, bytes) = reader.held();
        // A large call may outweigh several that have to come out for it, one a step.
        let within = lines <= REORDERED_LINES_MAX && bytes <= REORDERED_BYTES_MAX + CALL_BYTES_MAX;
        assert!(within, "{lines} calls, {bytes} bytes are held");
        let line = reader.source().line();
        match step {
            Ok(None) => break,
            Ok(Some(call)) => {
                check_call(&call, line);
                steps.push(Step::Call(call));
            }
            Err(Error::Line(bad)) => {
                check_bad(&bad, line);
                steps.push(Step::Bad(*bad));
            }
            Err(error @ Error::Read { .. }) => {
                let shown = error.to_string();
                assert_eq!(shown, format!("can't read {NAME} on after line {line}"));
                steps.push(Step::Broken(shown));
            }
            Err(error) => panic!("an open trace can't be opened: {error}"),
        }
    }
    if steps.len() < STEPS_MAX {
        assert!(matches!(reader.next(&mut |_| None), Ok(None)), "it goes on behind its end");
        assert_eq!(reader.held(), (0, 0), "calls were held back for ever");
    }
    let unused = reader.unused_mappings().map(|unused| unused.to_string()).collect();
    Told { steps, dated: reader.is_dated(), unused, lines: reader.source().line() }
}

/// The same bytes tell the same, however they come. Where compressed ones are damaged, a decoder that is given more of them at
/// once gives up sooner: then the lines that both have read are compared.
fn check_same(whole: &Told, pieces: &Told) {
    let [whole_broken, pieces_broken] =
        [whole, pieces].map(|told| told.steps.iter().any(|step| matches!(step, Step::Broken(_))));
    assert_eq!(whole_broken, pieces_broken, "only one of them broke off");
    if !whole_broken {
        assert_eq!(whole.steps, pieces.steps, "the same bytes in pieces give another trace");
        let rest = |told: &Told| (told.dated, told.unused.clone(), told.lines);
        assert_eq!(rest(whole), rest(pieces));
        return;
    }
    let lines = whole.lines.min(pieces.lines);
    let of_both = |told: &Told| -> BTreeMap<u64, String> {
        let shown = |step: &Step| match step {
            Step::Call(call) => Some((call.line, format!("{call:?}"))),
            Step::Bad(bad) => Some((bad.line, bad.to_string())),
            Step::Broken(_) => None,
        };
        told.steps.iter().filter_map(shown).filter(|(line, _)| *line <= lines).collect()
    };
    assert_eq!(of_both(whole), of_both(pieces), "the same lines of a broken file differ");
}

/// What a scorer would look at is JSON, whatever else is wrong with the line.
fn score(parsed: &Parsed<'_>) -> Option<f64> {
    assert_eq!(parsed.call.score, None, "asked for a score that is there");
    let exchange = parsed.exchange.as_ref()?;
    for raw in exchange.request.into_iter().chain([exchange.response]) {
        let json: Result<&serde_json::value::RawValue, _> = serde_json::from_str(raw.get());
        assert!(json.is_ok_and(|json| json.get() == raw.get()), "an exchange that is no JSON: {}", raw.get());
        assert_ne!(raw.get(), "null", "null is nothing");
    }
    // Whatever it is, it is the same each time.
    Some(exchange.response.get().len() as f64 % 11.0 / 10.0)
}

fn check_call(call: &Call, lines: u64) {
    assert!((1..=lines).contains(&call.line), "line {} of {lines}", call.line);
    assert!(call.at.unsigned_abs() <= INSTANT_NANOS_MAX, "it began at {}", call.at);
    let end = call.at.checked_add_unsigned(call.latency);
    assert!(call.latency <= SPAN_NANOS_MAX || end.is_some_and(|end| end.unsigned_abs() <= INSTANT_NANOS_MAX));
    assert!(call.retry_after.is_none_or(|span| span <= SPAN_NANOS_MAX), "{:?}", call.retry_after);
    assert!(call.late_scores.len() <= LATE_SCORES_MAX && call.verdicts.len() <= VERDICTS_MAX, "{call:?}");
    let scores = call.score.into_iter().chain(call.late_scores.iter().map(|late| late.score));
    // NaN is in no range.
    assert!(scores.into_iter().all(|score| (-SCORE_MAX..=SCORE_MAX).contains(&score)), "{call:?}");
    assert!(call.late_scores.iter().all(|late| late.after <= SPAN_NANOS_MAX), "{call:?}");
}

fn check_bad(bad: &LineError, line: u64) {
    assert_eq!((bad.trace.as_str(), bad.line), (NAME, line), "the line that was read last is the bad one");
    let shown = bad.to_string();
    let place = bad.problem.column.map_or(format!("{NAME}:{line}: "), |column| format!("{NAME}:{line}:{column}: "));
    assert!(shown.starts_with(&place) && shown.len() > place.len(), "{shown}");
    assert_ne!(bad.problem.column, Some(0), "columns count from 1: {shown}");
    if let Some(field) = bad.problem.field {
        assert!(shown[place.len()..].starts_with(field.name()), "names another field: {shown}");
    }
    let line_as_a_whole = matches!(bad.problem.fault, Fault::NoObject(_) | Fault::TooLong);
    assert_eq!(bad.problem.field.is_none(), line_as_a_whole, "{shown}");
    match &bad.problem.fault {
        Fault::Unexpected { expected, found } => {
            assert!(!expected.is_empty() && !found.is_empty(), "{shown}");
            assert!(found.chars().count() <= GLANCE_CHARS_MAX, "a glance is enough: {shown}");
        }
        Fault::TooMany { found, most, .. } => assert!(found > most, "{shown}"),
        Fault::Disorder(nanos) => assert!(*nanos > 0, "{shown}"),
        _ => {}
    }
}

/// Calls come in the order of their beginnings, those of one instant in that of their lines, and no line twice.
fn check_order(told: &Told) {
    let mut seen = BTreeSet::new();
    let mut last = None;
    for step in &told.steps {
        let line = match step {
            Step::Call(call) => {
                assert!(last < Some((call.at, call.line)), "{last:?}, then {:?}", (call.at, call.line));
                last = Some((call.at, call.line));
                call.line
            }
            Step::Bad(bad) => bad.line,
            Step::Broken(_) => continue,
        };
        assert!(seen.insert(line), "line {line} came twice");
    }
}

/// Bytes that come in pieces.
struct Pieces {
    bytes: io::Cursor<Vec<u8>>,
    piece_bytes: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.piece_bytes.min(buffer.len());
        self.bytes.read(&mut buffer[..most])
    }
}
