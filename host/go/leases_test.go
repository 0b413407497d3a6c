// Leases: a host under them decides as one that asks each time, and goroutines lose nothing.

package softfuse_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

// randomPolicy is a good one, of nested conditions with small windows.
func randomPolicy(random *rand.Rand) softfuse.PolicySpec {
	window := func() []softfuse.WindowOption {
		switch random.IntN(4) {
		case 0:
			return []softfuse.WindowOption{softfuse.OverTime(time.Duration(1+random.IntN(4)) * 100 * time.Millisecond), softfuse.Slices(4),
				softfuse.MinimumCalls(1 + random.IntN(6))}
		case 1:
			return nil
		}
		return []softfuse.WindowOption{softfuse.OverCalls(1 + random.IntN(24))}
	}
	var condition func(depth int) softfuse.TripCondition
	condition = func(depth int) softfuse.TripCondition {
		switch choice := random.IntN(7); {
		case choice == 0:
			return softfuse.ConsecutiveFailures(1 + random.IntN(4))
		case choice == 1:
			return softfuse.LatencyAbove(time.Duration(5+random.IntN(30))*time.Millisecond, window()...)
		case choice == 2:
			return softfuse.SlowCallRateAbove(random.Float64(), time.Duration(5+random.IntN(30))*time.Millisecond, window()...)
		case choice == 3:
			return softfuse.ErrorRateAbove(random.Float64(), window()...)
		case choice < 6 || depth == 2:
			return softfuse.QualityBelow(0.3+0.5*random.Float64(), window()...)
		}
		children := make([]softfuse.TripCondition, 1+random.IntN(3))
		for i := range children {
			children[i] = condition(depth + 1)
		}
		if random.IntN(2) == 0 {
			return softfuse.AllOf(children...)
		}
		return softfuse.AnyOf(children...)
	}
	return softfuse.PolicySpec{
		TripOn: condition(0), HalfOpenAfter: time.Duration(1+random.IntN(200)) * time.Millisecond, RecoveryThreshold: 1 + random.IntN(3),
		RequireQualitySignal: random.IntN(3) == 0,
	}
}

// side is one of two hosts that live through the same history.
type side struct {
	registry *softfuse.Registry
	clock    *softfuse.ManualClock
	breaker  *softfuse.Breaker
	permits  []*softfuse.Permit
	seen     []string
}

func newSide(t *testing.T, spec softfuse.PolicySpec, leaseAfter uint16) *side {
	s := &side{clock: &softfuse.ManualClock{}}
	registry, err := softfuse.New(softfuse.WithClock(s.clock), softfuse.WithSalt(1), softfuse.WithLeaseAfter(leaseAfter),
		softfuse.WithInstances(1), softfuse.WithOnEvent(func(event softfuse.Event) {
			if changed, ok := event.(*softfuse.StateChanged); ok {
				s.seen = append(s.seen, fmt.Sprint(changed.Change, changed.Change.At))
			}
		}))
	must(t, err)
	s.registry = registry
	policy, err := registry.BuildPolicy("random", spec)
	must(t, err)
	s.breaker, err = registry.Breaker("test", policy)
	must(t, err)
	return s
}

func (s *side) see(what any) { s.seen = append(s.seen, fmt.Sprint(what)) }

// act does one thing, of which random says which: it says the same to both sides.
func (s *side) act(t *testing.T, random *rand.Rand, quality float64) {
	s.clock.Advance(time.Duration(random.IntN(20)) * time.Millisecond)
	if random.IntN(40) == 0 {
		s.clock.Advance(-time.Duration(random.IntN(50)) * time.Millisecond)
	}
	switch choice, index := random.IntN(100), random.IntN(8); {
	case choice < 45:
		permit, err := s.breaker.Permit()
		s.see(err)
		if err == nil {
			s.permits = append(s.permits, permit)
		}
	case choice < 90 && len(s.permits) > 0:
		outcome := softfuse.Succeeded()
		switch random.IntN(20) {
		case 0:
			outcome = softfuse.OutcomeOf(softfuse.Timeout)
		case 1:
			outcome = softfuse.OutcomeOf(softfuse.Cancelled)
		case 2:
			outcome = outcome.WithPendingScore()
		}
		outcome = outcome.WithLatency(time.Duration(random.IntN(40)) * time.Millisecond)
		if random.IntN(4) > 0 {
			outcome = outcome.WithScore(quality + 0.4*(random.Float64()-0.5))
		}
		permit := s.permits[index%len(s.permits)]
		settled, err := permit.Settle(outcome)
		s.see(fmt.Sprint(settled.Effect, settled.Latency, err))
		if len(s.permits) > 8 {
			s.permits = s.permits[1:]
		}
	case choice < 95 && len(s.permits) > 0:
		reported, err := s.permits[index%len(s.permits)].ReportQuality(quality + 0.4*(random.Float64()-0.5))
		s.see(fmt.Sprint(reported.Effect, err))
	case choice < 97:
		s.see(pretty(status(t, s.breaker)))
	case choice < 98:
		s.see(s.breaker.WouldRefuse())
	}
}

func TestALeasedHostDecidesAsAnEagerOne(t *testing.T) {
	const steps = 300
	histories, trips, answers := 300, 0, 0
	if testing.Short() {
		// One goroutine takes all these steps.
		histories = 60
	}
	for seed := range uint64(histories) {
		spec := randomPolicy(rand.New(rand.NewPCG(seed, 1)))
		leased, eager := newSide(t, spec, 0), newSide(t, spec, 65535)
		for _, s := range []*side{leased, eager} {
			random := rand.New(rand.NewPCG(seed, 2))
			for step := range steps {
				// Good for a while, then bad.
				s.act(t, random, 0.9-0.6*float64(step/100%2))
			}
			s.see(pretty(status(t, s.breaker)))
		}
		if !reflect.DeepEqual(leased.seen, eager.seen) {
			for i := range leased.seen {
				if i >= len(eager.seen) || leased.seen[i] != eager.seen[i] {
					t.Fatalf("history %d, answer %d: leased %s, eager %s\n%s", seed, i, leased.seen[i], eager.seen[min(i, len(eager.seen)-1)], spec.TOML())
				}
			}
		}
		trips += int(status(t, eager.breaker).TripCount)
		answers += len(eager.seen)
		// At once, since each has a megabyte.
		must(t, leased.registry.Close())
		must(t, eager.registry.Close())
	}
	t.Logf("%d histories, %d answers equal, %d trips", histories, answers, trips)
	if trips < histories {
		t.Errorf("%d trips: histories that never trip prove nothing", trips)
	}
}

// pretty is a status with what its pointers point to.
func pretty(s *softfuse.Status) string {
	text := fmt.Sprintf("%v %v %v %v %+v %d %d", s.State, s.Since, s.Generation, s.TripCount, s.Totals, s.ConsecutiveFailures, s.ConsecutiveSuccesses)
	for _, reading := range s.Conditions {
		if reading.Value != nil {
			text += fmt.Sprintf(" %s %v %d %v", reading.Path, *reading.Value, reading.Filled, reading.Holds)
		}
	}
	return text
}

// TestGoroutinesLoseNothing holds totals to what was done, under leases of every kind, while others look on.
func TestGoroutinesLoseNothing(t *testing.T) {
	for _, policy := range []string{
		"trip_on = { error_rate_above = { rate = 0.99, window = 50 } }",
		"trip_on = { quality_below = { threshold = 0.1, window = 20 } }",
		"trip_on = { slow_call_rate_above = { rate = 0.99, threshold_ms = 5000, window = \"10s\" } }",
		"trip_on = { any_of = [{ quality_below = { threshold = 0.1, window = \"10s\" } }, { latency_above = { threshold_ms = 5000, window = 20 } }] }",
	} {
		registry, breaker := made(t, policy)
		const goroutines, calls = 8, 4000
		var failures atomic.Uint64
		var group sync.WaitGroup
		for number := range goroutines {
			group.Go(func() {
				for i := range calls {
					_, err := softfuse.Execute(context.Background(), breaker, func(ctx context.Context) (string, error) {
						if i%500 == 499 {
							failures.Add(1)
							return "", errService
						}
						return "fine", softfuse.ReportQuality(ctx, 0.5+float64((i+number)%5)/10)
					})
					if err != nil && err != errService { //nolint:errorlint // Unchanged.
						t.Error(err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 100 {
				_ = status(t, breaker)
				_ = registry.MetricsText()
				runtime.Gosched()
			}
		}()
		group.Wait()
		<-done
		totals := status(t, breaker).Totals
		if totals.Calls != goroutines*calls || totals.Failures != failures.Load() || totals.Successes != goroutines*calls-failures.Load() {
			t.Errorf("%s: %+v, %d failures", policy, totals, failures.Load())
		}
	}
}

// TestATripTakesEffectAtOnce holds that nobody is admitted after a trip was told.
func TestATripTakesEffectAtOnce(t *testing.T) {
	_, breaker := made(t, "trip_on = { consecutive_failures = 1000 }\nhalf_open_after = \"1h\"")
	var tripped atomic.Bool
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				told := tripped.Load()
				_, err := softfuse.Execute(context.Background(), breaker, ok)
				if told {
					if err == nil {
						t.Error("a call was admitted after the trip")
					}
					return
				}
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	_, err := breaker.Trip("now")
	must(t, err)
	tripped.Store(true)
	group.Wait()
	if found := status(t, breaker); found.Totals.Rejections < 4 {
		t.Errorf("%+v", found.Totals)
	}
}
