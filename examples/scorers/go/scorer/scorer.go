// What a scorer is, for programs in Go: the types of Softfuse's contract, as wit/scorer.wit describes them.

// Package scorer makes a scorer component of two functions.
package scorer

// Body is a request's or an answer's content.
type Body struct {
	// ContentType is a media type, as in `application/json`; empty where it is not known.
	ContentType string
	// Bytes are the content.
	Bytes []byte
	// Truncated says that it was cut at a bound of the host's.
	Truncated bool
}

// Exchange is one call and its answer.
type Exchange struct {
	// Operation is what was asked for, in the host's terms: `chat`, `embeddings`, `classify`.
	Operation string
	// Model is its name, empty where it is not known.
	Model string
	// Request is what was asked.
	Request Body
	// Metadata is whatever else the host knows, by name: headers, a tenant, a reference answer.
	Metadata [][2]string
	// Answer is what is to be scored.
	Answer Body
}

// Verdict is what a scorer says.
type Verdict struct {
	score     float64
	abstained *string
}

// Score says how good an answer is: finite, at most 10^6 in magnitude, by convention from 0 (worthless) to 1 (good).
func Score(score float64) Verdict { return Verdict{score: score} }

// Abstain says that this exchange is none of the scorer's business, and why. It is no score, and no failure.
func Abstain(why string) Verdict { return Verdict{abstained: &why} }

// Malformed is the error for an answer that isn't of the form that the scorer reads: it says what that form is. Any other error means
// that the scorer can't say. Neither is a score.
type Malformed string

func (m Malformed) Error() string { return string(m) }

// Problem is one thing wrong with a scorer's configuration.
type Problem struct {
	// Key is empty where the text as a whole is wrong.
	Key string
	// Message says what is wrong and what would be right.
	Message string
}

var (
	onConfigure func(config string) []Problem
	onScore     func(exchange *Exchange) (Verdict, error)
)

// Register names the scorer's functions. Call it once, from an init function.
//
// A host calls configure once, before anything else, with the scorer's configuration, a text in a format of its own; empty for the
// defaults. Score must not depend on the exchanges before: a host may give each an instance of its own.
func Register(configure func(config string) []Problem, score func(exchange *Exchange) (Verdict, error)) {
	onConfigure, onScore = configure, score
}
