// What a hot upgrade does to who has a place: the component at work says how much a breaker takes, and nobody who was promised room loses it.

package softfuse_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"softfuse.dev/softfuse"
	"softfuse.dev/softfuse/internal/hostile"
)

// claims is a component that says that a breaker takes 8 MiB, whatever its policy is.
func claims(t *testing.T) []byte {
	t.Helper()
	// The answer's field `breaker-bytes`, of 64 bits, lies at 40 of what local 2 points to.
	field := []byte{0x20, 0x02, 0x42, 0x80, 0x80, 0x80, 0x04, 0x37, 0x03, 40}
	made, err := hostile.After(component(t, "", nil), "softfuse:breaker/breaker@0.1.0#load-policy", 2, field)
	must(t, err)
	return made
}

func TestRoomAfterHotUpgrades(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"a bound that is too small":        aBoundThatIsTooSmall,
		"breakers that are too many":       breakersThatAreTooMany,
		"who is removed and used again":    whoIsRemovedAndUsedAgain,
		"long snapshots count":             longSnapshotsCount,
		"places go by the one at work":     placesGoByTheOneAtWork,
		"a family goes by the one at work": aFamilyGoesByTheOneAtWork,
		"a heavier one under load":         aHeavierOneUnderLoad,
		"a long snapshot wants more room":  aLongSnapshotWantsMoreRoom,
	} {
		t.Run(name, test)
	}
}

// hasNoRoom is what the error says that the bound must be at least; nothing has changed by what it stands for.
func hasNoRoom(t *testing.T, registry *softfuse.Registry, next []byte, memory int, breakers []*softfuse.Breaker) int {
	t.Helper()
	before := statuses(t, breakers)
	report, err := registry.ReplaceComponent("next.wasm", next, patience, memory)
	var failure *softfuse.ComponentError
	if report != nil || !errors.As(err, &failure) || failure.Reason != "breaker-refused" {
		t.Fatalf("%+v %v", report, err)
	}
	for _, want := range []string{"`next.wasm` has no room", fmt.Sprintf("a memoryBytesMax of %d;", memory)} {
		if !strings.Contains(failure.Text, want) {
			t.Errorf("no %s in: %v", want, err)
		}
	}
	if found := statuses(t, breakers); !reflect.DeepEqual(found, before) {
		t.Errorf("%+v\n%+v", found, before)
	}
	least := regexp.MustCompile(`it must be (\d+) at least$`).FindStringSubmatch(failure.Text)
	if least == nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(least[1])
	must(t, err)
	return number
}

// withMoreLike is a breaker, and so many more of its policy.
func withMoreLike(t *testing.T, registry *softfuse.Registry, first *softfuse.Breaker, more int) []*softfuse.Breaker {
	t.Helper()
	breakers := []*softfuse.Breaker{first}
	for at := range more {
		named, err := registry.Breaker(fmt.Sprint("llm ", at), first.Policy())
		must(t, err)
		breakers = append(breakers, named)
	}
	return breakers
}

func aBoundThatIsTooSmall(t *testing.T) {
	log := &log{}
	const large = "{ quality_below = { threshold = 0.5, window = 100_000 } }"
	registry, first := made(t, "trip_on = { any_of = ["+large+", { all_of = ["+large+", "+large+"] }] }",
		code, softfuse.WithInstances(2), softfuse.WithOnEvent(log.add), softfuse.WithClock(&softfuse.ManualClock{}))
	// Three in the one instance, two in the other; the last was never used, and has its place all the same.
	breakers := withMoreLike(t, registry, first, 4)
	for at, breaker := range breakers[:4] {
		for range at + 1 {
			_, err := softfuse.Execute(context.Background(), breaker, ok)
			must(t, err)
		}
	}
	early, err := first.Permit()
	must(t, err)
	if _, err := registry.ReplaceComponent("next.wasm", component(t, "", nil), patience, 1<<20); err == nil ||
		!strings.HasSuffix(err.Error(), ": its bound of 1048576 must be that at least") {
		t.Errorf("%v", err)
	}
	least := hasNoRoom(t, registry, component(t, "", nil), 2<<20, breakers[:4])
	if again := hasNoRoom(t, registry, component(t, "", nil), least-64<<10, breakers[:4]); again != least {
		t.Errorf("%d, and it was %d", again, least)
	}
	if settled, err := early.Success(); err != nil || settled.Effect != softfuse.Recorded || len(log.events) != 0 {
		t.Errorf("%+v %v %+v", settled, err, log.events)
	}
	// With what the error names there is room: for their windows in full, too.
	report, err := registry.ReplaceComponent("next.wasm", component(t, "", nil), patience, least)
	if err != nil || len(report.Restored) != 4 || status(t, first).Totals.Successes != 2 {
		t.Fatalf("%+v %v", report, err)
	}
	for _, breaker := range breakers {
		for range 4 {
			_, err := breaker.Trip("to be saved")
			must(t, err)
			_, err = breaker.Reset()
			must(t, err)
		}
	}
	if failures := of[*softfuse.ComponentFailed](log); len(failures) != 0 {
		t.Errorf("%+v", failures)
	}
	if _, err := registry.Breaker("one more", first.Policy()); err != nil {
		t.Errorf("%v: the other instance has room", err)
	}
	if _, err := registry.Breaker("too many", first.Policy()); err == nil || !strings.Contains(err.Error(), "6 like it fit") {
		t.Errorf("%v", err)
	}
}

func breakersThatAreTooMany(t *testing.T) {
	registry, breakers, log := fleet(t)
	events := len(of[softfuse.Event](log))
	// Two named ones in each of three instances, and two of the family beside the overflow breaker: 8 MiB each, and 10 on the way.
	least := hasNoRoom(t, registry, claims(t), 28<<20, breakers)
	if last := hasNoRoom(t, registry, claims(t), least-64<<10, breakers); last != least {
		t.Errorf("%d, and it was %d", last, least)
	}
	if found := of[softfuse.Event](log); len(found) != events {
		t.Errorf("%+v", found[events:])
	}
	if report, err := registry.ReplaceComponent("next.wasm", claims(t), patience, least); err != nil || len(report.Restored) != len(breakers) {
		t.Errorf("%+v %v", report, err)
	}
}

// whoIsRemovedAndUsedAgain has no place, and sits in an instance all the same: the bound that is named has room for it.
func whoIsRemovedAndUsedAgain(t *testing.T) {
	registry, first := made(t, threeFailures, code, softfuse.WithInstances(2))
	// Eight in each instance: half of them have given up their places, and one has a place that it never used.
	breakers := withMoreLike(t, registry, first, 15)
	for at, breaker := range breakers[:15] {
		if at%4 < 2 {
			registry.Remove(breaker.Name())
		}
		_, err := softfuse.Execute(context.Background(), breaker, ok)
		must(t, err)
	}
	used := breakers[:15]
	least := hasNoRoom(t, registry, claims(t), 32<<20, used)
	if again := hasNoRoom(t, registry, claims(t), least-64<<10, used); again != least {
		t.Errorf("%d, and it was %d", again, least)
	}
	before := statuses(t, used)
	if report, err := registry.ReplaceComponent("next.wasm", claims(t), patience, least); err != nil || len(report.Restored) != len(used) {
		t.Fatalf("%+v %v", report, err)
	}
	if found := statuses(t, used); !reflect.DeepEqual(found, before) {
		t.Errorf("%+v\n%+v", found, before)
	}
}

// longSnapshotsCount: with what one takes beyond what is claimed for it.
func longSnapshotsCount(t *testing.T) {
	registry, first := made(t, threeFailures, code, softfuse.WithInstances(1))
	count := 0
	more := func(most int) {
		for range most {
			count++
			named, err := registry.Breaker(fmt.Sprint("llm ", count), first.Policy())
			must(t, err)
			_, err = softfuse.Execute(context.Background(), named, ok)
			must(t, err)
		}
	}
	longHistory(t, first)
	more(1100)
	// A bound is in pages, and what a snapshot takes more is a seventh of one: some of these sums are just beyond one by it alone.
	for range 10 {
		least := hasNoRoom(t, registry, component(t, "", nil), 2<<20, []*softfuse.Breaker{first})
		_, err := registry.ReplaceComponent("next.wasm", component(t, "", nil), patience, least)
		must(t, err)
		_, err = registry.ReplaceComponent("roomy", component(t, "", nil), patience, 64<<20)
		must(t, err)
		more(9)
	}
}

// filled numbers what [fill] makes.
var filled atomic.Int64

// fill makes breakers until there is no room: how many.
func fill(t *testing.T, registry *softfuse.Registry, policy *softfuse.Policy) (made int) {
	t.Helper()
	for ; made < 100; made++ {
		name := fmt.Sprint("breaker ", filled.Add(1))
		breaker, err := registry.Breaker(name, policy)
		if err != nil {
			if !strings.Contains(err.Error(), "no room for `"+name+"`") {
				t.Fatal(err)
			}
			return made
		}
		if _, err := softfuse.Execute(context.Background(), breaker, ok); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

func placesGoByTheOneAtWork(t *testing.T) {
	const bound = 64 << 20
	one := softfuse.WithInstances(1)
	from, first := made(t, threeFailures, softfuse.WithComponent("heavy", claims(t), patience, bound), one, code)
	want := fill(t, from, first.Policy()) + 1
	if want != 5 {
		t.Fatalf("%d of 8 MiB, and one on its way, in seven eighths of 64 MiB", want)
	}
	registry, first := made(t, threeFailures, one, code)
	unused, err := registry.Policy("unused.toml", "trip_on = { consecutive_failures = 4 }")
	must(t, err)
	// By one of which there is no breaker at the upgrade, and by one that has some.
	for _, policy := range []*softfuse.Policy{unused, first.Policy()} {
		_, err = registry.ReplaceComponent("heavy", claims(t), patience, bound)
		must(t, err)
		if found := fill(t, registry, policy); found != want-1 {
			t.Errorf("%d beside the first one, and %d in all is right", found, want)
		}
		if found := fill(t, registry, first.Policy()) + fill(t, registry, unused); found != 0 {
			t.Errorf("%d more", found)
		}
		remove(registry, 2)
		if found := fill(t, registry, unused); found != 2 {
			t.Errorf("%d in the place of two", found)
		}
		// What the one says is nothing to the other.
		_, err = registry.ReplaceComponent("light", component(t, "", nil), patience, bound)
		must(t, err)
		if found := fill(t, registry, first.Policy()) + fill(t, registry, unused); found < 100 {
			t.Errorf("%d more", found)
		}
		remove(registry, 1000)
	}
}

// remove takes out so many of what [fill] made.
func remove(registry *softfuse.Registry, most int) {
	for _, breaker := range registry.List() {
		if breaker.Name() != "test" && most > 0 {
			registry.Remove(breaker.Name())
			most--
		}
	}
}

func aFamilyGoesByTheOneAtWork(t *testing.T) {
	// The first one is that which is part of the package, and belongs to no registry.
	registry, first := made(t, threeFailures, softfuse.WithInstances(1))
	before, err := registry.Keyed("before", first.Policy(), softfuse.KeyedSettings{LiveMax: 50})
	must(t, err)
	key := func(at int) *softfuse.Breaker { return get(t, before, fmt.Sprint(at)) }
	if key(0) == before.Overflow() {
		t.Error("it has room")
	}
	_, err = registry.ReplaceComponent("heavy", claims(t), patience, 64<<20)
	must(t, err)
	// Five in all: the overflow breaker, and four keys. Whoever comes beyond those has the place of one that retires.
	for at := range 40 {
		_, err := softfuse.Execute(context.Background(), key(at), ok)
		must(t, err)
	}
	if before.Live() != 4 || before.Retired() != 36 || len(before.List()) != 4 {
		t.Errorf("%d at work, %d retired", before.Live(), before.Retired())
	}
	for at := range 40 {
		if found := status(t, key(at)); key(at) == before.Overflow() || found.Totals.Successes != 1 {
			t.Errorf("%d: %+v", at, found.Totals)
		}
	}
	// Never one that isn't closed: then whoever comes beyond those is served as well.
	for _, name := range before.List() {
		_, err = get(t, before, name).Trip("maintenance")
		must(t, err)
	}
	open := before.List()
	for at := range 40 {
		if overflows := key(at) == before.Overflow(); overflows == slices.Contains(open, fmt.Sprint(at)) {
			t.Errorf("%d of %v: %v", at, open, overflows)
		}
	}
	_, err = get(t, before, open[0]).Reset()
	must(t, err)
	if key(40) == before.Overflow() || before.Live() != 4 || status(t, before.Overflow()).Totals.Calls != 0 {
		t.Errorf("%d at work", before.Live())
	}
	if _, err := registry.Keyed("five keys", first.Policy(), softfuse.KeyedSettings{LiveMax: 5}); err == nil || !strings.Contains(err.Error(), "5 like it fit") {
		t.Errorf("%v", err)
	}
	_, err = registry.Keyed("four keys", first.Policy(), softfuse.KeyedSettings{LiveMax: 4})
	must(t, err)
	// By a component whose breakers take less it has as many as it was made for again.
	_, err = registry.ReplaceComponent("light", component(t, "", nil), patience, 64<<20)
	must(t, err)
	for at := range 60 {
		key(at)
	}
	if before.Live() != 50 {
		t.Errorf("%d at work", before.Live())
	}
}

// aHeavierOneUnderLoad: keys of several shards make room for each other while a family has far less than it was made for. All calls
// are counted, and so are those at work.
func aHeavierOneUnderLoad(t *testing.T) {
	registry, first := made(t, threeFailures, code, softfuse.WithInstances(2))
	tenants, err := registry.Keyed("tenants", first.Policy(), softfuse.KeyedSettings{LiveMax: 2048, LentMax: 2})
	must(t, err)
	_, err = registry.ReplaceComponent("heavy", claims(t), patience, 64<<20)
	must(t, err)
	const goroutines, calls, keys = 4, 400, 40
	callFromMany(t, tenants, goroutines, calls, keys)
	// Five in each instance, one of which is the overflow breaker.
	if live := tenants.Live(); live != len(tenants.List()) || live > 9 || live+tenants.Retired() != keys {
		t.Errorf("%d at work, %d retired: %v", live, tenants.Retired(), tenants.List())
	}
	sum := status(t, tenants.Overflow()).Totals.Calls
	for key := range keys {
		found := get(t, tenants, fmt.Sprint(key))
		if found == tenants.Overflow() {
			t.Fatalf("%d: all others are closed", key)
		}
		sum += status(t, found).Totals.Calls
	}
	if sum != goroutines*calls {
		t.Errorf("%d calls of %d", sum, goroutines*calls)
	}
}

// longHistory makes a snapshot of the breaker as long as it gets: all that is kept of trips, each for a long reason.
func longHistory(t *testing.T, breaker *softfuse.Breaker) {
	t.Helper()
	for range 16 {
		_, err := breaker.Trip(strings.Repeat("x", 1024))
		must(t, err)
		_, err = breaker.Reset()
		must(t, err)
	}
}

func aLongSnapshotWantsMoreRoom(t *testing.T) {
	registry, first := made(t, threeFailures, code, softfuse.WithInstances(1), softfuse.WithComponent("small", component(t, "", nil), patience, 2<<20))
	_, err := registry.Keyed("too many", first.Policy(), softfuse.KeyedSettings{LiveMax: 1_000_000})
	fit := regexp.MustCompile(`(\d+) like it fit`).FindStringSubmatch(fmt.Sprint(err))
	if fit == nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(fit[1])
	must(t, err)
	// With the overflow breaker they fill the instance.
	tenants, err := registry.Keyed("tenants", first.Policy(), softfuse.KeyedSettings{LiveMax: most - 1})
	must(t, err)
	longHistory(t, get(t, tenants, "long"))
	// Those that were called later retire later.
	for at := 0; slices.Contains(tenants.List(), "long") && at < 10*most; at++ {
		_, err := softfuse.Execute(context.Background(), get(t, tenants, fmt.Sprint(at)), ok)
		must(t, err)
	}
	if tenants.Live() != most-1 {
		t.Errorf("%d at work of %d", tenants.Live(), most-1)
	}
	found := get(t, tenants, "long")
	if found == tenants.Overflow() || len(status(t, found).Transitions) != 16 {
		t.Errorf("%+v", status(t, found).Totals)
	}
	live := tenants.Live()
	if live != len(tenants.List()) || live >= most-2 || live < most-1-64 {
		t.Errorf("%d at work of %d, and %v", live, most-1, tenants.List())
	}
}
