// A host's own conditions: code in Go that sees every record and may hold, as a leaf of the policy.

package softfuse

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"softfuse.dev/softfuse/internal/abi"
	"softfuse.dev/softfuse/internal/core"
)

// CallRecord is one settled call, as a condition sees it.
type CallRecord struct {
	// Kind is how it ended: a success or a failure. Neutral outcomes are not shown.
	Kind Kind
	// Latency is how long it took.
	Latency time.Duration
	// Score is its score where it had one when it was settled; nil otherwise.
	Score *float64
	// At is when it was settled, on the registry's clock.
	At time.Duration
}

// Condition is one of the host's own, which a policy names by `host_condition = "name"`.
//
// It runs under its breaker's lock, so it must be quick and must not call the breaker. It sees every record that takes its place in
// the windows; those that came too late, and neutral ones, it doesn't see. A probe is judged alone: the condition is reset before it.
// If it panics, it counts as not holding, and that is told as an event.
type Condition interface {
	// Record takes a record: whether the condition holds now, and why. 1,024 bytes of the reason are kept.
	Record(call CallRecord) (holds bool, reason string)
	// Reset forgets all records: the circuit went half-open, closed, or was reset.
	Reset()
}

// Conditions are conditions by name, to be handed in when a breaker is made.
type Conditions map[string]Condition

// heldCondition is a breaker's, in the order in which its policy asks for their verdicts.
type heldCondition struct {
	name      string
	condition Condition
}

// hold matches what was handed in with what the policy names.
func hold(name string, policy *Policy, given Conditions) ([]heldCondition, error) {
	var held []heldCondition
	left := maps.Clone(given)
	for _, wanted := range policy.core.Info.HostConditions {
		found := left[wanted]
		if found == nil {
			return nil, fmt.Errorf("the policy %s of the breaker `%s` names the host's condition `%s`, which wasn't handed in: "+
				"see WithConditions", policy.Source(), name, wanted)
		}
		held = append(held, heldCondition{name: wanted, condition: found})
		delete(left, wanted)
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("the policy %s of the breaker `%s` doesn't name the host's condition `%s`, which was handed in",
			policy.Source(), name, slices.Sorted(maps.Keys(left))[0])
	}
	return held, nil
}

// verdict asks one. What it leaves half-done when it panics is its own affair: it is asked again with the next record.
func (h *heldCondition) verdict(call CallRecord) (verdict abi.Option[string], panicked bool) {
	defer func() {
		if recover() != nil {
			verdict, panicked = abi.Option[string]{}, true
		}
	}()
	if holds, reason := h.condition.Record(call); holds {
		return abi.Some(core.Shortened(reason)), false
	}
	return verdict, false
}

func (h *heldCondition) reset() (panicked bool) {
	defer func() { panicked = recover() != nil }()
	h.condition.Reset()
	return false
}
