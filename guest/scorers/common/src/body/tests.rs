//! The three forms, cut at every place, and what tries to outgrow the bounds.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{DOCUMENT_BYTES_MAX, EVENT_BYTES_MAX, Part, Reader};
use crate::exchange::{End, ScoreError, Verdict};

/// Everything that a reader hands out, texts joined, as one string each.
fn parts(content_type: &str, pieces: &[&[u8]], end: End) -> Result<(Vec<String>, bool), ScoreError> {
    let mut found: Vec<String> = Vec::new();
    let mut in_text = false;
    let mut take = |part: Part<'_>| {
        match part {
            Part::Text(text) if in_text => found.last_mut().expect("a text").push_str(text),
            Part::Text(text) => found.push(format!("text {text}")),
            Part::Event(data) => found.push(format!("event {}", String::from_utf8_lossy(data))),
            Part::Document { bytes, declared } => {
                found.push(format!("document {declared} {}", String::from_utf8_lossy(bytes)));
            }
            Part::LostDocument => found.push("lost".into()),
        }
        in_text = matches!(part, Part::Text(_));
        Ok(None)
    };
    let mut reader = Reader::new(content_type);
    for piece in pieces {
        assert_eq!(reader.push(piece, &mut take)?, None);
    }
    assert_eq!(reader.finish(end, &mut take)?, None);
    Ok((found, reader.is_done()))
}

fn whole(content_type: &str, bytes: &[u8]) -> Vec<String> {
    parts(content_type, &[bytes], End::Complete).expect("readable").0
}

#[test]
fn content_types_choose_the_form() {
    assert_eq!(whole("text/plain; charset=utf-8", b"{}"), ["text {}"]);
    assert_eq!(whole("Application/JSON", b"{}"), ["document true {}"]);
    assert_eq!(whole("application/problem+json; a=b", b"x"), ["document true x"]);
    assert_eq!(whole("text/event-stream", b"data: a\n\n"), ["event a"]);
}

#[test]
fn without_a_content_type_the_first_bytes_tell() {
    assert_eq!(whole("", b" \n{}"), ["document false  \n{}"]);
    assert_eq!(whole("", b"data: a\n\n"), ["event a"]);
    assert_eq!(whole("", b"dat"), ["text dat"]);
    assert_eq!(whole("", b"database"), ["text database"]);
    assert_eq!(whole("", b"hello"), ["text hello"]);
    assert_eq!(whole("", b""), [] as [&str; 0]);
}

#[test]
fn what_is_no_text_is_nobodys_business() {
    let verdict = Reader::new("image/png").push(b"\x89PNG", &mut |_| Ok(None)).expect("no error");
    assert!(matches!(verdict, Some(Verdict::Abstain(why)) if why.contains("image/png")));
    let verdict = Reader::new("image/png").finish(End::Complete, &mut |_| Ok(None)).expect("no error");
    assert!(matches!(verdict, Some(Verdict::Abstain(_))));
}

#[test]
fn events_by_the_book_and_as_they_come() {
    let text = b"\xef\xbb\xbf: a comment\nevent: delta\nid: 7\ndata: one\ndata:two\r\n\r\ndata:  three\r\rdata\n\ndata: [DONE]\n\ndata: late\n\n";
    let (found, done) = parts("text/event-stream", &[text], End::Complete).expect("readable");
    assert_eq!(found, ["event one\ntwo", "event  three"]);
    assert!(done);
    // The last blank line is missing, the last line feed as well.
    assert_eq!(whole("text/event-stream", b"data: a\n\ndata: b"), ["event a", "event b"]);
    assert!(parts("text/event-stream", &[b"data: [DONE]"], End::Complete).expect("readable").1);
    // Half an event of a stream that broke off is none.
    let (found, done) = parts("text/event-stream", &[b"data: a\n\ndata: b"], End::Broken).expect("readable");
    assert_eq!((found, done), (Vec::from([String::from("event a")]), false));
}

#[test]
fn every_cut_gives_the_same_parts() {
    let cases: [(&str, &[u8]); 5] = [
        ("text/plain", "Grüße, 世界 🦀!".as_bytes()),
        ("", "  Grüße, 世界 🦀!".as_bytes()),
        ("text/event-stream", "data: ä\r\ndata: b\r\n\r\n\ndata: c\r\rdata: [DONE]\n\n".as_bytes()),
        ("", b"data: a\n\ndata: b\n\n"),
        ("", b" [1, 2]"),
    ];
    for (content_type, bytes) in cases {
        let expected = parts(content_type, &[bytes], End::Complete).expect("readable");
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(parts(content_type, &pieces, End::Complete), Ok(expected.clone()), "{first} {second}");
            }
        }
    }
}

#[test]
fn half_characters_are_wrong_only_where_nothing_is_missing() {
    let half = &"né".as_bytes()[..2];
    assert!(matches!(parts("text/plain", &[half], End::Complete), Err(ScoreError::Malformed(_))));
    assert_eq!(parts("text/plain", &[half], End::Cut).expect("readable").0, ["text n"]);
    for end in [End::Complete, End::Cut, End::Broken] {
        assert!(matches!(parts("text/plain", &[b"a\xff\xfeb"], end), Err(ScoreError::Malformed(_))));
        assert!(matches!(parts("text/plain", &[b"a\xc3", b"(b"], end), Err(ScoreError::Malformed(_))));
    }
}

#[test]
fn a_document_that_lost_its_rest_is_lost() {
    for end in [End::Cut, End::Broken] {
        assert_eq!(parts("application/json", &[b"{\"choices"], end).expect("no error").0, ["lost"]);
    }
}

#[test]
fn nothing_outgrows_its_bound() {
    let chunk = alloc::vec![b'x'; EVENT_BYTES_MAX];
    let endless_line: [&[u8]; 2] = [b"data: ", &chunk];
    assert!(matches!(parts("text/event-stream", &endless_line, End::Complete), Err(ScoreError::Other(_))));
    let mut event = Vec::from(b"data: ");
    event.extend_from_slice(&chunk[..EVENT_BYTES_MAX / 2]);
    event.push(b'\n');
    assert!(matches!(parts("text/event-stream", &[&event, &event, &event], End::Complete), Err(ScoreError::Other(_))));
    let pieces: Vec<&[u8]> = core::iter::repeat_n(chunk.as_slice(), DOCUMENT_BYTES_MAX / EVENT_BYTES_MAX + 1).collect();
    assert!(matches!(parts("application/json", &pieces, End::Complete), Err(ScoreError::Other(_))));
    // Endless white space without a content type becomes a text, which isn't kept.
    let blank = alloc::vec![b' '; EVENT_BYTES_MAX];
    let pieces: Vec<&[u8]> = core::iter::repeat_n(blank.as_slice(), 3).collect();
    assert!(parts("", &pieces, End::Complete).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(
        content_type in "|text/plain|application/json|text/event-stream|image/png",
        pieces in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20),
                "(data: ?|\n|\r|\\[DONE\\]|é|\\{){0,6}".prop_map(String::into_bytes),
            ],
            0..6,
        ),
    ) {
        let mut reader = Reader::new(&content_type);
        for piece in &pieces {
            let _ = reader.push(piece, &mut |_| Ok(None));
        }
        let _ = reader.finish(End::Complete, &mut |_| Ok(None));
    }
}

use proptest::prelude::Strategy as _;
