// Scorers that the C library runs: those that come with Softfuse, one in JavaScript, streams, and some that misbehave.

package scorerlib_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"softfuse.dev/softfuse"
	"softfuse.dev/softfuse/internal/hostile"
	"softfuse.dev/softfuse/scorerlib"
)

const scoreExport = "softfuse:scorer/scorer@0.1.0#score"

func open(t testing.TB) *scorerlib.Library {
	t.Helper()
	library, err := scorerlib.Open("")
	must(t, err)
	return library
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func component(t testing.TB, name string) []byte {
	t.Helper()
	folder := os.Getenv("SOFTFUSE_COMPONENTS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "target", "components")
	}
	bytes, err := os.ReadFile(filepath.Join(folder, "scorers", name+".wasm"))
	if err != nil {
		t.Fatalf("%v: make the components by `cargo run --release -- components target/components`", err)
	}
	return bytes
}

func load(t testing.TB, name string, component []byte, settings softfuse.ScorerSettings) *scorerlib.Scorer {
	t.Helper()
	made, err := open(t).NewScorer(name, component, settings)
	must(t, err)
	t.Cleanup(func() { must(t, made.Close()) })
	return made
}

func text(content string) *softfuse.Exchange {
	return &softfuse.Exchange{
		Operation: "chat", Model: "m", Request: softfuse.Body{Bytes: []byte("what?")}, Metadata: [][2]string{{"tenant", "a"}, {"", ""}},
		Answer: softfuse.Body{ContentType: "text/plain", Bytes: []byte(content)},
	}
}

const prose = "The capital of France is Paris, which lies on the Seine."

func TestItScoresAsTheHostItself(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		settings := softfuse.ScorerSettings{Fresh: fresh, Deadline: time.Minute, InputBytesMax: 8192}
		there := load(t, "text", component(t, "text"), settings)
		here, err := softfuse.NewScorer("text", component(t, "text"), settings)
		must(t, err)
		for _, content := range []string{prose, strings.Repeat("Paris ", 200), "", "\x00\xff", strings.Repeat(prose, 500)} {
			expected, expectedErr := here.Score(text(content))
			found, err := there.Score(text(content))
			if found != expected || (err == nil) != (expectedErr == nil) {
				t.Errorf("%.20q: %+v %v, here %+v %v", content, found, err, expected, expectedErr)
			}
		}
		must(t, here.Close())
	}
}

func TestManyGoroutinesAskAtOnce(t *testing.T) {
	scorer := load(t, "text", component(t, "text"), softfuse.ScorerSettings{InstancesMax: 2, Deadline: time.Minute})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if found, err := scorer.Score(text(prose)); err != nil || found.Score < 0.7 {
					t.Errorf("%+v %v", found, err)
				}
			}
		})
	}
	group.Wait()
}

func TestScorersThatMisbehaveGiveNoScore(t *testing.T) {
	for _, test := range []struct {
		body   []byte
		reason string
	}{{hostile.Traps, "trapped"}, {hostile.Loops, "deadline"}, {hostile.Eats, "memory"}} {
		broken, err := hostile.Break(component(t, "text"), scoreExport, test.body)
		must(t, err)
		scorer := load(t, test.reason, broken, softfuse.ScorerSettings{Deadline: 200 * time.Millisecond, MemoryBytesMax: 16 << 20})
		for range 3 {
			var failure *softfuse.ScorerFailure
			if verdict, err := scorer.Score(text(prose)); !errors.As(err, &failure) || failure.Reason != test.reason || verdict.Scored {
				t.Errorf("%s: %+v %v", test.reason, verdict, err)
			}
		}
	}
	recursing, err := hostile.Recurse(component(t, "text"), scoreExport, 16)
	must(t, err)
	var failure *softfuse.ScorerFailure
	if _, err := load(t, "recurses", recursing, softfuse.ScorerSettings{}).Score(text(prose)); !errors.As(err, &failure) || failure.Reason != "stack" {
		t.Errorf("%v", err)
	}
	// Go's own faults are Go's still: the runtime that handles the guests' is told of them all.
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it was nil")
			}
		}()
		var none *softfuse.Exchange
		_ = none.Operation
	}()
}

func TestWhatCannotBeLoadedIsSaid(t *testing.T) {
	library := open(t)
	var failure *softfuse.ScorerFailure
	if _, err := library.NewScorer("text", component(t, "text"), softfuse.ScorerSettings{Config: "nonsense = 1"}); !errors.As(err, &failure) ||
		failure.Reason != "config" || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("%v", err)
	}
	for said, try := range map[string]func() error{
		"the scorer `nothing`: ": func() error { _, err := library.NewScorer("nothing", nil, softfuse.ScorerSettings{}); return err },
		"Deadline is 2h0m0s": func() error {
			_, err := library.NewScorer("text", component(t, "text"), softfuse.ScorerSettings{Deadline: 2 * time.Hour})
			return err
		},
		"CacheDir is": func() error {
			_, err := library.NewScorer("text", component(t, "text"), softfuse.ScorerSettings{CacheDir: t.TempDir()})
			return err
		},
		"no such file":            func() error { _, err := library.ScorerFile("nowhere.wasm", softfuse.ScorerSettings{}); return err },
		"set SOFTFUSE_LIBRARY to": func() error { _, err := scorerlib.Open("/nowhere/libsoftfuse_c.so"); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v", said, err)
		}
	}
	closed, err := library.NewScorer("text", component(t, "text"), softfuse.ScorerSettings{})
	must(t, err)
	must(t, closed.Close())
	must(t, closed.Close())
	if _, err := closed.Score(text(prose)); !errors.Is(err, scorerlib.ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := closed.Stream(text("")); !errors.Is(err, scorerlib.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestAnswersAreScoredBesideTheirCalls(t *testing.T) {
	scoring, err := softfuse.NewScoring(load(t, "text", component(t, "text"), softfuse.ScorerSettings{}), softfuse.ScoringSettings{})
	must(t, err)
	defer scoring.Close()
	registry, err := softfuse.New()
	must(t, err)
	policy, err := registry.Policy("test", "trip_on = { quality_below = { threshold = 0.5, window = 3 } }\nhalf_open_after = \"1h\"")
	must(t, err)
	breaker, err := registry.Breaker("test", policy)
	must(t, err)
	guard := softfuse.Guard[string]{Breaker: breaker, Scoring: scoring, ExchangeOf: text}
	for end := time.Now().Add(20 * time.Second); breaker.State() == softfuse.Closed; time.Sleep(time.Millisecond) {
		_, err := guard.Execute(context.Background(), func(context.Context) (string, error) { return "", nil })
		if err != nil && !errors.Is(err, softfuse.ErrOpen) || time.Now().After(end) {
			t.Fatalf("%v", err)
		}
	}
}

func TestStreams(t *testing.T) {
	scorer := load(t, "text", component(t, "text"), softfuse.ScorerSettings{InstancesMax: 2})
	whole, err := scorer.Score(text(prose))
	must(t, err)
	for complete, words := range map[bool][]string{true: strings.SplitAfter(prose, " ")} {
		stream, err := scorer.Stream(&softfuse.Exchange{Answer: softfuse.Body{ContentType: "text/plain"}})
		must(t, err)
		for _, word := range words {
			if verdict, err := stream.Push([]byte(word)); verdict != nil || err != nil {
				t.Fatalf("%+v %v", verdict, err)
			}
		}
		if verdict, err := stream.Finish(complete); verdict != whole || err != nil {
			t.Errorf("%+v %v, and at once %+v", verdict, err, whole)
		}
		if _, err := stream.Push(nil); !errors.Is(err, scorerlib.ErrClosed) {
			t.Errorf("%v", err)
		}
		stream.Discard()
	}
	given, err := scorer.Stream(text(""))
	must(t, err)
	given.Discard()
	given.Discard()
}

func TestAStreamMayBeEndedWhileItIsUsed(t *testing.T) {
	scorer := load(t, "text", component(t, "text"), softfuse.ScorerSettings{InstancesMax: 2, Deadline: time.Minute})
	for range 50 {
		stream, err := scorer.Stream(text(""))
		must(t, err)
		var ended atomic.Int32
		var group sync.WaitGroup
		for at := range 4 {
			group.Go(func() {
				for range 20 {
					if verdict, err := stream.Push([]byte(prose)); err != nil && !errors.Is(err, scorerlib.ErrClosed) {
						t.Errorf("%+v %v", verdict, err)
					}
				}
				if _, err := stream.Finish(at == 0); err == nil {
					ended.Add(1)
				} else if !errors.Is(err, scorerlib.ErrClosed) {
					t.Error(err)
				}
				stream.Discard()
			})
		}
		group.Wait()
		if ended.Load() != 1 {
			t.Errorf("it has ended %d times", ended.Load())
		}
	}
}
