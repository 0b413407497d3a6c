// The scorers that come with Softfuse, and scorers that misbehave.

package tests

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"softfuse.dev/softfuse"
	"softfuse.dev/softfuse/internal/hostile"
)

const scoreExport = "softfuse:scorer/scorer@0.1.0#score"

func scorerBytes(t testing.TB, name string) []byte {
	t.Helper()
	bytes, err := os.ReadFile(filepath.Join(componentsFolder(t), "scorers", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func newScorer(t testing.TB, name string, component []byte, settings softfuse.ScorerSettings) *softfuse.Scorer {
	t.Helper()
	made, err := softfuse.NewScorer(name, component, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return made
}

func text(content string) *softfuse.Exchange {
	return &softfuse.Exchange{Operation: "chat", Answer: softfuse.Body{ContentType: "text/plain", Bytes: []byte(content)}}
}

func jsonAnswer(content string) *softfuse.Exchange {
	return &softfuse.Exchange{Answer: softfuse.Body{ContentType: "application/json", Bytes: []byte(content)}}
}

func TestTheScorersThatComeWithIt(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		settings := softfuse.ScorerSettings{Fresh: fresh}
		prose := newScorer(t, "text", scorerBytes(t, "text"), settings)
		good, err := prose.Score(text("The capital of France is Paris, which lies on the Seine."))
		if err != nil || !good.Scored || good.Score < 0.7 {
			t.Errorf("%+v %v", good, err)
		}
		bad, err := prose.Score(text(strings.Repeat("Paris ", 200)))
		if err != nil || !bad.Scored || bad.Score >= good.Score {
			t.Errorf("%+v %v", bad, err)
		}
		logprobs := newScorer(t, "logprobs", scorerBytes(t, "logprobs"), settings)
		sure, err := logprobs.Score(jsonAnswer(`{"choices":[{"logprobs":{"content":[{"token":"Paris","logprob":-0.01,"top_logprobs":[]}]}}]}`))
		if err != nil || !sure.Scored || sure.Score < 0.5 {
			t.Errorf("%+v %v", sure, err)
		}
		embedding := newScorer(t, "embedding", scorerBytes(t, "embedding"), settings)
		if found, err := embedding.Score(jsonAnswer(`{"data":[{"embedding":[0.6,0.8]}]}`)); err != nil || !found.Scored {
			t.Errorf("%+v %v", found, err)
		}
		var failure *softfuse.ScorerFailure
		if _, err := embedding.Score(jsonAnswer(`{`)); !errors.As(err, &failure) || failure.Reason != "malformed" {
			t.Errorf("%v", err)
		}
	}
}

func TestABadConfigurationIsRefused(t *testing.T) {
	var failure *softfuse.ScorerFailure
	_, err := softfuse.NewScorer("text", scorerBytes(t, "text"), softfuse.ScorerSettings{Config: "nonsense = 1"})
	if !errors.As(err, &failure) || failure.Reason != "config" || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("%v", err)
	}
	if _, err := softfuse.NewScorer("text", scorerBytes(t, "text"), softfuse.ScorerSettings{Deadline: 2 * time.Hour}); err == nil ||
		!strings.Contains(err.Error(), "Deadline is 2h0m0s") {
		t.Errorf("%v", err)
	}
}

func TestScorersThatMisbehaveGiveNoScore(t *testing.T) {
	for _, test := range []struct {
		body   []byte
		reason string
	}{
		{hostile.Traps, "trapped"}, {hostile.Loops, "deadline"}, {hostile.Eats, "memory"}, {hostile.Lies, "nonsense"}, {hostile.Misaligns, "nonsense"},
	} {
		component, err := hostile.Break(scorerBytes(t, "text"), scoreExport, test.body)
		if err != nil {
			t.Fatal(err)
		}
		scorer := newScorer(t, test.reason, component, softfuse.ScorerSettings{Deadline: 500 * time.Millisecond, MemoryBytesMax: 16 << 20})
		for range 3 {
			var failure *softfuse.ScorerFailure
			if verdict, err := scorer.Score(text("Paris")); !errors.As(err, &failure) || failure.Reason != test.reason || verdict.Scored {
				t.Errorf("%s: %+v %v", test.reason, verdict, err)
			}
		}
	}
}

func TestAScorerThatRecursesWithoutAnEndGivesNoScore(t *testing.T) {
	const params = 16
	component, err := hostile.Recurse(scorerBytes(t, "text"), scoreExport, params)
	if err != nil {
		t.Fatal(err)
	}
	scorer := newScorer(t, "recurses", component, softfuse.ScorerSettings{Deadline: 30 * time.Second})
	var failure *softfuse.ScorerFailure
	if _, err := scorer.Score(text("Paris")); !errors.As(err, &failure) || failure.Reason != "stack" {
		t.Errorf("%v", err)
	}
}

func TestComponentsThatNeedMoreAreToldTheWay(t *testing.T) {
	// A second core module that does something: an empty one that says that it allocates.
	component := scorerBytes(t, "text")
	twice := append(append([]byte{}, component...), "\x01\x1a\x00asm\x01\x00\x00\x00\x07\x10\x01\x0ccabi_realloc\x00\x00"...)
	_, err := softfuse.NewScorer("two", twice, softfuse.ScorerSettings{})
	if !errors.Is(err, softfuse.ErrNeedsComponentRuntime) || !strings.Contains(err.Error(), "of its 4 core modules 2 export") ||
		!strings.Contains(err.Error(), "C library") {
		t.Errorf("%v", err)
	}
	if _, err := softfuse.NewScorer("breaker", mustRead(t, filepath.Join(componentsFolder(t), "breaker.wasm")), softfuse.ScorerSettings{}); err == nil ||
		!strings.Contains(err.Error(), "the export `softfuse:scorer/scorer@0.1.0#configure` is missing") {
		t.Errorf("%v", err)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	bytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func scoredBreaker(t testing.TB) (*softfuse.Registry, *softfuse.Breaker) {
	t.Helper()
	registry, err := softfuse.New()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := registry.Policy("test", "trip_on = { quality_below = { threshold = 0.5, window = 3 } }\nhalf_open_after = \"1h\"")
	if err != nil {
		t.Fatal(err)
	}
	breaker, err := registry.Breaker("test", policy)
	if err != nil {
		t.Fatal(err)
	}
	return registry, breaker
}

func TestAnswersAreScoredBesideTheCallOrBefore(t *testing.T) {
	scorer := newScorer(t, "text", scorerBytes(t, "text"), softfuse.ScorerSettings{})
	scoring, err := softfuse.NewScoring(scorer, softfuse.ScoringSettings{})
	if err != nil {
		t.Fatal(err)
	}
	defer scoring.Close()
	for _, before := range []bool{false, true} {
		_, breaker := scoredBreaker(t)
		guard := softfuse.Guard[string]{Breaker: breaker, Scoring: scoring, ExchangeOf: text, ScoreBeforeAnswer: before}
		calls := 0
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && breaker.State() == softfuse.Closed; calls++ {
			_, err := guard.Execute(context.Background(), func(context.Context) (string, error) { return "", nil })
			if err != nil && !errors.Is(err, softfuse.ErrOpen) {
				t.Fatal(err)
			}
		}
		if breaker.State() != softfuse.Open || before && calls != 3 {
			t.Errorf("before: %v: %v after %d calls", before, breaker.State(), calls)
		}
	}
}

func TestAScorerThatFailsHarmsNoCall(t *testing.T) {
	component, err := hostile.Break(scorerBytes(t, "text"), scoreExport, hostile.Traps)
	if err != nil {
		t.Fatal(err)
	}
	scoring, err := softfuse.NewScoring(newScorer(t, "broken", component, softfuse.ScorerSettings{}), softfuse.ScoringSettings{})
	if err != nil {
		t.Fatal(err)
	}
	registry, breaker := scoredBreaker(t)
	guard := softfuse.Guard[string]{Breaker: breaker, Scoring: scoring, ExchangeOf: text}
	for range 10 {
		if value, err := guard.Execute(context.Background(), func(context.Context) (string, error) { return "fine", nil }); value != "fine" || err != nil {
			t.Errorf("%q %v", value, err)
		}
	}
	scoring.Close()
	// What comes later isn't scored, and harms nobody.
	if value, err := guard.Execute(context.Background(), func(context.Context) (string, error) { return "late", nil }); value != "late" || err != nil {
		t.Errorf("%q %v", value, err)
	}
	if metrics := registry.MetricsText(); !strings.Contains(metrics, `softfuse_scorer_failures_total{breaker="test",scorer="broken",reason="trapped"} 10`) {
		t.Error(metrics)
	}
}
