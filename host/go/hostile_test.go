// Breaker components that fail: they are replaced, and breakers come back from their last snapshots.

package softfuse_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"softfuse.dev/softfuse"
	"softfuse.dev/softfuse/internal/hostile"
)

const recordOutcome = "softfuse:breaker/breaker@0.1.0#record-outcome"

// broken is a registry whose component has another body for a function.
func broken(t *testing.T, export string, body []byte, options ...softfuse.Option) (*softfuse.Registry, *softfuse.Breaker, *log) {
	t.Helper()
	log, deadline := &log{}, patience
	if slices.Equal(body, hostile.Loops) {
		deadline = 500 * time.Millisecond
	}
	options = append(options, softfuse.WithComponent("broken", component(t, export, body), deadline, 32<<20), softfuse.WithOnEvent(log.add), code)
	registry, breaker := made(t, threeFailures, options...)
	return registry, breaker, log
}

type log struct {
	lock   sync.Mutex
	events []softfuse.Event
}

func (l *log) add(event softfuse.Event) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.events = append(l.events, event)
}

// of are the events of a kind.
func of[T softfuse.Event](l *log) []T {
	l.lock.Lock()
	defer l.lock.Unlock()
	var found []T
	for _, event := range l.events {
		if one, ok := event.(T); ok {
			found = append(found, one)
		}
	}
	return found
}

func TestComponentsThatFailAreNamed(t *testing.T) {
	for _, test := range []struct {
		body   []byte
		reason string
	}{
		{hostile.Traps, "trapped"}, {hostile.Loops, "deadline"}, {hostile.Eats, "memory"}, {hostile.Lies, "nonsense"}, {hostile.Misaligns, "nonsense"},
	} {
		registry, breaker, log := broken(t, recordOutcome, test.body)
		if value, err := softfuse.Execute(context.Background(), breaker, ok); value != "fine" || err != nil {
			t.Errorf("%s: %q %v: the call keeps its answer", test.reason, value, err)
		}
		failures := of[*softfuse.ComponentFailed](log)
		if len(failures) != 1 || failures[0].Failure.Reason != test.reason {
			t.Errorf("%s: %+v", test.reason, failures)
		}
		_ = status(t, breaker)
		back := of[*softfuse.BreakerRestored](log)
		if len(back) != 1 || back[0].FromSnapshot || back[0].RecordsLost != 1 {
			t.Errorf("%s: %+v", test.reason, back)
		}
		text := registry.MetricsText()
		for _, want := range []string{
			`softfuse_component_failures_total{reason="` + test.reason + `"} 1`, "softfuse_component_restarts_total 1", "softfuse_records_lost_total 1",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s", test.reason, want)
			}
		}
	}
}

func TestAnOpenCircuitComesBackOpen(t *testing.T) {
	clock := &softfuse.ManualClock{}
	_, breaker, log := broken(t, recordOutcome, hostile.Traps, softfuse.WithClock(clock))
	permit, err := breaker.Permit()
	must(t, err)
	_, err = breaker.TripFor("maintenance", time.Minute)
	must(t, err)
	clock.Advance(10 * time.Second)
	settled, err := permit.Failure(softfuse.Failed)
	must(t, err)
	if settled.Effect != softfuse.Lost {
		t.Errorf("%+v", settled)
	}
	_, err = softfuse.Execute(context.Background(), breaker, ok)
	var open *softfuse.OpenError
	if !errors.As(err, &open) || *open.RetryAfter != 50*time.Second || open.TripCount != 1 || !strings.Contains(open.Reason, "maintenance") {
		t.Errorf("%v", err)
	}
	if back := of[*softfuse.BreakerRestored](log); len(back) != 1 || !back[0].FromSnapshot || back[0].State != softfuse.Open {
		t.Errorf("%+v", back)
	}
}

func TestAComponentThatFailsAgainAndAgainRests(t *testing.T) {
	for _, mode := range []softfuse.FailureMode{softfuse.FailOpen, softfuse.FailClosed} {
		clock := &softfuse.ManualClock{}
		registry, breaker, _ := broken(t, recordOutcome, hostile.Traps, softfuse.WithClock(clock), softfuse.WithFailureMode(mode),
			softfuse.WithInstances(1))
		for range 5 {
			_, err := softfuse.Execute(context.Background(), breaker, ok)
			must(t, err)
		}
		_, err := softfuse.Execute(context.Background(), breaker, ok)
		var open *softfuse.OpenError
		switch {
		case mode == softfuse.FailOpen && err == nil:
			if text := registry.MetricsText(); !strings.Contains(text, `softfuse_unguarded_total{breaker="test"} 1`) {
				t.Error(text)
			}
		case mode == softfuse.FailClosed && errors.As(err, &open) && open.ComponentFailure != nil && open.ComponentFailure.Reason == "resting":
			if *open.RetryAfter != time.Second {
				t.Errorf("%v", *open.RetryAfter)
			}
		default:
			t.Errorf("%v: %v", mode, err)
		}
		clock.Advance(time.Second)
		permit, err := breaker.Permit()
		must(t, err)
		if !permit.IsGuarded() {
			t.Error("the rest is over")
		}
	}
}

func TestWhatIsNoComponent(t *testing.T) {
	for _, bytes := range []string{"", "nonsense", "\x00asm\x01\x00\x00\x00", "\x00asm\x0d\x00\x01\x00"} {
		_, err := softfuse.New(softfuse.WithComponent("test.wasm", []byte(bytes), time.Second, 1<<20))
		if err == nil || !strings.Contains(err.Error(), "test.wasm: ") {
			t.Errorf("%q: %v", bytes, err)
		}
	}
}

func TestSnapshots(t *testing.T) {
	registry, breaker := made(t, threeFailures)
	_, err := breaker.Trip("maintenance")
	must(t, err)
	bytes, err := breaker.Snapshot()
	must(t, err)
	var refused *softfuse.RestoreError
	for reason, snapshot := range map[string][]byte{"not-a-snapshot": []byte("nonsense"), "corrupt": bytes[:len(bytes)-1], "too-long": make([]byte, 4<<20)} {
		if _, err := registry.Restore("other", breaker.Policy(), snapshot, 0); !errors.As(err, &refused) || refused.Reason != reason {
			t.Errorf("%s: %v", reason, err)
		}
	}
	if _, err := registry.Restore("test", breaker.Policy(), bytes, 0); !errors.Is(err, softfuse.ErrNameTaken) {
		t.Errorf("%v", err)
	}
	back, err := registry.Restore("other", breaker.Policy(), bytes, 400*time.Millisecond)
	must(t, err)
	if refused := back.WouldRefuse(); refused == nil || *refused.RetryAfter > 600*time.Millisecond || back.State() != softfuse.Open {
		t.Errorf("%+v", refused)
	}
}

func TestCompiledCodeIsKept(t *testing.T) {
	folder := t.TempDir()
	for range 2 {
		registry, breaker := made(t, threeFailures, softfuse.WithCacheDir(folder))
		_, err := softfuse.Execute(context.Background(), breaker, ok)
		must(t, err)
		must(t, registry.Close())
	}
	kept, err := os.ReadDir(folder)
	if err != nil || len(kept) == 0 {
		t.Errorf("%v %v", kept, err)
	}
	if _, err := softfuse.New(softfuse.WithCacheDir("")); err == nil {
		t.Error("that is no folder")
	}
}
