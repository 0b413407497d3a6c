//! Reading lines: the trace's own format, other people's, and what is wrong with bad ones.

use crate::call::parse;
use crate::{Call, Error, Fault, Field, LateScore, Line, MapArg, Mapping, OutcomeKind, Reader, Source};
use std::io::{self, Read};

fn mapping(args: &[&str]) -> Mapping {
    Mapping::new(&args.iter().map(|arg| arg.parse().unwrap()).collect::<Vec<MapArg>>())
}

fn problem(line: &str, args: &[&str]) -> String {
    parse(line.as_bytes(), 1, &mut mapping(args)).unwrap_err().to_string()
}

#[test]
fn reads_the_own_format() {
    let line = r#"{"at_ms":873.1,"latency_ms":1154.8,"outcome":"rate-limited","score":0.25,"retry_after_ms":2000,
        "late_scores":[{"after_ms":10,"score":-1}],"verdicts":{"b":null,"a":"because"},"model":"m","operation":"chat",
        "request":{"x":1},"response":{"y":[1, 2]},"phase":"healthy"}"#;
    let mut own = mapping(&[]);
    let parsed = parse(line.as_bytes(), 7, &mut own).unwrap();
    assert!(!parsed.dated);
    let call = parsed.call;
    assert_eq!((call.line, call.at, call.latency), (7, 873_100_000, 1_154_800_000));
    assert_eq!((call.kind, call.score), (OutcomeKind::RateLimited, Some(0.25)));
    assert_eq!(call.retry_after, Some(2_000_000_000));
    assert_eq!(call.late_scores, [LateScore { after: 10_000_000, score: -1.0 }]);
    assert_eq!(call.verdicts, [("a".to_owned(), Some("because".to_owned())), ("b".to_owned(), None)]);
    let exchange = parsed.exchange.unwrap();
    assert_eq!((exchange.operation.as_str(), exchange.model.as_str()), ("chat", "m"));
    assert_eq!(exchange.request.unwrap().get(), r#"{"x":1}"#);
    assert_eq!(exchange.response.get(), r#"{"y":[1, 2]}"#);
}

#[test]
fn reads_litellm_payloads() {
    let line = r#"{"id":"x","call_type":"acompletion","status":"failure","startTime":1700000000.5,"endTime":1700000002.0,
        "response_time":1.5,"model":"gpt-4o","error_str":"litellm.RateLimitError: slow down",
        "error_information":{"error_code":"429","error_class":"RateLimitError"},"response":{}}"#;
    let mut litellm = mapping(&["litellm"]);
    let parsed = parse(line.as_bytes(), 1, &mut litellm).unwrap();
    assert_eq!((parsed.call.at, parsed.call.latency), (1_700_000_000_500_000_000, 1_500_000_000));
    assert_eq!(parsed.call.kind, OutcomeKind::RateLimited);
    assert_eq!(parsed.exchange.unwrap().operation, "acompletion");

    // A success says nothing of errors, or says it with empty texts; without `response_time` the end counts.
    let line = r#"{"status":"success","startTime":1700000000.5,"endTime":1700000002.0,"error_str":null,
        "error_information":{"error_code":"","error_class":""},"model":"gpt-4o","response":"Paris"}"#;
    let parsed = parse(line.as_bytes(), 2, &mut litellm).unwrap();
    assert_eq!((parsed.call.latency, parsed.call.kind), (1_500_000_000, OutcomeKind::Success));
    let unused: Vec<&str> = litellm.unused().map(|unused| unused.field.name()).collect();
    assert_eq!(unused, ["request"]);
}

#[test]
fn reads_dates_and_statuses() {
    let line = r#"{"time":"2026-01-31T12:00:00.25Z","took":"340ms","http":{"status":529}}"#;
    let mut log = mapping(&["at_ms=time,latency_ms=took", "outcome=http.status"]);
    let parsed = parse(line.as_bytes(), 1, &mut log).unwrap();
    assert!(parsed.dated && parsed.exchange.is_none());
    assert_eq!((parsed.call.latency, parsed.call.kind), (340_000_000, OutcomeKind::Overloaded));
    // The log says nothing where there was no error.
    let parsed = parse(br#"{"time":"2026-01-31T12:00:01Z","took":0.1,"http":null}"#, 2, &mut log).unwrap();
    assert_eq!(parsed.call.kind, OutcomeKind::Success);
}

#[test]
fn names_the_field_and_what_would_be_right() {
    for (line, args, said) in [
        ("{", &[][..], "this is no JSON object: EOF"),
        ("[1]", &[], "this is no JSON object: invalid type: sequence, expected a JSON object"),
        (r#"{"latency_ms":1,"outcome":"success"}"#, &[], "at_ms: the field is missing"),
        (r#"{"at_ms":0,"outcome":"success"}"#, &[], "latency_ms: the field is missing"),
        (r#"{"at_ms":0,"latency_ms":1}"#, &[], "outcome: the field is missing"),
        (r#"{"at_ms":true,"latency_ms":1,"outcome":"success"}"#, &[], "at_ms: expected a number of milliseconds or"),
        (r#"{"at_ms":0,"latency_ms":-1,"outcome":"success"}"#, &[], "latency_ms: expected a number of milliseconds"),
        (r#"{"at_ms":0,"latency_ms":1,"outcome":"great"}"#, &[], "outcome: expected one of success, error, timeout"),
        (r#"{"at_ms":0,"latency_ms":1,"outcome":"success","score":2e6}"#, &[], "score: expected a number of at most"),
        (r#"{"at_ms":0,"latency_ms":1,"outcome":"success","score":"NaN"}"#, &[], "score: expected a number of at most"),
        (
            r#"{"at_ms":0,"latency_ms":1,"outcome":"success","late_scores":[{"after_ms":1}]}"#,
            &[],
            "late_scores: expected a list such as",
        ),
        (
            r#"{"at_ms":0,"latency_ms":1,"outcome":"success","verdicts":[1]}"#,
            &[],
            "verdicts: expected an object such as",
        ),
        (r#"{"t":0,"d":1}"#, &["at_ms=t,latency_ms=x|y"], "latency_ms: the line has no `x` or `y`"),
        (r#"{"t":"noon","d":1}"#, &["at_ms=t"], "at_ms (t): expected a number of milliseconds or a time such as"),
        (r#"{"t":5,"e":4}"#, &["at_ms=t,end_ms=e"], "end_ms: the call ends before it begins"),
        (r#"{"t":5,"d":1,"s":700}"#, &["at_ms=t,latency_ms=d,outcome=s"], "outcome (s): expected an HTTP status"),
    ] {
        let problem = problem(line, args);
        assert!(problem.starts_with(said), "{line}: {problem}");
    }
}

/// Hands over so many bytes at a time, as a slow pipe does.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.1.min(buffer.len());
        self.0.read(&mut buffer[..most])
    }
}

fn lines(bytes: &'static [u8], at_a_time: usize) -> Result<Vec<String>, Error> {
    let mut source = Source::new("test", Dripping(bytes, at_a_time))?;
    let (mut lines, mut buffer) = (Vec::new(), Vec::new());
    while source.next(&mut buffer)? == Line::Read {
        lines.push(String::from_utf8_lossy(&buffer).into_owned());
    }
    Ok(lines)
}

fn zstd(text: &str) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
}

/// A frame that decoders pass over (RFC 8878, section 3.1.2).
fn skipped(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&[0x50 | kind, 0x2a, 0x4d, 0x18], &length.to_le_bytes()[..], content].concat()
}

#[test]
fn zstandard_frames_to_be_skipped_are() {
    // pzstd puts one of 4 bytes before each frame; a seekable file ends with its table of frames.
    let parts = [
        skipped(0, &[9, 0, 0, 0]),
        zstd("one\ntw"),
        skipped(0, &[]),
        skipped(15, &[7; 300_000]),
        zstd("o\nthree\n"),
        zstd(""),
        skipped(14, b"table"),
    ];
    let bytes: &'static [u8] = parts.concat().leak();
    for at_a_time in [1, 3, 1 << 20] {
        assert_eq!(lines(bytes, at_a_time).unwrap(), ["one", "two", "three"], "{at_a_time} bytes at a time");
    }
    let alone: &'static [u8] = skipped(3, b"nothing else").leak();
    assert!(lines(alone, 5).unwrap().is_empty());
    // Cut anywhere behind its first frame, it is told as such, and not taken for the end.
    let frames = parts[..2].concat().len();
    for end in [frames + 1, frames + 7, frames + 8 + 8 + 299_999, bytes.len() - 1] {
        let error = lines(&bytes[..end], 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "cut at {end}: {error:?}");
    }
}

#[test]
fn compression_is_told_from_the_first_bytes_however_they_come() {
    let mut gzip = flate2::read::GzEncoder::new(&b"one\r\ntwo"[..], flate2::Compression::fast());
    let mut compressed = Vec::new();
    gzip.read_to_end(&mut compressed).unwrap();
    for bytes in [b"\xef\xbb\xbfone\ntwo\n".to_vec(), compressed, zstd("one\ntwo")] {
        let bytes: &'static [u8] = bytes.leak();
        for at_a_time in [1, 2, 1 << 20] {
            assert_eq!(lines(bytes, at_a_time).unwrap(), ["one", "two"], "{at_a_time} bytes at a time");
        }
    }
    assert!(lines(b"", 1).unwrap().is_empty());
    assert!(matches!(lines(b"\x1f\x8bno gzip", 1), Err(Error::Read { line: 0, .. })));
}

#[test]
fn a_bad_line_is_data_and_the_next_one_is_read() {
    let text = "{\"at_ms\":1,\"latency_ms\":1,\"outcome\":\"success\"}\n\n{\"at_ms\":\"noon\"}\n[]\n{\"at_ms\":2}";
    let mut reader = Reader::new(Source::new("t", text.as_bytes()).unwrap(), Mapping::new(&[]));
    let mut next = || reader.next(&mut |_| Some(0.5));
    let mut bad = |line: u64| match next() {
        Err(Error::Line(bad)) if bad.trace == "t" && bad.line == line => bad.problem,
        other => panic!("line {line}: {other:?}"),
    };
    let problem = bad(3);
    assert_eq!((problem.field, problem.path.as_deref(), problem.column), (Some(Field::At), None, None));
    assert!(matches!(problem.fault, Fault::Unexpected { found, .. } if found == "\"noon\""));
    let problem = bad(4);
    assert!(matches!(problem.fault, Fault::NoObject(_)) && problem.field.is_none());
    assert_eq!(bad(5).fault, Fault::Missing(None));
    let call = next().unwrap().unwrap();
    assert!(matches!(call, Call { line: 1, score: Some(0.5), .. }));
    assert!(next().unwrap().is_none() && next().unwrap().is_none());
}

#[test]
fn what_was_held_back_comes_when_a_file_breaks_off() {
    let line = "{\"at_ms\":1,\"latency_ms\":1,\"outcome\":\"success\"}\n";
    let whole = zstd(&line.repeat(3));
    // The last frame lacks its end.
    let broken: &'static [u8] = [whole.clone(), whole[..whole.len() - 3].to_vec()].concat().leak();
    let mut reader = Reader::new(Source::new("t", broken).unwrap(), Mapping::new(&[]));
    assert!(matches!(reader.next(&mut |_| None), Err(Error::Read { line: 3, .. })));
    let mut calls = 0;
    while reader.next(&mut |_| None).unwrap().is_some() {
        calls += 1;
    }
    assert_eq!(calls, 3);
}

/// Whoever reads traces may do so on a thread of its own.
#[test]
fn readers_and_their_errors_move_between_threads() {
    fn moves<T: Send + 'static>() {}
    moves::<Reader>();
    moves::<Error>();
}
