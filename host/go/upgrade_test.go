// Hot upgrades of the component: everybody comes along, or nothing has changed, or it is said who was lost.

package softfuse_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"softfuse.dev/softfuse"
	"softfuse.dev/softfuse/internal/hostile"
)

const restore = "softfuse:breaker/breaker@0.1.0#restore"

// refuses is a body of `restore` that takes nothing for a snapshot.
var refuses = []byte{0x00, 0x41, 0x80, 0x08, 0x41, 0x01, 0x36, 0x02, 0x00, 0x41, 0x80, 0x08, 0x41, 0x02, 0x36, 0x02, 0x08, 0x41, 0x80, 0x08, 0x0b}

// component is the one that comes with the package; with a body, it has that one for a function.
func component(t *testing.T, export string, body []byte) []byte {
	t.Helper()
	bytes, err := os.ReadFile("internal/component/breaker.wasm")
	must(t, err)
	if body != nil {
		bytes, err = hostile.Break(bytes, export, body)
		must(t, err)
	}
	return bytes
}

// fleet is breakers in several instances, named and of a family; every other one is open.
func fleet(t *testing.T) (*softfuse.Registry, []*softfuse.Breaker, *log) {
	t.Helper()
	log := &log{}
	registry, first := made(t, "trip_on = { consecutive_failures = 2 }\nhalf_open_after = \"1h\"",
		softfuse.WithInstances(3), softfuse.WithOnEvent(log.add), softfuse.WithClock(&softfuse.ManualClock{}), code)
	family, err := registry.Keyed("tenants", first.Policy(), softfuse.KeyedSettings{LiveMax: 100})
	must(t, err)
	breakers := []*softfuse.Breaker{first}
	for at := range 5 {
		named, err := registry.Breaker(fmt.Sprint("llm ", at), first.Policy())
		must(t, err)
		breakers = append(breakers, named, get(t, family, fmt.Sprint(at)))
	}
	for at, breaker := range breakers {
		for range at%2 + 1 {
			_, _ = softfuse.Execute(context.Background(), breaker, fail)
		}
	}
	return registry, breakers, log
}

func statuses(t *testing.T, breakers []*softfuse.Breaker) (all []softfuse.Status) {
	t.Helper()
	for _, breaker := range breakers {
		all = append(all, *status(t, breaker))
	}
	return all
}

func sorted(breakers []*softfuse.Breaker) []string {
	all := names(breakers)
	slices.Sort(all)
	return all
}

func TestHotUpgrades(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"everybody comes along": everybodyComesAlong, "no call is lost": noCallIsLost, "one that fails changes nothing": oneThatFailsChangesNothing,
		"who was lost is said": whoWasLostIsSaid,
	} {
		t.Run(name, test)
	}
}

func everybodyComesAlong(t *testing.T) {
	registry, breakers, log := fleet(t)
	early, err := breakers[0].Permit()
	must(t, err)
	before, events := statuses(t, breakers), len(of[softfuse.Event](log))
	for range 2 {
		report, err := registry.ReplaceComponent("again", component(t, "", nil), patience, 64<<20)
		must(t, err)
		if !slices.Equal(report.Restored, sorted(breakers)) || report.Refused != nil || report.Lost != nil {
			t.Fatalf("%+v", report)
		}
		if found := statuses(t, breakers); !reflect.DeepEqual(found, before) {
			t.Errorf("%+v\n%+v", found, before)
		}
	}
	// A permit of the first one is the second failure of its breaker.
	settled, err := early.Failure(softfuse.Failed)
	if err != nil || settled.Effect != softfuse.Recorded || !settled.Tripped() {
		t.Errorf("%+v %v", settled, err)
	}
	if found := of[softfuse.Event](log)[events:]; len(found) != 1 || len(of[*softfuse.BreakerRestored](log)) != 0 {
		t.Errorf("%+v", found)
	}
	if text := registry.MetricsText(); !strings.Contains(text, "softfuse_component_restarts_total 0") {
		t.Error(text)
	}
	// Who comes later has the new one, and who leaves leaves it.
	family, err := registry.Keyed("later", breakers[0].Policy(), softfuse.KeyedSettings{})
	must(t, err)
	_, _ = softfuse.Execute(context.Background(), get(t, family, "a"), ok)
	if !registry.Remove("llm 1") || status(t, get(t, family, "a")).Totals.Successes != 1 {
		t.Error("it is at work")
	}
}

func noCallIsLost(t *testing.T) {
	registry, breaker := made(t, "trip_on = { quality_below = { threshold = 0.5, window = 20 } }", code)
	const goroutines, calls = 4, 2000
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range calls {
				_, err := softfuse.Execute(context.Background(), breaker, func(ctx context.Context) (string, error) {
					return "fine", softfuse.ReportQuality(ctx, 0.9)
				})
				must(t, err)
			}
		})
	}
	for range 3 {
		report, err := registry.ReplaceComponent("again", component(t, "", nil), patience, 64<<20)
		if err != nil || report.Refused != nil || report.Lost != nil {
			t.Errorf("%+v %v", report, err)
		}
	}
	group.Wait()
	if found := status(t, breaker); found.Totals.Successes != goroutines*calls || found.Conditions[0].Filled != 20 {
		t.Errorf("%+v", found)
	}
}

func oneThatFailsChangesNothing(t *testing.T) {
	registry, breakers, log := fleet(t)
	before, events := statuses(t, breakers), len(of[softfuse.Event](log))
	var failure *softfuse.ComponentError
	for _, test := range []struct {
		bytes  []byte
		memory int
		reason string
	}{
		{component(t, restore, hostile.Traps), 64 << 20, "trapped"}, {[]byte("nonsense"), 64 << 20, ""}, {component(t, "", nil), 1, ""},
	} {
		report, err := registry.ReplaceComponent("worse", test.bytes, patience, test.memory)
		if err == nil || report != nil || test.reason != "" && (!errors.As(err, &failure) || failure.Reason != test.reason) {
			t.Errorf("%s: %+v %v", test.reason, report, err)
		}
		if found := statuses(t, breakers); !reflect.DeepEqual(found, before) {
			t.Errorf("%+v\n%+v", found, before)
		}
	}
	if found := of[softfuse.Event](log); len(found) != events {
		t.Errorf("%+v", found[events:])
	}
	if _, err := registry.ReplaceComponentFile("nowhere.wasm", patience, 64<<20); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func whoWasLostIsSaid(t *testing.T) {
	const snapshot = "softfuse:breaker/breaker@0.1.0#snapshot"
	for _, test := range []struct{ old, next []byte }{
		{component(t, snapshot, hostile.Traps), component(t, "", nil)}, {component(t, "", nil), component(t, restore, refuses)},
	} {
		log := &log{}
		registry, breaker := made(t, threeFailures, softfuse.WithComponent("old", test.old, patience, 64<<20), softfuse.WithOnEvent(log.add), code)
		_, err := softfuse.Execute(context.Background(), breaker, ok)
		must(t, err)
		report, err := registry.ReplaceComponent("next", test.next, patience, 64<<20)
		must(t, err)
		lost := slices.Equal(report.Lost, []string{"test"}) && report.Refused == nil
		refused := report.Lost == nil && slices.Equal(report.Refused, []softfuse.RefusedBreaker{{"test", "these bytes are not a snapshot"}})
		if !lost && !refused || lost == (len(report.Refused) > 0) || report.Restored != nil {
			t.Errorf("%+v", report)
		}
		// It starts afresh, and that is told.
		if found := status(t, breaker); found.Totals.Calls != 0 {
			t.Errorf("%+v", found)
		}
		if back := of[*softfuse.BreakerRestored](log); len(back) != 1 || back[0].RecordsLost != 1 || back[0].FromSnapshot {
			t.Errorf("%+v", back)
		}
	}
}
