// The component itself as a subject, called by the generated glue: what only those see who speak the contract.

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"softfuse.dev/softfuse/internal/abi"
	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
)

// componentsFolder is where the components lie that were built from this repository.
func componentsFolder(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("SOFTFUSE_COMPONENTS")
	if folder == "" {
		folder = filepath.Join(repo(t), "target", "components")
	}
	if _, err := os.Stat(filepath.Join(folder, "breaker.wasm")); err != nil {
		t.Fatalf("no components in %s: make them by `cargo run --release -- components target/components` in the repository's root, "+
			"or set SOFTFUSE_COMPONENTS to where they are", folder)
	}
	return folder
}

type component struct{ guest *wit.Guest }

func newComponent(t testing.TB) *component {
	t.Helper()
	bytes, err := os.ReadFile(filepath.Join(componentsFolder(t), "breaker.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := core.Compile("breaker.wasm", bytes, core.Bounds{MemoryBytesMax: 64 << 20, OutputBytesMax: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = compiled.Close() })
	instance, failure := compiled.Instantiate(0)
	if failure != nil {
		t.Fatal(failure)
	}
	guest, err := wit.Bind(instance)
	if err != nil {
		t.Fatal(err)
	}
	return &component{guest: guest}
}

type rawSubject struct {
	t      testing.TB
	guest  *wit.Guest
	policy wit.PolicyInfo
	id     uint32
}

func (c *component) subject(t testing.TB, policy string) subject {
	t.Helper()
	loaded, err := c.guest.LoadPolicy(policy)
	if err != nil || !loaded.OK {
		t.Fatalf("%v %+v", err, loaded.Err)
	}
	made, err := c.guest.Create(loaded.Value.ID, breakerName, 0, 0)
	if err != nil || !made.OK {
		t.Fatalf("%v %+v", err, made.Err)
	}
	return &rawSubject{t: t, guest: c.guest, policy: loaded.Value, id: made.Value}
}

func (r *rawSubject) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func orNil[T any](option abi.Option[T]) any {
	if option.Some {
		return option.Value
	}
	return nil
}

var eventKinds = []string{"tripped", "would-have-tripped", "open-period-over", "recovered", "reset", "operator"}
var tripKinds = []string{"conditions", "probe-failed", "probe-conditions", "host"}

func eventSeen(event abi.Option[wit.Event]) any {
	if !event.Some {
		return nil
	}
	e := &event.Value
	found := seen{
		"at_ns": e.At, "old": wit.StateNames[e.Old], "new": wit.StateNames[e.New], "kind": eventKinds[e.Reason.Case],
		"generation": uint64(e.Generation), "trip_count": e.TripCount, "open_until_ns": orNil(e.OpenUntil), "trip": nil,
	}
	var reason *wit.TripReason
	switch e.Reason.Case {
	case wit.EventReasonTripped:
		reason = &e.Reason.Tripped
	case wit.EventReasonWouldHaveTripped:
		reason = &e.Reason.WouldHaveTripped
	}
	paths, values, limits, texts := []any{}, []any{}, []any{}, []any{}
	if reason != nil {
		found["trip"] = tripKinds[reason.Case]
		switch reason.Case {
		case wit.TripReasonProbeFailed:
			texts = append(texts, wit.OutcomeKindNames[reason.ProbeFailed])
		case wit.TripReasonHost:
			texts = append(texts, reason.Host)
		}
		for _, cause := range append(append([]wit.Cause{}, reason.Conditions...), reason.ProbeConditions...) {
			paths, values = append(paths, cause.Path), append(values, cause.Value)
			limits, texts = append(limits, cause.Limit), append(texts, cause.Text)
		}
	}
	found["paths"], found["values"], found["limits"], found["texts"] = paths, values, limits, texts
	return found
}

func rejectionSeen(rejection *wit.Rejection) seen {
	return seen{
		"admitted": false, "state": wit.StateNames[rejection.State], "retry_after_ns": orNil(rejection.RetryAfter),
		"trip_count": rejection.TripCount, "reason": orNil(rejection.Reason),
	}
}

func (r *rawSubject) before(now uint64) seen {
	answer, err := r.guest.BeforeCall(r.id, now)
	r.must(err)
	if answer.OK {
		return seen{"admitted": true, "permit": answer.Value.Permit, "event": eventSeen(answer.Value.Event)}
	}
	if answer.Err.Case != wit.RefusalRejected {
		r.t.Fatalf("%+v", answer.Err)
	}
	return rejectionSeen(&answer.Err.Rejected)
}

var recordErrors = []string{"unknown-breaker", "unknown-permit", "stale", "invalid-score", "invalid-verdicts", "other"}

func settlementSeen(answer *abi.Result[wit.Settlement, wit.RecordError]) seen {
	if !answer.OK {
		return seen{"error": recordErrors[answer.Err.Case]}
	}
	return seen{"effect": wit.EffectNames[answer.Value.Effect], "event": eventSeen(answer.Value.Event)}
}

func (r *rawSubject) settle(permit uint64, ending *ending, now uint64) seen {
	outcome := wit.Outcome{Latency: ending.latency}
	for kind, name := range wit.OutcomeKindNames {
		if name == ending.kind {
			outcome.Kind = wit.OutcomeKind(kind)
		}
	}
	if ending.score != nil {
		outcome.Signal = wit.Signal{Case: wit.SignalScore, Score: *ending.score}
	} else if ending.pending {
		outcome.Signal.Case = wit.SignalPending
	}
	if ending.retryAfter != nil {
		outcome.RetryAfter = abi.Some(*ending.retryAfter)
	}
	var answer abi.Result[wit.Settlement, wit.RecordError]
	var err error
	if len(ending.verdicts) == 0 {
		answer, err = r.guest.RecordOutcome(r.id, permit, outcome, now)
	} else {
		verdicts := make([]abi.Option[string], len(ending.verdicts))
		for i, reason := range ending.verdicts {
			verdicts[i] = abi.Option[string]{Value: reason, Some: reason != ""}
		}
		answer, err = r.guest.RecordJudgedOutcome(r.id, permit, outcome, verdicts, now)
	}
	r.must(err)
	return settlementSeen(&answer)
}

func (r *rawSubject) report(permit uint64, score *float64, now uint64) seen {
	report := wit.QualityReport{Case: wit.QualityReportMissing}
	if score != nil {
		report = wit.QualityReport{Case: wit.QualityReportScore, Score: *score}
	}
	answer, err := r.guest.ReportQuality(r.id, permit, report, now)
	r.must(err)
	return settlementSeen(&answer)
}

func (r *rawSubject) wouldRefuse(now uint64) seen {
	found, err := r.guest.WouldRefuse(r.id, now)
	r.must(err)
	if found.Some {
		return rejectionSeen(&found.Value)
	}
	return seen{"admitted": true}
}

func (r *rawSubject) status(now uint64) seen {
	answer, err := r.guest.Status(r.id, now)
	r.must(err)
	if !answer.Some {
		r.t.Fatal("no status")
	}
	s := &answer.Value
	found := seen{
		"state": wit.StateNames[s.State], "since_ns": s.Since, "generation": uint64(s.Generation), "would_refuse": s.WouldRefuse,
		"retry_after_ns": orNil(s.RetryAfter), "trip_count": s.TripCount, "reopen_count": uint64(s.ReopenCount),
		"last_trip_at_ns": nil, "last_trip": nil, "calls": s.Totals.Calls, "successes": s.Totals.Successes,
		"failures": s.Totals.Failures, "neutral": s.Totals.Neutral, "rejections": s.Totals.Rejections, "stale": s.Totals.Stale,
		"last_failure_at_ns": nil, "last_failure": nil, "consecutive_failures": uint64(s.ConsecutiveFailures),
		"consecutive_successes": uint64(s.ConsecutiveSuccesses), "live_probes": uint64(s.LiveProbes),
		"passed_probes": uint64(s.PassedProbes), "calls_per_minute": uint64(s.CallsPerMinute),
	}
	if s.LastTrip.Some {
		found["last_trip_at_ns"], found["last_trip"] = s.LastTrip.Value.At, s.LastTrip.Value.Text
	}
	if s.LastFailure.Some {
		found["last_failure_at_ns"], found["last_failure"] = s.LastFailure.Value.At, wit.OutcomeKindNames[s.LastFailure.Value.Kind]
	}
	transitions, conditions := []any{}, []any{}
	for _, one := range s.Transitions {
		transitions = append(transitions, fmt.Sprintf("%s -> %s at %d: %s", wit.StateNames[one.Old], wit.StateNames[one.New], one.At, one.Text))
	}
	for _, one := range s.Conditions {
		conditions = append(conditions, seen{
			"path": one.Path, "value": orNil(one.Value), "limit": one.Limit, "filled": uint64(one.Filled), "needed": uint64(one.Needed),
			"holds": one.Holds,
		})
	}
	found["transitions"], found["conditions"] = transitions, conditions
	return found
}

func (r *rawSubject) reset(now uint64) seen {
	event, err := r.guest.Reset(r.id, now)
	r.must(err)
	return seen{"event": eventSeen(event)}
}

func (r *rawSubject) operator(state string, now uint64) seen {
	states := map[string]wit.OperatorState{
		"forced-open": wit.OperatorStateForcedOpen, "disabled": wit.OperatorStateDisabled, "metrics-only": wit.OperatorStateMetricsOnly,
	}
	event, err := r.guest.SetOperatorState(r.id, states[state], now)
	r.must(err)
	return seen{"event": eventSeen(event)}
}

func (r *rawSubject) trip(reason string, openFor *uint64, now uint64) seen {
	var span abi.Option[uint64]
	if openFor != nil {
		span = abi.Some(*openFor)
	}
	event, err := r.guest.Trip(r.id, reason, span, now)
	r.must(err)
	return seen{"event": eventSeen(event)}
}

func (r *rawSubject) reincarnate(now, then, away uint64) {
	bytes, err := r.guest.Snapshot(r.id, now)
	r.must(err)
	made, err := r.guest.Restore(r.policy.ID, bytes.Value, then, away)
	r.must(err)
	if !made.OK {
		r.t.Fatalf("%+v", made.Err)
	}
	r.id = made.Value
}
