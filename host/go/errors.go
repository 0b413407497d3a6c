// What can go wrong, by cause.

package softfuse

import (
	"errors"
	"fmt"
	"strings"
	"time"

	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
)

// ErrOpen is what every [OpenError] is, for [errors.Is].
var ErrOpen = errors.New("the circuit refuses calls")

// ErrSettled is for a permit that was settled before: nothing has changed.
var ErrSettled = errors.New("the permit is settled already")

// ErrNoCall is for a report by a context that belongs to no guarded call.
var ErrNoCall = errors.New("the context belongs to no guarded call: hand on the one that the guarded function got")

// ErrNameTaken is for a name that a breaker or a keyed family has.
var ErrNameTaken = errors.New("the name is taken")

// OpenError is a refusal: the circuit is open, or half-open with all its probes under way. It is no error of the service; it is what
// the breaker is for.
type OpenError struct {
	// Breaker is its name.
	Breaker string
	// State is where the circuit stands; the last that is known where the component failed.
	State State
	// RetryAfter is how long to wait: exact while open; nil while half-open is full or forced open, since nobody knows.
	RetryAfter *time.Duration
	// TripCount is how often the circuit has opened since it was made or last reset.
	TripCount uint64
	// Reason is why it last opened, in words; empty where an operator opened a circuit that had never tripped.
	Reason string
	// ComponentFailure is how the breaker component failed, where it did and the registry fails closed; nil otherwise.
	ComponentFailure *ComponentError
}

func (e *OpenError) Error() string {
	if e.ComponentFailure != nil {
		return fmt.Sprintf("circuit `%s`: refused, since %v", e.Breaker, e.ComponentFailure)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "circuit `%s` is %s", e.Breaker, e.State)
	if e.Reason != "" {
		text.WriteString(": " + e.Reason)
	}
	if e.RetryAfter != nil {
		fmt.Fprintf(&text, " (retry after %v)", *e.RetryAfter)
	}
	return text.String()
}

// Is says that it is [ErrOpen].
func (e *OpenError) Is(target error) bool { return target == ErrOpen }

// Unwrap is the component's failure, where there is one.
func (e *OpenError) Unwrap() error {
	if e.ComponentFailure == nil {
		return nil
	}
	return e.ComponentFailure
}

// ComponentError is why the breaker component gave no answer.
type ComponentError struct {
	// Reason is a word, as in the metric `softfuse_component_failures_total`: `trapped`, `deadline`, `memory`, `stack`, `output`,
	// `nonsense`, `not-starting`, `policy-refused`, `breaker-refused`, `resting`, `contract-broken`.
	Reason string
	// Text says it to people.
	Text string
	// Rest is how long the component isn't started, where the reason is `resting`.
	Rest time.Duration
}

func (e *ComponentError) Error() string { return e.Text }

func componentError(failure *core.Failure) *ComponentError {
	if failure == nil {
		return nil
	}
	return &ComponentError{Reason: failure.Reason, Text: failure.Text, Rest: failure.Rest}
}

// asError is a failure as an error, nil where there is none.
func asError(failure *core.Failure) error {
	if failure == nil {
		return nil
	}
	return componentError(failure)
}

// PolicyProblem is one thing wrong with a policy's text.
type PolicyProblem struct {
	// Line and Column are counted from 1; the column in characters.
	Line, Column uint32
	// Key is with its path: `trip_on.any_of[1].quality_below.window`; empty where the text isn't TOML.
	Key string
	// Message says what is wrong and what would be right.
	Message string
	// Nearest is the nearest key that exists, for one that doesn't; empty otherwise.
	Nearest string
}

// String is as in `3:1: key: message (did you mean ...?)`, the parts that there are.
func (p PolicyProblem) String() string {
	text := fmt.Sprintf("%d:%d: ", p.Line, p.Column)
	if p.Key != "" {
		text += p.Key + ": "
	}
	text += p.Message
	// The component may have said it in its message already.
	if p.Nearest != "" && !strings.Contains(p.Message, p.Nearest) {
		text += fmt.Sprintf(" (did you mean `%s`?)", p.Nearest)
	}
	return text
}

// PolicyError is why a policy's text is none.
type PolicyError struct {
	// Source is the file, or what else the text is called.
	Source string
	// Problems are all that is wrong with it, in order of appearance.
	Problems []PolicyProblem
}

func (e *PolicyError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		lines[i] = e.Source + ":" + problem.String()
	}
	return strings.Join(lines, "\n")
}

// PolicyDiffersError is for a breaker that exists with a policy of another meaning.
type PolicyDiffersError struct {
	// Breaker is its name.
	Breaker string
	// Existing and Requested say where the policies come from.
	Existing, Requested string
}

func (e *PolicyDiffersError) Error() string {
	return fmt.Sprintf("two policies for the breaker `%s`: it was made with %s, and now %s is asked for", e.Breaker, e.Existing, e.Requested)
}

// RestoreError is why a snapshot was refused. No breaker was made.
type RestoreError struct {
	// Breaker is the name that it was to have.
	Breaker string
	// Reason is `not-a-snapshot`, `unknown-version`, `corrupt`, `policy-differs`, `too-long`, `failed` or `other`.
	Reason string
	// Text says it to people.
	Text string
}

func (e *RestoreError) Error() string {
	return fmt.Sprintf("the snapshot of `%s` can't be restored: %s", e.Breaker, e.Text)
}

func restoreError(name string, refused *wit.RestoreError) *RestoreError {
	made := &RestoreError{Breaker: name, Reason: "other", Text: refused.Other}
	switch refused.Case {
	case wit.RestoreErrorUnknownPolicy:
		made.Text = "its policy isn't known"
	case wit.RestoreErrorTooMany:
		made.Text = fmt.Sprintf("%d breakers exist, and no more can", refused.TooMany)
	case wit.RestoreErrorNotASnapshot:
		made.Reason, made.Text = "not-a-snapshot", "these bytes are not a snapshot"
	case wit.RestoreErrorUnknownVersion:
		made.Reason = "unknown-version"
		made.Text = fmt.Sprintf("version %d of the snapshot's format isn't known to this component", refused.UnknownVersion)
	case wit.RestoreErrorCorrupt:
		made.Reason, made.Text = "corrupt", "the snapshot is damaged: "+refused.Corrupt
	case wit.RestoreErrorPolicyDiffers:
		made.Reason = "policy-differs"
		made.Text = fmt.Sprintf("it was taken under another policy, with the fingerprint %016x", refused.PolicyDiffers)
	}
	return made
}

// noRoom says that the component has no room for a breaker or a family, as one of so many breakers.
func noRoom(name string, breakers int, no *core.NoRoom) error {
	return fmt.Errorf("no room for `%s` as one of %d breakers: with full windows it takes up to %d bytes, and they may have %d of each of "+
		"%d instances of the component: alone, %d like it fit; raise MemoryBytesMax or Instances, or have fewer or smaller ones",
		name, breakers, no.Bytes, no.InstanceBytesMax, no.Instances, no.Fit)
}
