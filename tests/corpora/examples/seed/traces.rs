//! Traces of every kind that the reader knows, good and bad: its own format and others', plain and compressed, with all
//! that goes wrong in logs.

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// The plain ones: see there.
const PLAIN: &str = include_str!("traces.txt");
/// A good line of the trace's own format.
const LINE: &str = r#"{"at_ms":0,"latency_ms":12.5,"outcome":"success","score":0.9}"#;
pub(crate) fn write(folder: &Path) -> Result<()> {
    let seed = |name: &str, map: &str, trace: &[u8]| {
        fs::write(folder.join(format!("seed-{name}")), [map.as_bytes(), b"\n", trace].concat())
    };
    for trace in PLAIN.split("\n@ ").skip(1) {
        let (head, text) = trace.split_once('\n').context("a trace has a first line")?;
        let (name, map) = head.split_once(": ").unwrap_or((head, ""));
        seed(name, map, format!("{text}\n").as_bytes())?;
    }
    seed("empty", "", b"")?;
    seed("cut", "", &LINE.as_bytes()[..40])?;
    seed("crlf", "", format!("{LINE}\r\n\r\n{LINE}\r\r\n").as_bytes())?;
    seed("bom", "", format!("\u{feff}{LINE}\n\u{feff}{LINE}\n").as_bytes())?;
    let lines: String = (0..40).map(|at| numbered(at, at)).collect();
    seed("not-utf8", "", &[LINE.replace("0.9", "\"").as_bytes(), b"\xff\xfe\"}\n", LINE.as_bytes()].concat())?;
    let deep = [LINE.trim_end_matches('}'), ",\"response\":", &"[".repeat(600), &"]".repeat(600), "}"].concat();
    seed("deep-nesting", "", deep.as_bytes())?;
    let path = vec!["a"; 120].join(".");
    let nested = [LINE.trim_end_matches('}'), ",", &"\"a\":{".repeat(120), "\"x\":1", &"}".repeat(120), "}"].concat();
    seed("deep-path", &format!("model={path}"), nested.as_bytes())?;
    seed("gzip", "", &gzip(&lines)?)?;
    seed("gzip-members", "", &[gzip(&lines[..777])?, gzip(&lines[777..])?].concat())?;
    seed("gzip-broken", "", &gzip(&lines)?[..80])?;
    seed("zstd", "", &zstd(&lines))?;
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    seed("zstd-skippable", "", &[&skipped, &zstd(&lines[..777])[..], &skipped, &zstd(&lines[777..])].concat())?;
    let whole = zstd(&lines);
    seed("zstd-broken", "", &whole[..whole.len() / 2])?;
    seed("zstd-skippable-broken", "", &[&whole, &skipped[..9]].concat())?;
    // More disorder than is put in order, and more than may be held back; small when it is compressed.
    let sorted: String = (0..4_200).map(|at| numbered(at, at)).collect();
    seed("disorder", "", &gzip(&format!("{sorted}{}{}", numbered(0, 2), numbered(0, 5_000)))?)?;
    let late = vec!["{\"after_ms\":1,\"score\":0}"; 1_001].join(",");
    let many = format!("{},\"late_scores\":[{late}]}}\n{LINE}", LINE.trim_end_matches('}'));
    seed("too-many-late-scores", "", &gzip(&many)?)?;
    let verdicts: Vec<String> = (0..257).map(|index| format!("\"v{index}\":null")).collect();
    let many = format!("{},\"verdicts\":{{{}}}}}\n{LINE}", LINE.trim_end_matches('}'), verdicts.join(","));
    seed("too-many-verdicts", "", &gzip(&many)?)?;
    seed("too-long", "", &zstd(&format!("{LINE}\n{}\n{LINE}\n", " ".repeat((16 << 20) + 1))))?;
    Ok(())
}

fn numbered(at: u32, latency: u32) -> String {
    let mut line = String::new();
    // Writing into a string can't fail.
    let _ = writeln!(line, "{{\"at_ms\":{at},\"latency_ms\":{latency},\"outcome\":\"success\"}}");
    line
}

fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}

fn zstd(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}
