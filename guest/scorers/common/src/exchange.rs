//! What goes into a scorer and what comes out: the types of `wit/scorer` in plain Rust.
//!
//! They are written out here since those that wit-bindgen generates exist once a component, and on WebAssembly only.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// A request's or an answer's content.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// A media type; empty where it is not known.
    pub content_type: String,
    /// The content, cut at a bound of the host's.
    pub bytes: Vec<u8>,
    /// Whether the host cut it.
    pub truncated: bool,
}

/// What is known when a call begins to be answered.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// What was asked for: `chat`, `embeddings`, `classify`.
    pub operation: String,
    /// The model's name, empty where it is not known.
    pub model: String,
    /// What was sent.
    pub request: Body,
    /// Whatever else the host knows, by name.
    pub metadata: Vec<(String, String)>,
}

/// One call and its answer.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The call.
    pub head: Head,
    /// Its answer.
    pub answer: Body,
}

/// What a scorer says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// How good the answer is: of the built-in scorers always finite, from 0 (worthless) to 1 (good).
    Score(f64),
    /// The exchange is none of this scorer's business, and why.
    Abstain(String),
}

/// Why a scorer can't say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScoreError {
    /// The answer isn't of the form that this scorer reads, and what that form is.
    Malformed(String),
    /// Everything else, such as an answer that is too large.
    Other(String),
}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key with its section (`penalty.empty`), empty where the text as a whole is wrong.
    pub key: String,
    /// The line, what is wrong, and what would be right.
    pub message: String,
}

/// How an answer came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it came.
    Complete,
    /// It broke off on its way.
    Broken,
    /// All of it may have come, but the host kept only its beginning.
    Cut,
}

/// A scorer of whole answers.
pub trait Scorer: Sized {
    /// Reads the configuration; the empty text is the defaults.
    ///
    /// # Errors
    /// All problems of the text, not only the first.
    fn configure(text: &str) -> Result<Self, Vec<ConfigProblem>>;

    /// Scores one exchange.
    ///
    /// # Errors
    /// The answer isn't of a form that this scorer reads, or it is too large.
    fn score(self: &Rc<Self>, exchange: &Exchange) -> Result<Verdict, ScoreError>;
}

/// A scorer that takes answers in pieces as well.
pub trait StreamScorer: Scorer {
    /// One answer that is being streamed.
    type Stream: AnswerStream + 'static;

    /// An answer of this content type begins.
    fn begin(self: &Rc<Self>, head: &Head, content_type: &str) -> Self::Stream;
}

/// One answer that is being streamed.
pub trait AnswerStream {
    /// Takes the next piece. A verdict may come before the end; it stands, whatever is pushed afterwards.
    ///
    /// # Errors
    /// As [`Scorer::score`]. An error stands too.
    fn push(&mut self, piece: &[u8]) -> Result<Option<Verdict>, ScoreError>;

    /// The answer has ended.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    fn finish(&mut self, end: End) -> Result<Verdict, ScoreError>;
}

/// Scores a whole exchange through the same code that takes it in pieces, so that both agree.
///
/// # Errors
/// As [`Scorer::score`].
pub fn score_whole<S: StreamScorer>(scorer: &Rc<S>, exchange: &Exchange) -> Result<Verdict, ScoreError> {
    let mut stream = scorer.begin(&exchange.head, &exchange.answer.content_type);
    if let Some(early) = stream.push(&exchange.answer.bytes)? {
        return Ok(early);
    }
    stream.finish(if exchange.answer.truncated { End::Cut } else { End::Complete })
}
