// The Go host as a subject, through the API that its users call.

package tests

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

// hosts makes subjects that share a registry, whose breakers are leased from the first call on, or never.
type hosts struct {
	registry *softfuse.Registry
	clock    *softfuse.ManualClock
	changes  []*softfuse.StateChange
}

func newHosts(t testing.TB, leased bool) *hosts {
	t.Helper()
	made := &hosts{clock: &softfuse.ManualClock{}}
	after := uint16(65535)
	if leased {
		after = 0
	}
	registry, err := softfuse.New(softfuse.WithClock(made.clock), softfuse.WithSalt(0), softfuse.WithLeaseAfter(after),
		softfuse.WithOnEvent(func(event softfuse.Event) {
			switch event := event.(type) {
			case *softfuse.StateChanged:
				made.changes = append(made.changes, event.Change)
			default:
				t.Errorf("%T: %+v", event, event)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registry.Close() })
	made.registry = registry
	return made
}

// scripted is a host's condition that says what the step says.
type scripted struct {
	host  *host
	place int
}

func (s *scripted) Record(softfuse.CallRecord) (holds bool, reason string) {
	if s.place >= len(s.host.script) {
		return false, ""
	}
	return s.host.script[s.place] != "", s.host.script[s.place]
}

func (s *scripted) Reset() {}

type host struct {
	*hosts
	t       testing.TB
	policy  *softfuse.Policy
	breaker *softfuse.Breaker
	permits map[uint64]*softfuse.Permit
	settled map[uint64]bool
	given   uint64
	script  []string
}

const breakerName = "test"

func (h *hosts) subject(t testing.TB, policy string) subject {
	t.Helper()
	h.clock.Set(0)
	h.registry.Remove(breakerName)
	loaded, err := h.registry.Policy("test.toml", policy)
	if err != nil {
		t.Fatal(err)
	}
	made := &host{hosts: h, t: t, policy: loaded, permits: map[uint64]*softfuse.Permit{}, settled: map[uint64]bool{}}
	made.breaker, err = h.registry.Breaker(breakerName, loaded, softfuse.WithConditions(made.conditions()))
	if err != nil {
		t.Fatal(err)
	}
	// A breaker takes its seat in the component when it is first asked: at 0, as the others are made.
	made.status(0)
	return made
}

func (h *host) conditions() softfuse.Conditions {
	made := softfuse.Conditions{}
	for place, name := range h.policy.HostConditions() {
		made[name] = &scripted{host: h, place: place}
	}
	return made
}

func (h *host) at(now uint64) { h.clock.Set(time.Duration(now)) }

func refusal(refused *softfuse.OpenError) seen {
	found := seen{"admitted": false, "state": refused.State.String(), "trip_count": refused.TripCount}
	if refused.RetryAfter != nil {
		found["retry_after_ns"] = uint64(*refused.RetryAfter)
	}
	if refused.Reason != "" {
		found["reason"] = refused.Reason
	}
	return found
}

var changeNames = []string{"tripped", "would-have-tripped", "open-period-over", "recovered", "reset", "operator"}
var tripNames = []string{"conditions", "probe-failed", "probe-conditions", "host"}

func changeSeen(change *softfuse.StateChange) any {
	if change == nil {
		return nil
	}
	found := seen{
		"at_ns": int64(change.At), "old": change.Old.String(), "new": change.New.String(), "kind": changeNames[change.By],
		"generation": uint64(change.Generation), "trip_count": change.TripCount, "open_until_ns": nil, "trip": nil,
	}
	if change.OpenUntil != nil {
		found["open_until_ns"] = int64(*change.OpenUntil)
	}
	paths, values, limits, texts := []any{}, []any{}, []any{}, []any{}
	if trip := change.Trip; trip != nil {
		found["trip"] = tripNames[trip.By]
		switch trip.By {
		case softfuse.ByProbeFailure:
			texts = append(texts, trip.ProbeKind.String())
		case softfuse.ByHost:
			texts = append(texts, trip.HostReason)
		}
		for _, cause := range trip.Causes {
			paths, values = append(paths, cause.Path), append(values, cause.Value)
			limits, texts = append(limits, cause.Limit), append(texts, cause.Text)
		}
	}
	found["paths"], found["values"], found["limits"], found["texts"] = paths, values, limits, texts
	return found
}

func (h *host) before(now uint64) seen {
	h.at(now)
	h.changes = nil
	permit, err := h.breaker.Permit()
	var refused *softfuse.OpenError
	switch {
	case errors.As(err, &refused):
		if !errors.Is(err, softfuse.ErrOpen) || refused.ComponentFailure != nil {
			h.t.Errorf("%+v", refused)
		}
		return refusal(refused)
	case err != nil:
		h.t.Fatal(err)
	}
	h.given++
	h.permits[h.given] = permit
	found := seen{"admitted": true, "permit": h.given}
	if len(h.changes) > 0 {
		found["event"] = changeSeen(h.changes[0])
	}
	return found
}

func (h *host) settle(number uint64, ending *ending, now uint64) seen {
	h.at(now)
	permit := h.permits[number]
	if permit == nil {
		return seen{"error": "gone"}
	}
	kinds := map[string]softfuse.Kind{}
	for kind := softfuse.Success; kind <= softfuse.BadRequest; kind++ {
		kinds[kind.String()] = kind
	}
	kind, ok := kinds[ending.kind]
	if !ok {
		h.t.Fatalf("there is no outcome %s", ending.kind)
	}
	outcome := softfuse.OutcomeOf(kind).WithLatency(time.Duration(ending.latency))
	if ending.score != nil {
		outcome = outcome.WithScore(*ending.score)
	} else if ending.pending {
		outcome = outcome.WithPendingScore()
	}
	if ending.retryAfter != nil {
		outcome = outcome.WithRetryAfter(time.Duration(*ending.retryAfter))
	}
	h.script = ending.verdicts
	settled, err := permit.Settle(outcome)
	var invalid *softfuse.InvalidScoreError
	switch {
	case errors.As(err, &invalid):
		return seen{"error": "invalid-score"}
	case errors.Is(err, softfuse.ErrSettled):
		return seen{"error": "gone"}
	case err != nil:
		h.t.Fatal(err)
	}
	return seen{"effect": settled.Effect.String(), "event": changeSeen(settled.Change)}
}

func (h *host) report(number uint64, score *float64, now uint64) seen {
	h.at(now)
	permit := h.permits[number]
	if permit == nil {
		return seen{"error": "gone"}
	}
	var reported softfuse.Reported
	var err error
	if score == nil {
		reported = permit.ReportMissing()
	} else {
		reported, err = permit.ReportQuality(*score)
	}
	if err != nil {
		return seen{"error": "invalid-score"}
	}
	return seen{"effect": reported.Effect.String(), "event": changeSeen(reported.Change)}
}

func (h *host) wouldRefuse(now uint64) seen {
	h.at(now)
	if refused := h.breaker.WouldRefuse(); refused != nil {
		return refusal(refused)
	}
	return seen{"admitted": true}
}

func (h *host) status(now uint64) seen {
	h.at(now)
	s, err := h.breaker.Status()
	if err != nil {
		h.t.Fatal(err)
	}
	found := seen{
		"state": s.State.String(), "since_ns": int64(s.Since), "generation": uint64(s.Generation), "would_refuse": s.WouldRefuse,
		"retry_after_ns": nil, "trip_count": s.TripCount, "reopen_count": uint64(s.ReopenCount), "last_trip_at_ns": nil, "last_trip": nil,
		"calls": s.Totals.Calls, "successes": s.Totals.Successes, "failures": s.Totals.Failures, "neutral": s.Totals.Neutral,
		"rejections": s.Totals.Rejections, "stale": s.Totals.Stale, "last_failure_at_ns": nil, "last_failure": nil,
		"consecutive_failures": uint64(s.ConsecutiveFailures), "consecutive_successes": uint64(s.ConsecutiveSuccesses),
		"live_probes": uint64(s.LiveProbes), "passed_probes": uint64(s.PassedProbes), "calls_per_minute": uint64(s.CallsPerMinute),
	}
	if s.RetryAfter != nil {
		found["retry_after_ns"] = uint64(*s.RetryAfter)
	}
	if s.LastTrip != nil {
		found["last_trip_at_ns"], found["last_trip"] = int64(s.LastTrip.At), s.LastTrip.Text
	}
	if s.LastFailure != nil {
		found["last_failure_at_ns"], found["last_failure"] = int64(s.LastFailure.At), s.LastFailure.Kind.String()
	}
	transitions, conditions := []any{}, []any{}
	for _, one := range s.Transitions {
		transitions = append(transitions, fmt.Sprintf("%s -> %s at %d: %s", one.Old, one.New, int64(one.At), one.Text))
	}
	for _, one := range s.Conditions {
		reading := seen{
			"path": one.Path, "value": nil, "limit": one.Limit, "filled": uint64(one.Filled), "needed": uint64(one.Needed), "holds": one.Holds,
		}
		if one.Value != nil {
			reading["value"] = *one.Value
		}
		conditions = append(conditions, reading)
	}
	found["transitions"], found["conditions"] = transitions, conditions
	return found
}

func (h *host) changed(change *softfuse.StateChange, err error) seen {
	if err != nil {
		h.t.Fatal(err)
	}
	return seen{"event": changeSeen(change)}
}

func (h *host) reset(now uint64) seen {
	h.at(now)
	return h.changed(h.breaker.Reset())
}

func (h *host) operator(state string, now uint64) seen {
	h.at(now)
	known := map[string]softfuse.OperatorState{
		"forced-open": softfuse.OperatorForcedOpen, "disabled": softfuse.OperatorDisabled, "metrics-only": softfuse.OperatorMetricsOnly,
	}
	wanted, ok := known[state]
	if !ok {
		h.t.Fatalf("%s is no operator's state", state)
	}
	return h.changed(h.breaker.SetOperatorState(wanted))
}

func (h *host) trip(reason string, openFor *uint64, now uint64) seen {
	h.at(now)
	if openFor == nil {
		return h.changed(h.breaker.Trip(reason))
	}
	return h.changed(h.breaker.TripFor(reason, time.Duration(*openFor)))
}

// reincarnate is as a process that ends, and another that restores what it saved: its permits are gone.
func (h *host) reincarnate(now, then, away uint64) {
	h.at(now)
	bytes, err := h.breaker.Snapshot()
	if err != nil {
		h.t.Fatal(err)
	}
	h.permits = map[uint64]*softfuse.Permit{}
	h.registry.Remove(breakerName)
	h.at(then)
	h.breaker, err = h.registry.Restore(breakerName, h.policy, bytes, time.Duration(away), softfuse.WithConditions(h.conditions()))
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestEveryProblemOfBadPolicies(t *testing.T) {
	var bad badPolicies
	decode(t, filepath.Join(repo(t), "tests", "vectors", "policies.toml"), &bad)
	registry := newHosts(t, true).registry
	for _, one := range bad.Policy {
		var found *softfuse.PolicyError
		if _, err := registry.Policy("bad.toml", one.Text); !errors.As(err, &found) || len(found.Problems) != len(one.Problems) {
			t.Errorf("`%s`: %v", one.Name, err)
			continue
		}
		for i, expected := range one.Problems {
			problem := found.Problems[i]
			if problem.Line != expected.Line || problem.Column != expected.Column || problem.Key != expected.Key ||
				problem.Nearest != expected.Nearest || !strings.Contains(problem.Message, expected.Message) {
				t.Errorf("`%s`: expected %+v, found %+v", one.Name, expected, problem)
			}
		}
	}
	if len(bad.Policy) < 10 {
		t.Errorf("%d bad policies: is this the file?", len(bad.Policy))
	}
}
