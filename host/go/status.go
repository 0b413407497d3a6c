// All that there is to know of a circuit.

package softfuse

import (
	"time"

	"softfuse.dev/softfuse/internal/abi"
	wit "softfuse.dev/softfuse/internal/breakerwit"
)

// Totals are a circuit's calls since it was made; a reset doesn't clear them.
type Totals struct {
	// Calls were settled: successes, failures and neutral ones, stale ones included.
	Calls, Successes, Failures, Neutral uint64
	// Rejections are calls that were refused.
	Rejections uint64
	// Stale are those of the calls that were settled too late to count.
	Stale uint64
}

// Reading is a condition's state.
type Reading struct {
	// Path is its place in the policy, as in `any_of[1].error_rate_above`.
	Path string
	// Value is in the unit of the limit: a mean score, a rate between 0 and 1, milliseconds, or a count. Nil while the window is
	// empty.
	Value *float64
	// Limit is the policy's.
	Limit float64
	// Filled is how many samples its window has; for `consecutive_failures`, the failures in a row.
	Filled uint32
	// Needed is how many samples it takes before it can hold.
	Needed uint32
	// Holds says whether it holds now.
	Holds bool
}

// TripReport is the last opening.
type TripReport struct {
	At     time.Duration
	Reason *TripReason
	// Text is the reason in words.
	Text string
}

// FailureReport is the last failure.
type FailureReport struct {
	At   time.Duration
	Kind Kind
}

// Transition is a change of state that happened.
type Transition struct {
	At       time.Duration
	Old, New State
	// Text says why, in words.
	Text string
}

// Status is all that there is to know of a circuit. Asking changes nothing: an open circuit whose period has passed is still open
// here, and WouldRefuse is false.
type Status struct {
	State State
	// Since is when it entered the state. It is negative where a restored breaker remembers something from before the clock's origin.
	Since      time.Duration
	Generation uint32
	// WouldRefuse says whether a call would be refused now.
	WouldRefuse bool
	// RetryAfter is what is left of the open period; nil unless it is open.
	RetryAfter *time.Duration
	// TripCount is how often it has opened since it was made or last reset, re-openings included.
	TripCount uint64
	// ReopenCount is how often it has opened again since it last closed: the backoff's exponent.
	ReopenCount uint32
	// LastTrip is nil where it never opened.
	LastTrip *TripReport
	// Transitions are the last ones, oldest first, at most 16.
	Transitions []Transition
	Totals      Totals
	// LastFailure is nil where there was none.
	LastFailure *FailureReport
	// ConsecutiveFailures are those since the last success, ConsecutiveSuccesses those since the last failure.
	ConsecutiveFailures, ConsecutiveSuccesses uint32
	// Conditions are all of the policy, in order of appearance.
	Conditions []Reading
	// LiveProbes are under way, PassedProbes passed, while it is half-open.
	LiveProbes, PassedProbes uint32
	// CallsPerMinute are those that were settled in the last 60 s, as far as the policy's `adaptive` tiers count.
	CallsPerMinute uint32
}

// pointer is what is there, or nil.
func pointer[T, U any](option abi.Option[T], of func(T) U) *U {
	if !option.Some {
		return nil
	}
	value := of(option.Value)
	return &value
}

func statusOf(found *wit.CircuitStatus) *Status {
	made := &Status{
		State: State(found.State), Since: time.Duration(found.Since), Generation: found.Generation, WouldRefuse: found.WouldRefuse,
		RetryAfter: pointer(found.RetryAfter, span), TripCount: found.TripCount, ReopenCount: found.ReopenCount,
		LastTrip: pointer(found.LastTrip, func(trip wit.TripReport) TripReport {
			return TripReport{At: time.Duration(trip.At), Reason: tripReason(&trip.Reason), Text: trip.Text}
		}),
		Totals: Totals(found.Totals),
		LastFailure: pointer(found.LastFailure, func(failure wit.FailureReport) FailureReport {
			return FailureReport{At: time.Duration(failure.At), Kind: Kind(failure.Kind)}
		}),
		ConsecutiveFailures: found.ConsecutiveFailures, ConsecutiveSuccesses: found.ConsecutiveSuccesses,
		LiveProbes: found.LiveProbes, PassedProbes: found.PassedProbes, CallsPerMinute: found.CallsPerMinute,
	}
	for _, one := range found.Transitions {
		made.Transitions = append(made.Transitions, Transition{
			At: time.Duration(one.At), Old: State(one.Old), New: State(one.New), Text: one.Text,
		})
	}
	for _, one := range found.Conditions {
		made.Conditions = append(made.Conditions, Reading{
			Path: one.Path, Value: pointer(one.Value, func(value float64) float64 { return value }),
			Limit: one.Limit, Filled: one.Filled, Needed: one.Needed, Holds: one.Holds,
		})
	}
	return made
}
