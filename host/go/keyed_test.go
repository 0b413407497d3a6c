// One breaker per key: bounded, retired with their state safe, shared by who names them.

package softfuse_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

func family(t testing.TB, settings softfuse.KeyedSettings, options ...softfuse.Option) (*softfuse.Registry, *softfuse.Keyed) {
	t.Helper()
	registry, err := softfuse.New(options...)
	must(t, err)
	policy, err := registry.Policy("test.toml", threeFailures)
	must(t, err)
	made, err := registry.Keyed("tenants", policy, settings)
	must(t, err)
	return registry, made
}

func get(t testing.TB, keyed *softfuse.Keyed, key string) *softfuse.Breaker {
	t.Helper()
	found, err := keyed.Get(key)
	must(t, err)
	return found
}

func TestKeysHaveBreakersOfTheirOwnAndRetire(t *testing.T) {
	clock := &softfuse.ManualClock{}
	registry, keyed := family(t, softfuse.KeyedSettings{LiveMax: 3}, softfuse.WithClock(clock))
	ctx := context.Background()
	held := get(t, keyed, "a")
	for range 2 {
		_, _ = softfuse.Execute(ctx, held, fail)
	}
	for i := range 3 {
		clock.Advance(time.Second)
		_, err := softfuse.Execute(ctx, get(t, keyed, fmt.Sprint("b", i)), ok)
		must(t, err)
	}
	if keyed.Live() != 3 || keyed.Retired() != 1 {
		t.Errorf("%d at work, %d retired", keyed.Live(), keyed.Retired())
	}
	// Who holds the one that retired is led to its successor, which has its state.
	if _, err := softfuse.Execute(ctx, held, fail); !errors.Is(err, errService) {
		t.Errorf("%v", err)
	}
	if found := status(t, get(t, keyed, "a")); found.State != softfuse.Open || found.Totals.Failures != 3 {
		t.Errorf("%+v", found)
	}
	if held.IsOpen() != true || held.Name() != "tenants/a" {
		t.Errorf("%v", held.Name())
	}
	if _, err := keyed.Get(strings.Repeat("x", 1025)); err == nil || !strings.Contains(err.Error(), "1025 bytes, and may have 1024") {
		t.Errorf("%v", err)
	}
	text := registry.MetricsText()
	for _, want := range []string{
		`softfuse_keyed_breakers{breaker="tenants",state="open"} 1`, `softfuse_call_total{breaker="tenants",outcome="failure"} 3`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestWhatIsNotClosedNeverRetires(t *testing.T) {
	_, keyed := family(t, softfuse.KeyedSettings{LiveMax: 2})
	for _, key := range []string{"a", "b"} {
		_, err := get(t, keyed, key).Trip("maintenance")
		must(t, err)
	}
	if found := get(t, keyed, "c"); found != keyed.Overflow() {
		t.Errorf("%s", found.Name())
	}
	_, err := get(t, keyed, "a").Reset()
	must(t, err)
	if found := get(t, keyed, "c"); found == keyed.Overflow() {
		t.Error("there is room now")
	}
}

func TestRegistriesAreConsistent(t *testing.T) {
	registry, breaker := made(t, threeFailures)
	other, err := registry.Policy("other.toml", "trip_on = { consecutive_failures = 4 }")
	must(t, err)
	var differs *softfuse.PolicyDiffersError
	if _, err := registry.Breaker("test", other); !errors.As(err, &differs) || differs.Existing != "test.toml" || differs.Requested != "other.toml" {
		t.Errorf("%v", err)
	}
	same, err := registry.Policy("same.toml", "# spelled otherwise\nrecovery_threshold = 1\nhalf_open_after = 1\ntrip_on = { consecutive_failures = 3 }")
	must(t, err)
	if found, err := registry.Breaker("test", same); found != breaker || err != nil {
		t.Errorf("%v", err)
	}
	if _, err := registry.Keyed("test", other, softfuse.KeyedSettings{}); !errors.Is(err, softfuse.ErrNameTaken) {
		t.Errorf("%v", err)
	}
	if _, err := registry.Keyed("family", other, softfuse.KeyedSettings{LiveMax: 1 << 40}); err == nil || !strings.Contains(err.Error(), "no room for `family`") {
		t.Errorf("%v", err)
	}
	if _, err := registry.Keyed("family", other, softfuse.KeyedSettings{LentMax: -1}); err == nil || !strings.Contains(err.Error(), "LentMax is -1") {
		t.Errorf("%v", err)
	}
	if registry.Get("test") != breaker || len(registry.List()) != 1 || !registry.Remove("test") || registry.Remove("test") {
		t.Error("it was there, once")
	}
	// Who holds it goes on using it.
	if _, err := softfuse.Execute(context.Background(), breaker, ok); err != nil {
		t.Error(err)
	}
}

// callFromMany makes so many good calls in each of so many goroutines, by keys in an order of each one's own, and waits for them.
func callFromMany(t *testing.T, keyed *softfuse.Keyed, goroutines, calls, keys int) {
	t.Helper()
	var group sync.WaitGroup
	for number := range goroutines {
		group.Go(func() {
			for i := range calls {
				breaker, err := keyed.Get(fmt.Sprint((i*7 + number*i) % keys))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := softfuse.Execute(context.Background(), breaker, ok); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// TestManyKeysFromManyGoroutines retires and brings back under load: totals of all keys are what was done.
func TestManyKeysFromManyGoroutines(t *testing.T) {
	registry, keyed := family(t, softfuse.KeyedSettings{LiveMax: 8, LentMax: 2}, softfuse.WithLeaseAfter(2))
	const goroutines, calls, keys = 4, 1500, 24
	callFromMany(t, keyed, goroutines, calls, keys)
	if keyed.Live() > 8 {
		t.Errorf("%d at work", keyed.Live())
	}
	sum := status(t, keyed.Overflow()).Totals.Calls
	for key := range keys {
		sum += status(t, get(t, keyed, fmt.Sprint(key))).Totals.Calls
	}
	text := registry.MetricsText()
	if !strings.Contains(text, fmt.Sprintf(`softfuse_call_total{breaker="tenants",outcome="success"} %d`, goroutines*calls)) {
		t.Error(text)
	}
	if sum != goroutines*calls {
		t.Errorf("%d calls of %d", sum, goroutines*calls)
	}
}

// drifting is a condition of the host's own.
type drifting struct {
	lock    sync.Mutex
	seen    []softfuse.CallRecord
	resets  int
	panics  bool
	verdict string
}

func (d *drifting) Record(call softfuse.CallRecord) (holds bool, reason string) {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.seen = append(d.seen, call)
	if d.panics {
		panic("no")
	}
	return d.verdict != "", d.verdict
}

func (d *drifting) Reset() { d.resets++ }

func TestConditionsOfTheHostsOwn(t *testing.T) {
	log := &log{}
	registry, err := softfuse.New(softfuse.WithOnEvent(log.add))
	must(t, err)
	policy, err := registry.Policy("test.toml", "trip_on = { all_of = [{ host_condition = \"drift\" }, { consecutive_failures = 1 }] }")
	must(t, err)
	for want, conditions := range map[string]softfuse.Conditions{
		"names the host's condition `drift`, which wasn't handed in":     nil,
		"doesn't name the host's condition `other`, which was handed in": {"drift": &drifting{}, "other": &drifting{}},
	} {
		if _, err := registry.Breaker("test", policy, softfuse.WithConditions(conditions)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
	drift := &drifting{}
	breaker, err := registry.Breaker("test", policy, softfuse.WithConditions(softfuse.Conditions{"drift": drift}))
	must(t, err)
	ctx := context.Background()
	_, _ = softfuse.Execute(ctx, breaker, fail)
	_, err = softfuse.Execute(ctx, breaker, func(ctx context.Context) (string, error) { return "fine", softfuse.ReportQuality(ctx, 0.5) })
	must(t, err)
	drift.panics = true
	_, _ = softfuse.Execute(ctx, breaker, fail)
	if breaker.State() != softfuse.Closed || len(of[*softfuse.ConditionPanicked](log)) != 1 {
		t.Error("one that panics doesn't hold, and that is told")
	}
	drift.panics, drift.verdict = false, "the answers drift"
	_, _ = softfuse.Execute(ctx, breaker, fail)
	if refused := breaker.WouldRefuse(); refused == nil || !strings.Contains(refused.Reason, "the answers drift") {
		t.Errorf("%+v", refused)
	}
	if len(drift.seen) != 4 || drift.seen[0].Kind != softfuse.Failed || *drift.seen[1].Score != 0.5 {
		t.Errorf("%+v", drift.seen)
	}
	_, err = breaker.Reset()
	must(t, err)
	if drift.resets != 1 {
		t.Errorf("%d resets", drift.resets)
	}
}
