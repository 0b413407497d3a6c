//! Traces of every kind that the reader knows, good and bad: its own format and others', plain and compressed, with all
//! that goes wrong in logs.

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// A good line of the trace's own format.
const LINE: &str = r#"{"at_ms":0,"latency_ms":12.5,"outcome":"success","score":0.9}"#;
const GATEWAY: &str = "at_ms=time,latency_ms=took:s;outcome=http.status,response=body.choices.0.text|body.text";

/// Plain ones: name, mapping, text.
const PLAIN: [(&str, &str, &str); 29] = [
    (
        "own",
        "",
        "{\"at_ms\":0,\"latency_ms\":12.5,\"outcome\":\"success\",\"score\":0.9}\n{\"at_ms\":5,\"latency_ms\":1,\"outcome\":\"timeout\"}\n{\"at_ms\":9,\"latency_ms\":0,\"outcome\":\"content-policy\"}\n",
    ),
    (
        "rich",
        "",
        r#"{"at_ms":873.1,"latency_ms":1154.8,"outcome":"rate-limited","score":-0.25,"retry_after_ms":2000,"late_scores":[{"after_ms":10,"score":-1},{"score":1e6,"after_ms":"1.5s"}],"verdicts":{"b":null,"a":"because"},"model":"m","operation":"chat","request":{"x":1},"response":{"y":[1, 2]},"phase":"healthy"}"#,
    ),
    (
        "dates",
        "",
        "{\"at_ms\":\"2026-01-31T12:00:00.5Z\",\"end_ms\":\"2026-01-31T13:00:01+01:00\",\"outcome\":\"success\"}\n{\"at_ms\":\"2026-01-31 12:00:02\",\"latency_ms\":\"PT1.5S\",\"outcome\":\"error\"}\n",
    ),
    (
        "litellm",
        "litellm",
        "{\"id\":\"x\",\"call_type\":\"acompletion\",\"status\":\"failure\",\"startTime\":1700000000.5,\"endTime\":1700000002.0,\"response_time\":1.5,\"model\":\"gpt-4o\",\"error_str\":\"litellm.RateLimitError: slow down\",\"error_information\":{\"error_code\":\"429\",\"error_class\":\"RateLimitError\"},\"response\":{}}\n{\"status\":\"success\",\"startTime\":1700000003.25,\"endTime\":1700000004.0,\"error_str\":null,\"error_information\":{\"error_code\":\"\",\"error_class\":\"\"},\"model_parameters\":{\"temperature\":0},\"response\":\"Paris\"}\n",
    ),
    (
        "litellm-score",
        "litellm,score=metadata.score;retry_after_ms=headers.retry-after:s",
        r#"{"status":"success","startTime":1,"endTime":2,"metadata":{"score":"0.5"},"headers":{"retry-after":"30"}}"#,
    ),
    (
        "gateway",
        GATEWAY,
        "{\"time\":\"2026-01-31T12:00:00Z\",\"took\":0.34,\"http\":{\"status\":529},\"body\":{\"choices\":[{\"text\":\"Paris\"}]}}\n{\"time\":1769860801000,\"took\":\"340ms\",\"http\":{\"status\":\"200\"},\"body\":{\"text\":\"Rome\"}}\n{\"time\":1769860802000,\"took\":1,\"http\":null}\n",
    ),
    (
        "statuses",
        "at_ms=t:ns,latency_ms=d:us,outcome=s",
        "{\"t\":1,\"d\":1,\"s\":200}\n{\"t\":2,\"d\":1,\"s\":429}\n{\"t\":3,\"d\":1,\"s\":503}\n{\"t\":4,\"d\":1,\"s\":408}\n{\"t\":5,\"d\":1,\"s\":499}\n{\"t\":6,\"d\":1,\"s\":422}\n{\"t\":7,\"d\":1,\"s\":418}\n{\"t\":8,\"d\":1,\"s\":99}\n{\"t\":9,\"d\":1,\"s\":200.5}\n",
    ),
    (
        "failed",
        "outcome=failed:failed,at_ms=at_ms:s",
        "{\"at_ms\":1,\"latency_ms\":1,\"failed\":true}\n{\"at_ms\":2,\"latency_ms\":1,\"failed\":false}\n{\"at_ms\":3,\"latency_ms\":1}\n",
    ),
    (
        "exceptions",
        "outcome=error",
        "{\"at_ms\":1,\"latency_ms\":1,\"error\":\"openai.APITimeoutError\"}\n{\"at_ms\":2,\"latency_ms\":1,\"error\":{\"type\":\"overloaded_error\"}}\n{\"at_ms\":3,\"latency_ms\":1,\"error\":\"asyncio.CancelledError\"}\n{\"at_ms\":4,\"latency_ms\":1,\"error\":[1]}\n{\"at_ms\":5,\"latency_ms\":1,\"error\":\" \"}\n",
    ),
    (
        "broken-json",
        "",
        "{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":1,\n\"x\"\n[1]\n{\"at_ms\":2,\"latency_ms\":1,\"outcome\":\"success\"} {}\n{\"at_ms\":3,\"latency_ms\":1,\"outcome\":\"succ",
    ),
    (
        "missing",
        "",
        "{}\n{\"at_ms\":0}\n{\"at_ms\":0,\"latency_ms\":1}\n{\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":null,\"latency_ms\":1,\"outcome\":\"success\"}\n",
    ),
    (
        "missing-mapped",
        "at_ms=t,end_ms=e,outcome=a|b|c",
        "{\"t\":5,\"e\":4}\n{\"t\":5}\n{\"e\":4}\n{\"t\":5,\"e\":6,\"b\":\"\",\"c\":\"ok\"}\n",
    ),
    (
        "nan-scores",
        "",
        "{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"score\":NaN}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"score\":\"NaN\"}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"score\":\"-inf\"}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"score\":1000000.0001}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"late_scores\":[{\"after_ms\":1,\"score\":1e400}]}\n",
    ),
    (
        "huge-numbers",
        "",
        "{\"at_ms\":1e300,\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":-99999999999999999999999,\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":4611686018427.387903,\"latency_ms\":2592000000,\"outcome\":\"success\"}\n{\"at_ms\":0,\"latency_ms\":2592000000.1,\"outcome\":\"success\"}\n{\"at_ms\":0.000000000000000000000000000001,\"latency_ms\":1e-300,\"outcome\":\"success\",\"retry_after_ms\":18446744073709551616}\n{\"at_ms\":-4611686018427.387903,\"end_ms\":4611686018427.387903,\"outcome\":\"success\"}\n",
    ),
    (
        "crlf",
        "",
        "{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\"}\r\n\r\n{\"at_ms\":1,\"latency_ms\":1,\"outcome\":\"error\"}\r\r\n",
    ),
    (
        "bom",
        "",
        "\u{feff}{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\"}\n\u{feff}{\"at_ms\":1,\"latency_ms\":1,\"outcome\":\"success\"}\n",
    ),
    ("blank-lines", "", "\n \n\t\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\"}\n\n\n"),
    (
        "backwards",
        "",
        "{\"at_ms\":9,\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":5,\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":-5,\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":5,\"latency_ms\":2,\"outcome\":\"success\"}\n",
    ),
    (
        "paths",
        "score=a.b.1.c|a.b|usage.total.all,response=r",
        r#"{"at_ms":0,"latency_ms":1,"outcome":"success","a":{"b":[1,{"c":"0.5"}]},"a.b":7,"usage":{"total.all":3},"r":[null]}"#,
    ),
    (
        "duplicate-keys",
        "",
        r#"{"at_ms":5,"at_ms":1,"latency_ms":1,"outcome":"error","outcome":"success","verdicts":{"a":"x","a":null}}"#,
    ),
    ("escaped-keys", "", r#"{"\u0061t_ms":1,"latency\u005fms":"2","outcome":"s\u0075ccess","model":"\ud83d\ude00"}"#),
    ("lone-surrogate", "", r#"{"at_ms":1,"latency_ms":2,"outcome":"success","model":"\ud800"}"#),
    (
        "texts-as-numbers",
        "operation=kind,model=n",
        r#"{"at_ms":" 1.5 ","latency_ms":"+2.","outcome":"success","kind":3,"n":false,"response":""}"#,
    ),
    (
        "wrong-kinds",
        "",
        "{\"at_ms\":0,\"latency_ms\":[1],\"outcome\":\"success\"}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":3}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"late_scores\":{}}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"verdicts\":[1]}\n{\"at_ms\":0,\"latency_ms\":1,\"outcome\":\"success\",\"response\":\"x\",\"model\":{}}\n",
    ),
    (
        "dates-out-of-range",
        "",
        "{\"at_ms\":\"9999-12-31T23:59:59Z\",\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":\"-009999-01-01T00:00:00Z\",\"latency_ms\":1,\"outcome\":\"success\"}\n{\"at_ms\":\"noon\",\"latency_ms\":\"soon\",\"outcome\":\"success\"}\n",
    ),
    ("empty", "", ""),
    ("bad-unit", "latency_ms=x:min", "{}"),
    ("bad-field", "lat=x;litelm", "{}"),
    ("bad-path", "score=a||b", "{}"),
];

pub(crate) fn write(folder: &Path) -> Result<()> {
    let seed = |name: &str, map: &str, trace: &[u8]| {
        fs::write(folder.join(format!("seed-{name}")), [map.as_bytes(), b"\n", trace].concat())
    };
    for (name, map, text) in PLAIN {
        seed(name, map, text.as_bytes())?;
    }
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
