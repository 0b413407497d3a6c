// What a guarded call does, as a user sees it: outcomes, panics, contexts, scores, fallbacks.

package softfuse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

var errService = errors.New("the service failed")

// made is a registry for a test, and a breaker of it.
func made(t testing.TB, policy string, options ...softfuse.Option) (*softfuse.Registry, *softfuse.Breaker) {
	t.Helper()
	registry, err := softfuse.New(options...)
	must(t, err)
	t.Cleanup(func() { must(t, registry.Close()) })
	loaded, err := registry.Policy("test.toml", policy)
	must(t, err)
	breaker, err := registry.Breaker("test", loaded)
	must(t, err)
	return registry, breaker
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func status(t testing.TB, breaker *softfuse.Breaker) *softfuse.Status {
	t.Helper()
	found, err := breaker.Status()
	must(t, err)
	return found
}

const threeFailures = "trip_on = { consecutive_failures = 3 }\nhalf_open_after = \"1s\"\nrecovery_threshold = 1"

func ok(context.Context) (string, error)   { return "fine", nil }
func fail(context.Context) (string, error) { return "", errService }

func TestACircuitOpensRefusesAndCloses(t *testing.T) {
	clock := &softfuse.ManualClock{}
	_, breaker := made(t, threeFailures, softfuse.WithClock(clock))
	ctx := context.Background()
	for range 3 {
		if _, err := softfuse.Execute(ctx, breaker, fail); err != errService { //nolint:errorlint // Unchanged.
			t.Fatalf("%v", err)
		}
	}
	_, err := softfuse.Execute(ctx, breaker, func(context.Context) (string, error) { t.Error("it was called"); return "", nil })
	var open *softfuse.OpenError
	if !errors.Is(err, softfuse.ErrOpen) || !errors.As(err, &open) {
		t.Fatalf("%v", err)
	}
	if open.State != softfuse.Open || open.TripCount != 1 || *open.RetryAfter != time.Second || !strings.Contains(open.Reason, "3 calls in a row failed") {
		t.Errorf("%+v", open)
	}
	clock.Advance(time.Second)
	if breaker.IsOpen() {
		t.Error("its open period is over")
	}
	if value, err := softfuse.Execute(ctx, breaker, ok); value != "fine" || err != nil || breaker.State() != softfuse.Closed {
		t.Errorf("%q %v %v", value, err, breaker.State())
	}
}

func TestWhatErrorsCountAs(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	background := context.Background()
	seconds := 7 * time.Second
	for _, test := range []struct {
		ctx  context.Context
		err  error
		want softfuse.Kind
	}{
		{background, nil, softfuse.Success},
		{background, errService, softfuse.Failed},
		{cancelled, fmt.Errorf("wrapped: %w", context.Canceled), softfuse.Cancelled},
		{cancelled, errors.New("operation was canceled"), softfuse.Cancelled},
		{background, context.Canceled, softfuse.Failed},
		{background, fmt.Errorf("wrapped: %w", context.DeadlineExceeded), softfuse.Timeout},
		{background, &softfuse.StatusError{StatusCode: 429, RetryAfter: &seconds}, softfuse.RateLimited},
		{cancelled, &softfuse.StatusError{StatusCode: 500}, softfuse.Failed},
		{background, &softfuse.StatusError{StatusCode: 529}, softfuse.Overloaded},
		{background, &softfuse.StatusError{StatusCode: 400}, softfuse.BadRequest},
		{background, &softfuse.StatusError{StatusCode: 451}, softfuse.ContentPolicy},
		{background, &softfuse.StatusError{StatusCode: 504}, softfuse.Timeout},
	} {
		if found := softfuse.Classify(test.ctx, test.err).Kind(); found != test.want {
			t.Errorf("%v: %v, not %v", test.err, found, test.want)
		}
	}
}

func TestContextsThatEnd(t *testing.T) {
	_, breaker := made(t, threeFailures)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := softfuse.Execute(ctx, breaker, func(ctx context.Context) (string, error) {
		cancel()
		<-ctx.Done()
		return "", ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// It has ended before: nobody is asked, and nothing is counted.
	if _, err := softfuse.Execute(ctx, breaker, ok); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	deadline, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = softfuse.Execute(deadline, breaker, func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if totals := status(t, breaker).Totals; totals.Calls != 2 || totals.Neutral != 1 || totals.Failures != 1 {
		t.Errorf("%+v", totals)
	}
}

func TestAPanicCountsAndGoesOn(t *testing.T) {
	for _, policy := range []string{threeFailures, "trip_on = { any_of = [{ quality_below = 0.5 }, { consecutive_failures = 3 }] }"} {
		_, breaker := made(t, policy)
		func() {
			defer func() {
				if found := recover(); found != "gone wrong" {
					t.Errorf("%v", found)
				}
			}()
			_, _ = softfuse.Execute(context.Background(), breaker, func(context.Context) (string, error) { panic("gone wrong") })
		}()
		var group sync.WaitGroup
		group.Go(func() {
			_, _ = softfuse.Execute(context.Background(), breaker, func(context.Context) (string, error) { runtime.Goexit(); return "", nil })
		})
		group.Wait()
		func() {
			defer func() { _ = recover() }()
			_, _ = softfuse.Execute(context.Background(), breaker, func(context.Context) (string, error) { panic(http.ErrAbortHandler) })
		}()
		if totals := status(t, breaker).Totals; totals.Failures != 1 || totals.Neutral != 2 {
			t.Errorf("%+v", totals)
		}
	}
}

func TestScores(t *testing.T) {
	registry, breaker := made(t, "trip_on = { quality_below = { threshold = 0.5, window = 2 } }")
	ctx := context.Background()
	var later softfuse.Reporter
	_, err := softfuse.Execute(ctx, breaker, func(ctx context.Context) (string, error) {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		must(t, softfuse.ReportQuality(child, 0))
		must(t, softfuse.ReportQuality(ctx, 0.9))
		var err error
		later, err = softfuse.ReporterOf(child)
		must(t, err)
		var invalid *softfuse.InvalidScoreError
		if err := softfuse.ReportQuality(ctx, 2e6); !errors.As(err, &invalid) {
			t.Errorf("%v", err)
		}
		return "fine", nil
	})
	must(t, err)
	reading := status(t, breaker).Conditions[0]
	if reading.Filled != 1 || *reading.Value != 0.9 {
		t.Errorf("%+v: the last report counts", reading)
	}
	// A late one is a sample of its own.
	reported, err := later.ReportQuality(0)
	must(t, err)
	if reported.Change == nil || !reported.Change.IsTrip() {
		t.Errorf("%+v", reported)
	}
	if err := softfuse.ReportQuality(ctx, 1); !errors.Is(err, softfuse.ErrNoCall) {
		t.Errorf("%v", err)
	}
	if text := registry.MetricsText(); !strings.Contains(text, `softfuse_quality_score_count{breaker="test"} 2`) {
		t.Error(text)
	}
}

func TestScoresThatNothingDependsOnAreCounted(t *testing.T) {
	registry, breaker := made(t, threeFailures)
	for range 40 {
		_, err := softfuse.Execute(context.Background(), breaker, func(ctx context.Context) (string, error) {
			return "fine", softfuse.ReportQuality(ctx, 0.25)
		})
		must(t, err)
	}
	text := registry.MetricsText()
	for _, want := range []string{`softfuse_quality_score_sum{breaker="test"} 10.0`, `softfuse_call_total{breaker="test",outcome="success"} 40`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestAPermitIsSettledOnce(t *testing.T) {
	_, breaker := made(t, threeFailures)
	permit, err := breaker.Permit()
	must(t, err)
	if _, err := permit.Settle(softfuse.Succeeded().WithScore(3e6)); err == nil {
		t.Error("that is no score")
	}
	_, err = permit.Failure(softfuse.Timeout)
	must(t, err)
	permit.Cancel()
	if _, err := permit.Success(); !errors.Is(err, softfuse.ErrSettled) {
		t.Errorf("%v", err)
	}
	if totals := status(t, breaker).Totals; totals.Calls != 1 || totals.Failures != 1 {
		t.Errorf("%+v", totals)
	}
}

func TestFallbacks(t *testing.T) {
	_, breaker := made(t, "trip_on = { any_of = [{ quality_below = 0.5 }, { consecutive_failures = 2 }] }")
	low := 0.5
	var causes []string
	guard := softfuse.Guard[string]{
		Breaker: breaker, ReplaceBelow: &low,
		Fallback: func(_ context.Context, cause *softfuse.FallbackCause) (string, error) {
			causes = append(causes, cause.Error())
			return "instead", nil
		},
	}
	ctx := context.Background()
	value, err := guard.Execute(ctx, func(ctx context.Context) (string, error) { return "bad", softfuse.ReportQuality(ctx, 0.1) })
	if value != "instead" || err != nil {
		t.Errorf("%q %v", value, err)
	}
	if _, err := guard.Execute(ctx, fail); !errors.Is(err, errService) {
		t.Errorf("%v: it opened nothing, and is the caller's", err)
	}
	for range 2 {
		if value, err := guard.Execute(ctx, fail); value != "instead" || err != nil {
			t.Errorf("%q %v", value, err)
		}
	}
	if len(causes) != 3 || causes[1] != errService.Error() || !strings.Contains(causes[2], "is open") {
		t.Errorf("%q", causes)
	}
	panics := softfuse.Guard[string]{
		Breaker: breaker, ReplaceBelow: &low,
		Fallback: func(context.Context, *softfuse.FallbackCause) (string, error) { panic("no") },
	}
	_, err = breaker.Reset()
	must(t, err)
	value, err = panics.Execute(ctx, func(ctx context.Context) (string, error) { return "bad", softfuse.ReportQuality(ctx, 0.1) })
	if value != "bad" || err != nil {
		t.Errorf("%q %v: a bad answer is better than none", value, err)
	}
}

func TestCallbacksComeInOrderAndMayUseTheBreaker(t *testing.T) {
	registry, err := softfuse.New()
	must(t, err)
	policy, err := registry.Policy("test.toml", threeFailures)
	must(t, err)
	var lock sync.Mutex
	var changes []string
	var breaker *softfuse.Breaker
	breaker, err = registry.Breaker("test", policy, softfuse.OnStateChange(func(change *softfuse.StateChange) {
		lock.Lock()
		changes = append(changes, change.String())
		lock.Unlock()
		if change.New == softfuse.Open {
			if _, err := breaker.Reset(); err != nil {
				t.Error(err)
			}
			panic("it reaches no guarded call")
		}
	}))
	must(t, err)
	for range 3 {
		_, _ = softfuse.Execute(context.Background(), breaker, fail)
	}
	for range 1000 {
		lock.Lock()
		found := strings.Join(changes, "; ")
		lock.Unlock()
		if found == "closed -> open: 3 calls in a row failed, and 3 are the limit; open -> closed: reset" {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%q", changes)
}

func TestPoliciesWrittenInGo(t *testing.T) {
	registry, _ := made(t, threeFailures)
	missing, most := 0.25, time.Minute
	spec := softfuse.PolicySpec{
		TripOn: softfuse.AnyOf(
			softfuse.QualityBelow(0.6, softfuse.OverCalls(5)),
			softfuse.AllOf(softfuse.ErrorRateAbove(0.5, softfuse.OverTime(time.Minute), softfuse.Slices(6), softfuse.MinimumCalls(7)),
				softfuse.SlowCallRateAbove(0.25, 1500*time.Microsecond)),
			softfuse.LatencyAbove(time.Second), softfuse.ConsecutiveFailures(4), softfuse.HostCondition(`drift "x"`)),
		HalfOpenAfter: 250 * time.Millisecond, HalfOpenMaxCalls: 2, RecoveryThreshold: 3, ProbeTimeout: 7 * time.Nanosecond,
		RequireQualitySignal: true, MissingScore: &missing, RetryAfterMax: &most,
		Backoff:  &softfuse.Backoff{Multiplier: 2, Max: time.Hour, Jitter: 0.1, Seed: 7},
		Adaptive: []softfuse.Tier{{CallsPerMinuteAbove: 100, ConsecutiveFailures: 2, HalfOpenAfter: time.Second}},
	}
	built, err := registry.BuildPolicy("go", spec)
	must(t, err)
	written, err := registry.Policy("toml", `
trip_on = { any_of = [{ quality_below = { threshold = 0.6, window = 5 } },
  { all_of = [{ error_rate_above = { rate = 0.5, window = "60s", slices = 6, minimum_calls = 7 } },
    { slow_call_rate_above = { rate = 0.25, threshold_ms = 1.5 } }] },
  { latency_above = 1000 }, { consecutive_failures = 4 }, { host_condition = 'drift "x"' }] }
half_open_after = "250ms"
half_open_max_calls = 2
recovery_threshold = 3
probe_timeout = "7ns"
require_quality_signal = true
missing_score = 0.25
retry_after_max = "60s"
[backoff]
multiplier = 2.0
max = "1h"
jitter = 0.1
seed = 7
[[adaptive]]
calls_per_minute_above = 100
consecutive_failures = 2
half_open_after = "1s"
`)
	must(t, err)
	if built.Fingerprint() != written.Fingerprint() || built.HostConditions()[0] != `drift "x"` || !built.UsesScores() {
		t.Errorf("%s", built.Text())
	}
	var bad *softfuse.PolicyError
	if _, err := registry.BuildPolicy("go", softfuse.PolicySpec{TripOn: softfuse.AnyOf(softfuse.ErrorRateAbove(1.5))}); !errors.As(err, &bad) ||
		bad.Problems[0].Key != "trip_on.any_of[0].error_rate_above.rate" {
		t.Errorf("%v", err)
	}
	if _, err := registry.BuildPolicy("go", softfuse.PolicySpec{}); !errors.As(err, &bad) || !strings.Contains(err.Error(), "`trip_on` is missing") {
		t.Errorf("%v", err)
	}
}
