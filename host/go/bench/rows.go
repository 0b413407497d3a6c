// What is measured: guarded calls of this host, and of gobreaker, made alike.

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"softfuse.dev/softfuse"
)

const (
	// plainPolicy trips on what gobreaker's default does, and on a rate.
	plainPolicy = `trip_on = { any_of = [{ error_rate_above = { rate = 0.5, window = 20 } }, { consecutive_failures = 6 }] }`
	// scoredPolicy looks at the answers as well.
	scoredPolicy = `trip_on = { any_of = [{ quality_below = { threshold = 0.7, window = 20 } }, { error_rate_above = { rate = 0.5, window = 20 } }] }`
	// lenientPolicy lets a service fail 30 % of its calls.
	lenientPolicy = `trip_on = { error_rate_above = { rate = 0.9, window = 20 } }`
	peerName      = "gobreaker 2.4.0"
)

var errService = errors.New("the service failed")

// parallel runs calls on as many goroutines as there are processors.
func parallel(run contestant) contestant {
	return func(calls int) {
		var group sync.WaitGroup
		goroutines := runtime.GOMAXPROCS(0)
		for range goroutines {
			group.Go(func() { run(calls / goroutines) })
		}
		group.Wait()
	}
}

func good(context.Context) (string, error) { return "Paris", nil }

// scores wobble around 0.85.
var scores = [...]float64{0.9, 0.8, 0.95, 0.7, 0.85, 0.9, 0.75, 0.95}

type ours struct {
	registry *softfuse.Registry
	err      error
}

func (o *ours) breaker(name, policy string) *softfuse.Breaker {
	if o.err != nil {
		return nil
	}
	loaded, err := o.registry.Policy(name, policy)
	if err != nil {
		o.err = err
		return nil
	}
	made, err := o.registry.Breaker(name, loaded)
	o.err = err
	return made
}

func execute(breaker *softfuse.Breaker) contestant {
	return func(calls int) {
		ctx := context.Background()
		for range calls {
			if _, err := softfuse.Execute(ctx, breaker, good); err != nil {
				panic(err)
			}
		}
	}
}

func permits(breaker *softfuse.Breaker) contestant {
	return func(calls int) {
		for range calls {
			permit, err := breaker.Permit()
			if err != nil {
				panic(err)
			}
			if _, err := permit.Success(); err != nil {
				panic(err)
			}
		}
	}
}

func scored(breaker *softfuse.Breaker) contestant {
	return func(calls int) {
		ctx := context.Background()
		for i := range calls {
			_, err := softfuse.Execute(ctx, breaker, func(ctx context.Context) (string, error) {
				return "Paris", softfuse.ReportQuality(ctx, scores[i%len(scores)])
			})
			if err != nil {
				panic(err)
			}
		}
	}
}

// failing fails some of each ten calls.
func failing(breaker *softfuse.Breaker, of10 int) contestant {
	return func(calls int) {
		ctx := context.Background()
		for i := range calls {
			_, err := softfuse.Execute(ctx, breaker, func(context.Context) (string, error) {
				if i*7%10 < of10 {
					return "", errService
				}
				return "Paris", nil
			})
			if err != nil && !errors.Is(err, errService) {
				panic(err)
			}
		}
	}
}

func rejected(breaker *softfuse.Breaker) contestant {
	return func(calls int) {
		ctx := context.Background()
		for range calls {
			if _, err := softfuse.Execute(ctx, breaker, good); err == nil {
				panic("it wasn't refused")
			}
		}
	}
}

// fresh is one with the defaults.
func fresh() *gobreaker.CircuitBreaker[string] { return peer(gobreaker.Settings{}) }

func peer(settings gobreaker.Settings) *gobreaker.CircuitBreaker[string] {
	return gobreaker.NewCircuitBreaker[string](settings)
}

func peerExecute(breaker *gobreaker.CircuitBreaker[string]) contestant {
	return func(calls int) {
		for range calls {
			if _, err := breaker.Execute(func() (string, error) { return "Paris", nil }); err != nil {
				panic(err)
			}
		}
	}
}

func peerTwoStep(breaker *gobreaker.TwoStepCircuitBreaker[string]) contestant {
	return func(calls int) {
		for range calls {
			done, err := breaker.Allow()
			if err != nil {
				panic(err)
			}
			done(nil)
		}
	}
}

func peerFailing(breaker *gobreaker.CircuitBreaker[string], of10 int) contestant {
	return func(calls int) {
		for i := range calls {
			_, err := breaker.Execute(func() (string, error) {
				if i*7%10 < of10 {
					return "", errService
				}
				return "Paris", nil
			})
			if err != nil && !errors.Is(err, errService) {
				panic(err)
			}
		}
	}
}

func peerRejected(breaker *gobreaker.CircuitBreaker[string]) contestant {
	return func(calls int) {
		for range calls {
			if _, err := breaker.Execute(func() (string, error) { return "Paris", nil }); err == nil {
				panic("it wasn't refused")
			}
		}
	}
}

var origin = time.Now()

// clock reads it as a guarded call does: twice, and the monotonic one alone.
func clock(calls int) {
	var sum time.Duration
	for range calls {
		began := time.Since(origin)
		sum += time.Since(origin) - began
	}
	if sum < 0 {
		panic("a monotonic clock ran backwards")
	}
}

// peerClock reads it as gobreaker does.
func peerClock(calls int) {
	var sum time.Duration
	for range calls {
		began := time.Now()
		ended := time.Now()
		sum += ended.Sub(began)
	}
	if sum < 0 {
		panic("a monotonic clock ran backwards")
	}
}

// rows are the table's.
func rows() ([]row, error) {
	registry, err := softfuse.New()
	if err != nil {
		return nil, err
	}
	eager, err := softfuse.New(softfuse.WithLeaseAfter(65535))
	if err != nil {
		return nil, err
	}
	o, e := &ours{registry: registry}, &ours{registry: eager}
	never := gobreaker.Settings{ReadyToTrip: func(gobreaker.Counts) bool { return false }}
	open := peer(gobreaker.Settings{Timeout: time.Hour})
	for range 6 {
		_, _ = open.Execute(func() (string, error) { return "", errService })
	}
	refusing := o.breaker("rejected", plainPolicy)
	if o.err == nil {
		if _, err := refusing.TripFor("measured", 24*time.Hour); err != nil {
			return nil, err
		}
	}
	made := []row{
		{name: "guarded call, 1 goroutine", ours: execute(o.breaker("one", plainPolicy)), peer: peerExecute(fresh()), peerName: peerName, goal: 0.7},
		{name: "guarded call, parallel", ours: parallel(execute(o.breaker("parallel", plainPolicy))),
			peer: parallel(peerExecute(fresh())), peerName: peerName, goal: 0.7},
		{name: "of which the clock, read twice", ours: clock, peer: peerClock, peerName: "time.Now, which gobreaker reads"},
		{name: "two steps, 1 goroutine", ours: permits(o.breaker("two", plainPolicy)),
			peer: peerTwoStep(gobreaker.NewTwoStepCircuitBreaker[string](gobreaker.Settings{})), peerName: peerName + ", two steps"},
		{name: "two steps, parallel", ours: parallel(permits(o.breaker("two-parallel", plainPolicy))),
			peer: parallel(peerTwoStep(gobreaker.NewTwoStepCircuitBreaker[string](gobreaker.Settings{}))), peerName: peerName + ", two steps"},
		{name: "scored call, window 20, 1 goroutine", ours: scored(o.breaker("scored", scoredPolicy)),
			peer: peerExecute(fresh()), peerName: peerName + ", which can't"},
		{name: "scored call, window 20, parallel", ours: parallel(scored(o.breaker("scored-parallel", scoredPolicy))),
			peer: parallel(peerExecute(fresh())), peerName: peerName + ", which can't"},
		{name: "1 of 10 calls fails", ours: failing(o.breaker("failing-10", lenientPolicy), 1), peer: peerFailing(peer(never), 1), peerName: peerName},
		{name: "3 of 10 calls fail", ours: failing(o.breaker("failing-30", lenientPolicy), 3), peer: peerFailing(peer(never), 3), peerName: peerName},
		{name: "rejection", ours: rejected(refusing), peer: peerRejected(open), peerName: peerName},
		{name: "guarded call without a lease: the component is asked each time", ours: execute(e.breaker("eager", plainPolicy)),
			peer: peerExecute(fresh()), peerName: peerName},
	}
	if err := errors.Join(o.err, e.err); err != nil {
		return nil, fmt.Errorf("a breaker: %w", err)
	}
	return append(made, scorerRows()...), nil
}

// scorerRows are those of the scorers that come with Softfuse, where they were built: SOFTFUSE_COMPONENTS says where.
func scorerRows() []row {
	folder := os.Getenv("SOFTFUSE_COMPONENTS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "target", "components")
	}
	sentence := "The capital of France is Paris, which has lain on the Seine for two thousand years and more. "
	prose := softfuse.Exchange{Answer: softfuse.Body{ContentType: "text/plain", Bytes: []byte(strings.Repeat(sentence, 2048/len(sentence)))}}
	unread := softfuse.Exchange{Answer: softfuse.Body{ContentType: "image/png", Bytes: prose.Answer.Bytes}}
	var made []row
	for _, one := range []struct {
		name     string
		exchange *softfuse.Exchange
		fresh    bool
	}{
		{"scorer, 2 KiB that it doesn't read", &unread, false}, {"scorer text, 2 KiB of prose", &prose, false},
		{"scorer text, 2 KiB of prose, a fresh instance each", &prose, true},
	} {
		scorer, err := softfuse.ScorerFile(filepath.Join(folder, "scorers", "text.wasm"), softfuse.ScorerSettings{Fresh: one.fresh})
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: no scorer is measured:", err)
			return nil
		}
		made = append(made, row{name: one.name, ours: func(calls int) {
			for range calls {
				if _, err := scorer.Score(one.exchange); err != nil {
					panic(err)
				}
			}
		}})
	}
	return made
}
