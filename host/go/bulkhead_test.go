// Bulkheads: nobody overtakes, who goes away leaves the queue, and full and timed out are no outcomes.

package softfuse_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

func bulkhead(t *testing.T, concurrent, queue int, timeout time.Duration) *softfuse.Bulkhead {
	t.Helper()
	made, err := softfuse.NewBulkhead("chat", softfuse.BulkheadSettings{ConcurrentMax: concurrent, QueueMax: queue, QueueTimeout: timeout})
	must(t, err)
	return made
}

// waitingIs waits until so many callers wait.
func waitingIs(t *testing.T, bulkhead *softfuse.Bulkhead, count int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); bulkhead.Counts().Waiting != count; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", bulkhead.Counts())
		}
	}
}

func TestABulkheadBoundsWhatIsNamed(t *testing.T) {
	for _, one := range []struct {
		settings softfuse.BulkheadSettings
		said     string
	}{
		{softfuse.BulkheadSettings{}, "ConcurrentMax is 0, and may be 1 to 1000000"},
		{softfuse.BulkheadSettings{ConcurrentMax: 1_000_001}, "ConcurrentMax"},
		{softfuse.BulkheadSettings{ConcurrentMax: 1, QueueMax: -1}, "QueueMax is -1"},
		{softfuse.BulkheadSettings{ConcurrentMax: 1, QueueTimeout: 25 * time.Hour}, "QueueTimeout is 25h0m0s, and may be 0 to 24 hours"},
	} {
		if _, err := softfuse.NewBulkhead("b", one.settings); err == nil || !strings.Contains(err.Error(), one.said) {
			t.Errorf("%+v: %v", one.settings, err)
		}
	}
	for operation, concurrent := range map[string]int{"chat": 10, "embeddings": 20, "tools": 5} {
		if settings, ok := softfuse.BulkheadPreset(operation); !ok || settings.ConcurrentMax != concurrent || settings.QueueMax != 100 {
			t.Errorf("%s: %+v", operation, settings)
		}
	}
	if _, ok := softfuse.BulkheadPreset("queue"); ok {
		t.Error("there is none of that name")
	}
}

func TestAFullBulkheadRefusesAtOnce(t *testing.T) {
	bulkhead := bulkhead(t, 1, 0, time.Hour)
	leave, err := bulkhead.TryEnter()
	must(t, err)
	for _, enter := range []func() (func(), error){bulkhead.TryEnter, func() (func(), error) { return bulkhead.Enter(context.Background()) }} {
		_, err := enter()
		var full *softfuse.BulkheadError
		if !errors.As(err, &full) || !errors.Is(err, softfuse.ErrBulkheadFull) || errors.Is(err, softfuse.ErrBulkheadTimedOut) {
			t.Fatalf("%v", err)
		}
		if said := full.Error(); said != "bulkhead `chat` is full: it takes 1 calls at once, and 0 of at most 0 callers wait" {
			t.Error(said)
		}
	}
	leave()
	leave() // Once, however often.
	if counts := bulkhead.Counts(); counts != (softfuse.BulkheadCounts{Refused: 2}) {
		t.Errorf("%+v", counts)
	}
	leave, err = bulkhead.Enter(context.Background())
	must(t, err)
	leave()
}

func TestWhoWaitsInVainIsTold(t *testing.T) {
	bulkhead := bulkhead(t, 1, 1, 20*time.Millisecond)
	leave, err := bulkhead.TryEnter()
	must(t, err)
	defer leave()
	_, err = bulkhead.Enter(context.Background())
	if !errors.Is(err, softfuse.ErrBulkheadTimedOut) || err.Error() != "bulkhead `chat`: no place within 20ms; it takes 1 calls at once" {
		t.Errorf("%v", err)
	}
	if counts := bulkhead.Counts(); counts != (softfuse.BulkheadCounts{InUse: 1, TimedOut: 1}) {
		t.Errorf("%+v", counts)
	}
}

func TestWhoMayWaitWaits(t *testing.T) {
	bulkhead := bulkhead(t, 1, 1, 0)
	if found := bulkhead.Settings().QueueTimeout; found != 30*time.Second {
		t.Errorf("%v", found)
	}
	leave, err := bulkhead.TryEnter()
	must(t, err)
	entered := make(chan error)
	go func() {
		_, err := bulkhead.Enter(context.Background())
		entered <- err
	}()
	waitingIs(t, bulkhead, 1)
	leave()
	must(t, <-entered)
}

func TestNobodyOvertakes(t *testing.T) {
	bulkhead := bulkhead(t, 1, 10, time.Hour)
	leave, err := bulkhead.TryEnter()
	must(t, err)
	var lock sync.Mutex
	var order []int
	var group sync.WaitGroup
	for at := range 10 {
		group.Go(func() {
			_, err := softfuse.Within(context.Background(), bulkhead, func(context.Context) (int, error) {
				lock.Lock()
				defer lock.Unlock()
				order = append(order, at)
				return at, nil
			})
			must(t, err)
		})
		waitingIs(t, bulkhead, at+1)
	}
	if _, err := bulkhead.Enter(context.Background()); !errors.Is(err, softfuse.ErrBulkheadFull) {
		t.Errorf("ten wait already: %v", err)
	}
	leave()
	group.Wait()
	for at, found := range order {
		if at != found {
			t.Fatalf("%v", order)
		}
	}
	if counts := bulkhead.Counts(); counts.InUse != 0 || counts.Waiting != 0 {
		t.Errorf("%+v", counts)
	}
}

func TestWhoGoesAwayLeavesTheQueue(t *testing.T) {
	bulkhead := bulkhead(t, 1, 1, time.Hour)
	leave, err := bulkhead.TryEnter()
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := bulkhead.Enter(ctx)
		ended <- err
	}()
	waitingIs(t, bulkhead, 1)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := bulkhead.Enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context isn't let in: %v", err)
	}
	leave()
	if counts := bulkhead.Counts(); counts != (softfuse.BulkheadCounts{}) {
		t.Errorf("%+v", counts)
	}
}

func TestABulkheadIsNoOutcomeAndWaitingIsNoLatency(t *testing.T) {
	_, breaker := made(t, "trip_on = { consecutive_failures = 1 }")
	bulkhead := bulkhead(t, 1, 0, 0)
	inside := func(ctx context.Context) (string, error) {
		return softfuse.Within(ctx, bulkhead, func(ctx context.Context) (string, error) {
			return softfuse.Execute(ctx, breaker, func(context.Context) (string, error) { return "Paris", nil })
		})
	}
	leave, err := bulkhead.TryEnter()
	must(t, err)
	if _, err := inside(context.Background()); !errors.Is(err, softfuse.ErrBulkheadFull) {
		t.Errorf("%v", err)
	}
	leave()
	if answer, err := inside(context.Background()); answer != "Paris" || err != nil {
		t.Errorf("%s %v", answer, err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = softfuse.Within(context.Background(), bulkhead, func(context.Context) (string, error) { panic("gone") })
	}()
	if counts := bulkhead.Counts(); counts.InUse != 0 || status(t, breaker).Totals.Calls != 1 {
		t.Errorf("%+v", counts)
	}
}
