// What happened to a breaker, as data for callbacks, logs and metrics.

package softfuse

import (
	"fmt"
	"strings"
	"time"

	wit "softfuse.dev/softfuse/internal/breakerwit"
)

// Cause is one condition's part in a trip.
type Cause struct {
	// Path is the condition's place in the policy, as in `any_of[1].error_rate_above`.
	Path string
	// Value is the measured value: a mean score, a rate between 0 and 1, milliseconds, or a count.
	Value float64
	// Limit is the policy's limit, in the value's unit.
	Limit float64
	// Text is a sentence with both numbers in it; for a condition of the host's own, the reason that it gave.
	Text string
}

// TripCase says by what a circuit opened.
type TripCase uint8

const (
	// ByConditions: conditions of the policy held.
	ByConditions TripCase = iota
	// ByProbeFailure: a probe ended in a failure.
	ByProbeFailure
	// ByProbeConditions: a probe was too slow, or failed a host's condition; or the probes' mean score was too low.
	ByProbeConditions
	// ByHost: [Breaker.Trip] was called.
	ByHost
)

// TripReason is why a circuit opened.
type TripReason struct {
	// By says which of the other fields there is.
	By TripCase
	// Causes are the conditions that held.
	Causes []Cause
	// ProbeKind is how the probe failed.
	ProbeKind Kind
	// HostReason is what [Breaker.Trip] was told.
	HostReason string
}

// String says it in words.
func (r TripReason) String() string {
	switch r.By {
	case ByProbeFailure:
		return "a probe failed: " + r.ProbeKind.String()
	case ByHost:
		return r.HostReason
	}
	texts := make([]string, len(r.Causes))
	for i, cause := range r.Causes {
		texts[i] = cause.Text
	}
	text := strings.Join(texts, "; ")
	if r.By == ByProbeConditions {
		return "probe: " + text
	}
	return text
}

// ChangeCase says by what a state changed.
type ChangeCase uint8

const (
	// Tripped: the circuit opened, or opened again.
	Tripped ChangeCase = iota
	// WouldHaveTripped: a metrics-only circuit would have opened. Its state stays; its windows are fresh.
	WouldHaveTripped
	// OpenPeriodOver: the open period has passed, and a call asked.
	OpenPeriodOver
	// Recovered: as many probes passed as the policy's `recovery_threshold` asks.
	Recovered
	// WasReset: [Breaker.Reset] was called.
	WasReset
	// ByOperator: [Breaker.SetOperatorState] was called.
	ByOperator
)

// StateChange is a change of state, or a trip that metrics-only withheld.
type StateChange struct {
	// At is when, on the registry's clock.
	At time.Duration
	// Old and New are the states.
	Old, New State
	// By says by what it changed.
	By ChangeCase
	// Trip is why it tripped, or would have; nil otherwise.
	Trip *TripReason
	// Generation begins here: permits of earlier ones are stale.
	Generation uint32
	// TripCount is how often the circuit has opened, this change included.
	TripCount uint64
	// OpenUntil is when the open period ends, unless a Retry-After extends it; nil unless it is open.
	OpenUntil *time.Duration
}

// IsTrip says whether the circuit opened, or opened again, by this.
func (c *StateChange) IsTrip() bool { return c.By == Tripped }

// Reason says in words why.
func (c *StateChange) Reason() string {
	switch c.By {
	case OpenPeriodOver:
		return "the open period is over"
	case Recovered:
		return "the probes passed"
	case WasReset:
		return "reset"
	case ByOperator:
		return "set by an operator"
	}
	text := ""
	if c.Trip != nil {
		text = c.Trip.String()
	}
	if c.By == WouldHaveTripped {
		return "would have tripped: " + text
	}
	return text
}

// String is as in `closed -> open: 3 failures in a row, 3 or more`.
func (c *StateChange) String() string { return fmt.Sprintf("%s -> %s: %s", c.Old, c.New, c.Reason()) }

// Event is something that happened to a breaker: a [*StateChanged], [*ComponentFailed], [*BreakerRestored], [*ConditionPanicked] or
// [*ScorerFailed]. More kinds may come.
type Event interface {
	// BreakerName is the name of the breaker to which it happened.
	BreakerName() string
}

// StateChanged is told of every change of state.
type StateChanged struct {
	Breaker string
	Change  *StateChange
}

// ComponentFailed is told when a call went without its breaker.
type ComponentFailed struct {
	Breaker string
	Failure *ComponentError
}

// BreakerRestored is told when a breaker was brought back after its instance of the component had failed.
type BreakerRestored struct {
	Breaker string
	// State is where it stands now.
	State State
	// RecordsLost came since the last snapshot.
	RecordsLost uint64
	// FromSnapshot is false where it starts afresh.
	FromSnapshot bool
}

// ConditionPanicked is told when a host's condition panicked, and so counts as not holding.
type ConditionPanicked struct {
	Breaker, Condition string
}

// ScorerFailed is told when a scorer gave no score, other than by abstaining.
type ScorerFailed struct {
	Breaker, Scorer string
	Failure         *ScorerFailure
}

// BreakerName is the breaker's name.
func (e *StateChanged) BreakerName() string { return e.Breaker }

// BreakerName is the breaker's name.
func (e *ComponentFailed) BreakerName() string { return e.Breaker }

// BreakerName is the breaker's name.
func (e *BreakerRestored) BreakerName() string { return e.Breaker }

// BreakerName is the breaker's name.
func (e *ConditionPanicked) BreakerName() string { return e.Breaker }

// BreakerName is the breaker's name.
func (e *ScorerFailed) BreakerName() string { return e.Breaker }

func tripReason(reason *wit.TripReason) *TripReason {
	made := &TripReason{}
	causes := func(found []wit.Cause) []Cause {
		all := make([]Cause, len(found))
		for i, one := range found {
			all[i] = Cause(one)
		}
		return all
	}
	switch reason.Case {
	case wit.TripReasonConditions:
		made.By, made.Causes = ByConditions, causes(reason.Conditions)
	case wit.TripReasonProbeFailed:
		made.By, made.ProbeKind = ByProbeFailure, Kind(reason.ProbeFailed)
	case wit.TripReasonProbeConditions:
		made.By, made.Causes = ByProbeConditions, causes(reason.ProbeConditions)
	case wit.TripReasonHost:
		made.By, made.HostReason = ByHost, reason.Host
	}
	return made
}

func stateChange(event *wit.Event) *StateChange {
	made := &StateChange{
		At: time.Duration(event.At), Old: State(event.Old), New: State(event.New), By: ChangeCase(event.Reason.Case),
		Generation: event.Generation, TripCount: event.TripCount,
	}
	switch event.Reason.Case {
	case wit.EventReasonTripped:
		made.Trip = tripReason(&event.Reason.Tripped)
	case wit.EventReasonWouldHaveTripped:
		made.Trip = tripReason(&event.Reason.WouldHaveTripped)
	}
	if event.OpenUntil.Some {
		until := time.Duration(event.OpenUntil.Value)
		made.OpenUntil = &until
	}
	return made
}
