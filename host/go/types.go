// What crosses the library's border as plain values: states, outcomes, effects. They say what wit/breaker/breaker.wit says, in Go's
// words.

package softfuse

import (
	"fmt"
	"math"
	"time"

	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
)

// State is where a circuit stands. Its number is the metric `softfuse_state`'s.
type State uint8

const (
	// Closed: calls flow.
	Closed State = iota
	// Open: calls are refused until the open period has passed.
	Open
	// HalfOpen: a few calls at a time are admitted as probes.
	HalfOpen
	// ForcedOpen: an operator refuses every call until reset.
	ForcedOpen
	// Disabled: an operator admits every call; outcomes change totals only.
	Disabled
	// MetricsOnly: every call is admitted and recorded; what would have tripped is said and never refused.
	MetricsOnly
)

const states = int(MetricsOnly) + 1

// String is the contract's name, as in `half-open`.
func (s State) String() string {
	if int(s) < len(wit.StateNames) {
		return wit.StateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText writes the contract's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// OperatorState is a state that an operator sets. [Breaker.Reset] leaves it.
type OperatorState uint8

const (
	// OperatorForcedOpen refuses every call.
	OperatorForcedOpen OperatorState = iota
	// OperatorDisabled admits every call; outcomes change totals only.
	OperatorDisabled
	// OperatorMetricsOnly admits and records every call, and says what would have tripped.
	OperatorMetricsOnly
)

// Kind is how a guarded call ended.
type Kind uint8

const (
	// Success: the service answered. Whether the answer was any good is the score's matter.
	Success Kind = iota
	// Failed: a failure of the service: an error, a 5xx, a broken stream.
	Failed
	// Timeout: a failure: no answer in time.
	Timeout
	// RateLimited: a failure: the service refused for its rate limit (429).
	RateLimited
	// Overloaded: a failure: the service refused for its load (503, 529).
	Overloaded
	// Cancelled: neutral: the caller went away.
	Cancelled
	// ContentPolicy: neutral: the service refused what was asked, by its content policy.
	ContentPolicy
	// BadRequest: neutral: the request was bad by itself.
	BadRequest
)

// String is the contract's name, as in `rate-limited`.
func (k Kind) String() string {
	if int(k) < len(wit.OutcomeKindNames) {
		return wit.OutcomeKindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText writes the contract's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// IsFailure says whether it counts against the service.
func (k Kind) IsFailure() bool { return k >= Failed && k <= Overloaded }

// IsNeutral says whether it counts neither for nor against the service.
func (k Kind) IsNeutral() bool { return k >= Cancelled }

// scoreMax is the largest magnitude that a score may have: the contract's bound.
const scoreMax = 1e6

// InvalidScoreError is for a number that is no score. Nothing was changed by it.
type InvalidScoreError struct {
	// Score is the number.
	Score float64
}

func (e *InvalidScoreError) Error() string {
	return fmt.Sprintf("%v is no score: a score is finite and at most 1000000 in magnitude, usually between 0 (worthless) and 1 (good)",
		e.Score)
}

func checkScore(score float64) error {
	// NaN fails every comparison.
	if math.Abs(score) <= scoreMax {
		return nil
	}
	return &InvalidScoreError{Score: score}
}

// scoreUnits is a score in units of 10^-9, as the contract quantises it.
func scoreUnits(score float64) int64 { return int64(math.Floor(score*1e9 + 0.5)) }

// signal is what an outcome says of its answer's quality.
type signal uint8

const (
	signalNone signal = iota
	signalScore
	signalPending
)

// Outcome is how a guarded call ended, in full. [Succeeded] and [OutcomeOf] make one.
type Outcome struct {
	kind          Kind
	signal        signal
	hasLatency    bool
	hasRetryAfter bool
	score         float64
	latency       time.Duration
	retryAfter    time.Duration
}

// Succeeded is the outcome of a call that the service answered.
func Succeeded() Outcome { return Outcome{} }

// OutcomeOf is an outcome of this kind, without a score, its latency measured by the permit. A kind that doesn't exist is [Failed].
func OutcomeOf(kind Kind) Outcome {
	if kind > BadRequest {
		kind = Failed
	}
	return Outcome{kind: kind}
}

// Kind is how the call ended.
func (o Outcome) Kind() Kind { return o.kind }

// WithLatency is the same, with this latency in the place of the one that the permit measures: from the call's start to its end,
// retries included, queueing before the breaker excluded. A negative one is 0.
func (o Outcome) WithLatency(latency time.Duration) Outcome {
	o.latency, o.hasLatency = max(latency, 0), true
	return o
}

// WithScore is the same, with this score, which wins over one that was reported. A number that is no score is refused when the
// outcome is settled.
func (o Outcome) WithScore(score float64) Outcome {
	o.score, o.signal = score, signalScore
	return o
}

// WithPendingScore is the same, its score to come later: whoever settles owes a score or "missing".
func (o Outcome) WithPendingScore() Outcome {
	o.signal = signalPending
	return o
}

// WithRetryAfter is the same, with how long the service asked not to be called. A negative span is 0.
func (o Outcome) WithRetryAfter(span time.Duration) Outcome {
	o.retryAfter, o.hasRetryAfter = max(span, 0), true
	return o
}

func (o *Outcome) wit(latency uint64) wit.Outcome {
	made := wit.Outcome{Kind: wit.OutcomeKind(o.kind), Latency: latency}
	switch o.signal {
	case signalScore:
		made.Signal = wit.Signal{Case: wit.SignalScore, Score: o.score}
	case signalPending:
		made.Signal.Case = wit.SignalPending
	}
	if o.hasRetryAfter {
		made.RetryAfter.Some, made.RetryAfter.Value = true, uint64(o.retryAfter)
	}
	return made
}

// Effect is what became of a settled outcome or a reported score.
type Effect uint8

const (
	// Recorded: it took its place in the windows.
	Recorded Effect = iota
	// Probed: it was a probe's, and the probe passed or failed by it.
	Probed
	// Ignored: it touched no window: a neutral outcome, or a late score of one; or any of a disabled circuit.
	Ignored
	// Stale: totals changed, nothing else, since the permit belongs to an earlier generation or to a probe that is gone. For a late
	// score: nothing changed.
	Stale
	// Pending: kept. A probe's outcome whose score is owed; or a score that was reported before its call was settled, with which it
	// will be.
	Pending
	// Lost: nothing was recorded, since the breaker component failed, or had failed when the permit was given.
	Lost
)

var effectNames = [...]string{"recorded", "probed", "ignored", "stale", "pending", "lost"}

// String is the contract's name.
func (e Effect) String() string {
	if int(e) < len(effectNames) {
		return effectNames[e]
	}
	return fmt.Sprintf("Effect(%d)", uint8(e))
}

func nanos(span time.Duration) uint64 { return uint64(max(span, 0)) }

// span is the component's nanoseconds as a duration.
func span(nanos uint64) time.Duration { return time.Duration(core.Instant(nanos)) }
