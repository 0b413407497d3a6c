//! The checks on answers as they come over the wire.

use std::rc::Rc;

use softfuse_scorer_common::{AnswerStream as _, Body, End, Exchange, Head, ScoreError, Scorer, StreamScorer, Verdict};

use crate::TextScorer;

mod properties;

#[test]
fn the_defaults_are_those_of_the_empty_text() {
    let read = softfuse_scorer_common::config::read("", TextScorer::read);
    assert_eq!(read, Ok(TextScorer::DEFAULT));
}

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

fn scorer(config: &str) -> Rc<TextScorer> {
    Rc::new(TextScorer::configure(config).expect("a good configuration"))
}

fn body(content_type: &str, text: &str) -> Body {
    Body { content_type: content_type.into(), bytes: text.into(), truncated: false }
}

fn say(config: &str, request: &str, answer: Body) -> Result<Verdict, ScoreError> {
    let head = Head { operation: "chat".into(), request: body(JSON, request), ..Head::default() };
    scorer(config).score(&Exchange { head, answer })
}

#[track_caller]
fn score(config: &str, content_type: &str, answer: &str) -> f64 {
    match say(config, "", body(content_type, answer)) {
        Ok(Verdict::Score(score)) => (score * 1e9).round() / 1e9,
        other => panic!("no score: {other:?}"),
    }
}

#[track_caller]
fn reason(content_type: &str, answer: &str) -> String {
    match say("", "", body(content_type, answer)) {
        Ok(Verdict::Abstain(why)) => why,
        other => panic!("no abstention: {other:?}"),
    }
}

#[track_caller]
fn malformed(config: &str, content_type: &str, answer: &str) -> String {
    match say(config, "", body(content_type, answer)) {
        Err(ScoreError::Malformed(what)) => what,
        other => panic!("not malformed: {other:?}"),
    }
}

fn chat(content: &str, finish_reason: &str) -> String {
    let content = serde_json::to_string(content).expect("a string");
    format!(
        r#"{{"id":"1","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":{content},
        "refusal":null,"tool_calls":[]}},"logprobs":null,"finish_reason":"{finish_reason}"}}],"usage":{{"total_tokens":3}}}}"#
    )
}

fn chunk(content: &str) -> String {
    let content = serde_json::to_string(content).expect("a string");
    format!(
        r#"data: {{"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":{content}}},"finish_reason":null}}]}}"#
    ) + "\n\n"
}

#[test]
fn a_good_answer_scores_one_in_every_form() {
    assert_eq!(score("", "text/plain", "Paris is the capital of France."), 1.0);
    assert_eq!(score("", "", "Paris."), 1.0);
    assert_eq!(score("", JSON, &chat("Paris.", "stop")), 1.0);
    assert_eq!(score("", "", &chat("Paris.", "stop")), 1.0, "recognised without a content type");
    assert_eq!(score("", SSE, &format!("{}{}data: [DONE]\n\n", chunk("Pa"), chunk("ris."))), 1.0);
    assert_eq!(score("", JSON, r#"{"choices":[{"text":"Paris.","index":0,"finish_reason":"stop"}]}"#), 1.0);
    assert_eq!(score("", JSON, r#"{"choices":[{"message":{"content":[{"type":"text","text":"Paris."}]}}]}"#), 1.0);
    assert_eq!(score("", JSON, r#"{"city":"Paris"}"#), 1.0, "the document itself is the answer");
}

#[test]
fn other_services_forms_are_read() {
    let anthropic = |text: &str, stop: &str| {
        format!(
            r#"{{"type":"message","role":"assistant","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"{stop}"}}"#
        )
    };
    let ollama = |text: &str, reason: &str| {
        format!(r#"{{"message":{{"role":"assistant","content":"{text}"}},"done":true,"done_reason":"{reason}"}}"#)
    };
    let generated =
        |text: &str, reason: &str| format!(r#"{{"response":"{text}","done":true,"done_reason":"{reason}"}}"#);
    let responses = |text: &str, details: &str| {
        format!(
            r#"{{"object":"response","incomplete_details":{details},"output":[{{"type":"reasoning","summary":[]}},
            {{"type":"message","content":[{{"type":"output_text","text":"{text}","annotations":[]}}]}}]}}"#
        )
    };
    let refusal = "I'm sorry, but I can't help.";
    for (good, cut, refused, empty) in [
        (anthropic("Paris.", "end_turn"), anthropic("Par", "max_tokens"), anthropic(refusal, ""), anthropic("", "")),
        (ollama("Paris.", "stop"), ollama("Par", "length"), ollama(refusal, ""), ollama("", "stop")),
        (generated("Paris.", "stop"), generated("Par", "length"), generated(refusal, ""), generated("", "stop")),
        (
            responses("Paris.", "null"),
            responses("Par", r#"{"reason":"max_output_tokens"}"#),
            responses(refusal, "null"),
            responses("", "null"),
        ),
    ] {
        let scores = [&good, &cut, &refused, &empty].map(|answer| score("", JSON, answer));
        assert_eq!(scores, [1.0, 0.5, 0.2, 0.0], "{good}");
    }
    assert_eq!(score("", JSON, &anthropic("No.", "refusal")), 0.2);
    assert!(
        reason(JSON, r#"{"type":"message","content":[{"type":"tool_use"}],"stop_reason":"tool_use"}"#)
            .contains("tools")
    );
    let call = r#"{"object":"response","output":[{"type":"function_call","name":"f"}]}"#;
    assert!(reason(JSON, call).contains("tools"));
    // What only looks a little like it is a document of its own.
    for document in [r#"{"type":"message","content":7}"#, r#"{"response":"","other":true}"#, r#"{"done":true}"#] {
        assert_eq!(score("", JSON, document), 1.0, "{document}");
    }
}

#[test]
fn anthropics_streams_end_with_their_own_mark() {
    let events =
        |events: &[&str]| events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect::<String>();
    let begin = [
        r#"{"type":"message_start","message":{"type":"message","content":[],"stop_reason":null}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Paris."}}"#,
    ];
    let (stop, end) =
        (r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}"#, r#"{"type":"message_stop"}"#);
    assert_eq!(score("", SSE, &events(&[&begin[..], &[end]].concat())), 1.0);
    assert_eq!(score("", SSE, &events(&begin)), 0.5, "no message_stop");
    assert_eq!(score("", SSE, &events(&[&begin[..], &[stop, end]].concat())), 0.5);
    assert!(
        reason(SSE, &events(&[&begin[..], &[r#"{"type":"error","error":{"type":"overloaded_error"}}"#]].concat()))
            .contains("error")
    );
    let unknown =
        events(&[r#"{"type":"response.output_text.delta","delta":"Paris."}"#, r#"{"type":"response.completed"}"#]);
    assert!(reason(SSE, &unknown).contains("no choice"), "streams of other forms are left alone");
}

#[test]
fn empty_answers_are_worthless() {
    for (content_type, answer) in [
        ("", ""),
        ("text/plain", " \n\t"),
        (JSON, &chat("", "stop") as &str),
        (JSON, r#"{"choices":[]}"#),
        (JSON, r#"{"choices":[{"message":{"content":null}}]}"#),
        (SSE, "data: [DONE]\n\n"),
        (SSE, &format!("{}data: [DONE]\n\n", chunk(""))),
        (JSON, ""),
    ] {
        assert_eq!(score("", content_type, answer), 0.0, "{content_type} {answer}");
    }
    assert_eq!(score("[empty]\ncharacters_min = 5", "", "four"), 0.0);
    assert_eq!(score("[penalty]\nempty = 0", "", ""), 1.0, "a penalty of 0 turns the check off");
}

#[test]
fn truncated_answers_cost_half() {
    assert_eq!(score("", JSON, &chat("Paris is the", "length")), 0.5);
    assert_eq!(score("[penalty]\ntruncated = 0.3", JSON, &chat("Paris is the", "length")), 0.7);
    assert_eq!(score("[truncated]\nfinish_reason = false", JSON, &chat("Paris is the", "length")), 1.0);
    assert_eq!(score("", SSE, &chunk("Paris.")), 0.5, "no [DONE]");
    assert_eq!(score("[truncated]\nbroken_stream = false", SSE, &chunk("Paris.")), 1.0);
    assert_eq!(score("", "", "Paris is the"), 1.0);
    assert_eq!(score("[truncated]\nsentence_end = true", "", "Paris is the"), 0.5);
    for whole in ["Paris.", "巴黎。", "`code`", "```\ncode\n```", "(yes)", "\"Oui\"\n", "Really?!"] {
        assert_eq!(score("[truncated]\nsentence_end = true", "", whole), 1.0, "{whole}");
    }
}

#[test]
fn a_body_that_the_host_cut_is_not_the_services_fault() {
    let cut = |content_type: &str, text: &str| Body { truncated: true, ..body(content_type, text) };
    assert_eq!(say("", "", cut("text/plain", "Paris is")), Ok(Verdict::Score(1.0)));
    assert_eq!(say("[truncated]\ncut_body = true", "", cut("text/plain", "Paris is")), Ok(Verdict::Score(0.5)));
    assert!(matches!(say("", "", cut(JSON, "{\"choices\":[")), Ok(Verdict::Abstain(why)) if why.contains("cut")));
    assert_eq!(say("[truncated]\ncut_body = true", "", cut(JSON, "{\"choices\":[")), Ok(Verdict::Score(0.5)));
    assert_eq!(say("", "", cut(SSE, &chunk("Paris is"))), Ok(Verdict::Score(1.0)));
    assert!(matches!(say("", "", cut("text/plain", "")), Ok(Verdict::Abstain(_))));
    // What can be seen before the cut counts as ever.
    assert_eq!(say("", "", cut("text/plain", &"!".repeat(300))), Ok(Verdict::Score(0.0)));
    // JSON that the host cut isn't broken JSON.
    assert_eq!(say("json = \"always\"", "", cut("text/plain", "{\"a\":")), Ok(Verdict::Score(1.0)));
}

#[test]
fn loops_are_worthless() {
    let looped = "I think that you should try it. ".repeat(30);
    assert_eq!(score("", "", &looped), 0.0);
    assert_eq!(score("", JSON, &chat(&looped, "stop")), 0.0);
    assert_eq!(score("[penalty]\nrepetition = 0.4", "", &looped), 0.6);
    assert_eq!(score("[penalty]\nrepetition = 0", "", &looped), 1.0);
}

#[test]
fn refusals_are_found_where_they_begin_an_answer() {
    for refusal in [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t help with that.",
        "Sorry, I can't do that.",
        "I  cannot\nhelp with this request.",
        "As an AI language model, I do not have feelings.",
        "I\u{2019}m unable to browse the internet.",
    ] {
        assert_eq!(score("", JSON, &chat(refusal, "stop")), 0.2, "{refusal}");
    }
    for answer in [
        "Here is how to help with that.",
        "The clerk said that she can't help people without an appointment.",
        "Hawaii can't help being beautiful.",
    ] {
        assert_eq!(score("", JSON, &chat(answer, "stop")), 1.0, "{answer}");
    }
    let late =
        format!("{} I can't help but admire it.", "A long answer goes before it. Many words differ here. ".repeat(6));
    assert_eq!(score("[penalty]\nrepetition = 0", "", &late), 1.0, "only the beginning counts");
    let said = r#"{"choices":[{"message":{"content":null,"refusal":"No."}}]}"#;
    assert_eq!(score("", JSON, said), 0.2, "the service says so itself");
}

#[test]
fn phrases_are_the_users() {
    let german = "Das kann ich leider nicht beantworten.";
    assert_eq!(score("", "", german), 1.0);
    let more = "[refusal]\nmore_phrases = [\"Kann ich leider nicht\", \"无法回答\"]";
    assert_eq!(score(more, "", german), 0.2);
    assert_eq!(score(more, "", "对不起，我无法回答。"), 0.2);
    assert_eq!(score(more, "", "I can't help with that."), 0.2);
    assert_eq!(score("[refusal]\nphrases = [\"nope\"]", "", "I can't help with that."), 1.0);
    assert_eq!(score("[refusal]\nphrases = []", "", "I can't help with that."), 1.0);
}

#[test]
fn json_must_be_json_where_it_was_asked_for() {
    for asked in [
        r#"{"model":"m","response_format":{"type":"json_object"}}"#,
        r#"{"response_format":{"type":"json_schema","json_schema":{"schema":{}}}}"#,
    ] {
        let say = |config: &str, content: &str| say(config, asked, body(JSON, &chat(content, "stop")));
        assert_eq!(say("", r#"{"a": [1, 2]}"#), Ok(Verdict::Score(1.0)));
        assert_eq!(say("", r#"{"a": [1, 2"#), Ok(Verdict::Score(0.0)));
        assert_eq!(say("", "Sure! Here it is: {}"), Ok(Verdict::Score(0.0)));
        assert_eq!(say("json = \"never\"", "Sure!"), Ok(Verdict::Score(1.0)));
        assert_eq!(say("", "```json\n{}\n```"), Ok(Verdict::Score(0.0)));
        assert_eq!(say("json_fenced = true", "```json\n{}\n```"), Ok(Verdict::Score(1.0)));
        assert_eq!(say("json_fenced = true", "```json\n{\n```"), Ok(Verdict::Score(0.0)));
    }
    for not_asked in ["", "{", "{}", "[]", r#"{"response_format":{"type":"text"}}"#, r#"{"response_format":7}"#] {
        assert_eq!(say("", not_asked, body(JSON, &chat("Sure!", "stop"))), Ok(Verdict::Score(1.0)), "{not_asked}");
        let always = say("json = \"always\"", not_asked, body(JSON, &chat("Sure!", "stop")));
        assert_eq!(always, Ok(Verdict::Score(0.0)), "{not_asked}");
    }
}

#[test]
fn a_content_type_of_json_asks_for_json() {
    assert_eq!(score("", JSON, r#"{"city": "Par"#), 0.0);
    assert_eq!(score("", JSON, "Paris"), 0.0);
    assert!(malformed("json = \"never\"", JSON, "Paris").contains("OpenAI-style"));
    assert_eq!(score("", "", r#"{"city": "Par"#), 1.0, "without a content type it may be any text");
    assert_eq!(score("json = \"always\"", "text/plain", "[1]"), 1.0);
}

#[test]
fn the_worst_finding_counts() {
    let refusal_cut_off = chat("I'm sorry, but I can't", "length");
    assert_eq!(score("", JSON, &refusal_cut_off), 0.2);
    assert_eq!(score("[penalty]\nrefusal = 0.1", JSON, &refusal_cut_off), 0.5);
}

#[test]
fn the_first_choice_is_scored() {
    let two = r#"{"choices":[{"index":1,"message":{"content":""}},{"index":0,"message":{"content":"Paris."}}]}"#;
    assert_eq!(score("", JSON, two), 1.0);
    let other = r#"data: {"choices":[{"index":1,"delta":{"content":"!!"},"finish_reason":"length"}]}"#;
    let stream = format!("{}{other}\n\n{}data: [DONE]\n\n", chunk("Pa"), chunk("ris."));
    assert_eq!(score("", SSE, &stream), 1.0);
}

#[test]
fn other_exchanges_are_left_to_others() {
    assert!(reason(JSON, r#"{"error":{"message":"overloaded"}}"#).contains("error"));
    assert!(reason(JSON, r#"{"object":"list","data":[{"embedding":[0.1]}]}"#).contains("embeddings"));
    let tools = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"}]}"#;
    assert!(reason(JSON, tools).contains("tools"));
    assert!(reason(JSON, &chat("", "content_filter")).contains("filter"));
    assert!(reason("image/png", "x").contains("image/png"));
    assert!(reason(SSE, "data: {\"type\":\"ping\"}\n\ndata: [DONE]\n\n").contains("no choice"));
    assert!(reason(SSE, &format!("{}data: {{\"error\":{{}}}}\n\n", chunk("Pa"))).contains("error"));
    let head = Head { operation: "embeddings".into(), ..Head::default() };
    let verdict = scorer("").score(&Exchange { head, answer: body("", "text") });
    assert!(matches!(verdict, Ok(Verdict::Abstain(why)) if why.contains("embeddings")));
}

#[test]
fn what_has_the_right_names_for_the_wrong_things_is_malformed() {
    for answer in [
        r#"{"choices": "Paris"}"#,
        r#"{"choices": [{"message": "Paris"}]}"#,
        r#"{"choices": [{"message": {"content": 7}}]}"#,
        r#"{"choices": ["#,
    ] {
        let what = malformed("", JSON, answer);
        assert!(what.contains("read are OpenAI-style"), "{what}");
    }
    assert!(malformed("", SSE, "data: not json\n\n").contains("event"));
    assert!(malformed("", SSE, "data: [1]\n\n").contains("event"));
    let bytes = Body { bytes: vec![b'a', 0xff], ..body("text/plain", "") };
    assert!(matches!(say("", "", bytes), Err(ScoreError::Malformed(what)) if what.contains("UTF-8")));
}

#[test]
fn depth_blows_no_stack() {
    let deep = "[".repeat(1_000_000);
    assert_eq!(score("", JSON, &deep), 0.0);
    malformed("", JSON, &format!(r#"{{"choices":{deep}"#));
    malformed("", JSON, &format!(r#"{{"choices":[{{"x":{deep}"#));
    let objects = r#"{"a":"#.repeat(100_000);
    assert_eq!(say("", &objects, body("", "Paris.")), Ok(Verdict::Score(1.0)));
    assert_eq!(score("json = \"always\"", "text/plain", &objects), 0.0);
}

#[test]
fn a_loop_ends_a_stream_early() {
    let head = Head::default();
    let mut stream = scorer("").begin(&head, SSE);
    let mut pieces = 0;
    let verdict = loop {
        pieces += 1;
        assert!(pieces < 100, "no verdict");
        if let Some(verdict) = stream.push(chunk("again and again ").as_bytes()).expect("readable") {
            break verdict;
        }
    };
    assert_eq!((verdict.clone(), pieces), (Verdict::Score(0.0), 14), "14 rounds of 3 words are 40 words and more");
    // It stands, whatever comes.
    assert_eq!(stream.push(b"\xff"), Ok(Some(verdict.clone())));
    assert_eq!(stream.finish(End::Broken), Ok(verdict.clone()));
    assert_eq!(stream.finish(End::Complete), Ok(verdict));
    // Where something worse may follow, the verdict waits for the end.
    let mut stream = scorer("[penalty]\nrepetition = 0.5").begin(&head, SSE);
    for _ in 0..100 {
        assert_eq!(stream.push(chunk("again and again ").as_bytes()), Ok(None));
    }
    assert_eq!(stream.push(b"data: [DONE]\n\n"), Ok(None));
    assert_eq!(stream.finish(End::Complete), Ok(Verdict::Score(0.5)));
}

#[test]
fn streams_that_break_off_are_truncated() {
    for (content_type, piece) in
        [("text/plain", "Paris".to_owned()), (SSE, chunk("Paris")), (JSON, chat("Paris", "stop"))]
    {
        let mut stream = scorer("").begin(&Head::default(), content_type);
        assert_eq!(stream.push(piece.as_bytes()), Ok(None));
        assert_eq!(stream.finish(End::Broken), Ok(Verdict::Score(0.5)), "{content_type}");
    }
    let mut stream = scorer("[truncated]\nbroken_stream = false").begin(&Head::default(), JSON);
    assert!(matches!(stream.finish(End::Broken), Err(ScoreError::Malformed(_))));
    let mut stream = scorer("").begin(&Head::default(), SSE);
    assert_eq!(stream.finish(End::Broken), Ok(Verdict::Score(0.0)), "nothing at all came");
}

#[test]
fn the_readme_shows_the_defaults() {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("text\n")).expect("a section");
    let shown = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a TOML block");
    assert_eq!(format!("{:?}", scorer(shown)), format!("{:?}", scorer("")));
}

#[test]
fn bad_configurations_name_every_key() {
    let bad = "json = \"yes\"\nthreshold = 1\n[penalty]\nempty = 2\nrefusals = 0.1\n[refusal]\nphrases = \"no\"\n";
    let keys: Vec<String> = TextScorer::configure(bad).expect_err("bad").into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["penalty.empty", "penalty.refusals", "json", "refusal.phrases", "threshold"]);
}
