// Chains: each provider is asked once at most, the call goes on only where that was wanted, and everyone who was tried is named.

package softfuse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

// chainOf is a chain of three providers, each with a breaker that two failures open.
func chainOf(t *testing.T, options ...softfuse.Option) *softfuse.Chain[string] {
	t.Helper()
	registry, err := softfuse.New(options...)
	must(t, err)
	const conditions = "{ consecutive_failures = 2 }, { quality_below = { threshold = 0.1, window = 50 } }"
	policy, err := registry.Policy("test.toml", "trip_on = { any_of = ["+conditions+"] }\nhalf_open_after = \"10s\"")
	must(t, err)
	var breakers []*softfuse.Breaker
	for _, name := range []string{"near", "far", "last"} {
		breaker, err := registry.Breaker(name, policy)
		must(t, err)
		breakers = append(breakers, breaker)
	}
	providers, err := softfuse.NewProviders(breakers...)
	must(t, err)
	return &softfuse.Chain[string]{Providers: providers}
}

// script answers as it is told, by the provider's name, and notes who was asked.
type script struct {
	errs   map[string]error
	scores map[string]float64
	asked  []string
}

func (s *script) call(ctx context.Context, provider string) (string, error) {
	s.asked = append(s.asked, provider)
	if score, ok := s.scores[provider]; ok {
		if err := softfuse.ReportQuality(ctx, score); err != nil {
			return "", err
		}
	}
	return "answer of " + provider, s.errs[provider]
}

var errDown = errors.New("down")

func TestACallGoesOnWhereAProviderFailsOrRefuses(t *testing.T) {
	chain := chainOf(t)
	script := &script{errs: map[string]error{"near": errDown}}
	for range 3 {
		answer, err := chain.Execute(context.Background(), script.call)
		if answer != "answer of far" || err != nil {
			t.Fatalf("%s %v", answer, err)
		}
	}
	// Twice it failed, and then its circuit was open.
	if want := []string{"near", "far", "near", "far", "far"}; !slices.Equal(script.asked, want) {
		t.Errorf("%v", script.asked)
	}
	if names := names(chain.Providers.Available()); !slices.Equal(names, []string{"far", "last"}) {
		t.Errorf("%v", names)
	}
}

func names(breakers []*softfuse.Breaker) []string {
	var all []string
	for _, breaker := range breakers {
		all = append(all, breaker.Name())
	}
	return all
}

func TestAnOpenCircuitWhoseTimeHasPassedIsAvailable(t *testing.T) {
	clock := &softfuse.ManualClock{}
	chain := chainOf(t, softfuse.WithClock(clock))
	_, err := chain.Providers.Get("near").Trip("maintenance")
	must(t, err)
	if names := names(chain.Providers.Available()); !slices.Equal(names, []string{"far", "last"}) {
		t.Errorf("%v", names)
	}
	clock.Advance(10 * time.Second)
	for range 2 { // Asking takes no probe.
		if names := names(chain.Providers.Available()); len(names) != 3 {
			t.Errorf("%v", names)
		}
	}
	if chain.Providers.Get("near").State() != softfuse.Open || chain.Providers.Get("nowhere") != nil {
		t.Error("asking changes nothing")
	}
}

func TestEveryoneWhoWasTriedIsNamed(t *testing.T) {
	chain := chainOf(t)
	_, err := chain.Providers.Get("far").TripFor("maintenance", 30*time.Second)
	must(t, err)
	script := &script{errs: map[string]error{"near": errDown, "last": context.DeadlineExceeded}}
	_, err = chain.Execute(context.Background(), script.call)
	var none *softfuse.ChainError
	if !errors.As(err, &none) || len(none.Tried) != 3 || !errors.Is(err, errDown) || !errors.Is(err, softfuse.ErrOpen) {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{"`near` failed: down; `far` refused: circuit `far` is open: maintenance", "; `last` failed: context deadline exceeded"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v", err)
		}
	}
	if wait := none.RetryAfter(); wait == nil || *wait > 30*time.Second || *wait < 29*time.Second {
		t.Errorf("%v", wait)
	}
	// The call's own errors are no refusals, so that nobody says when.
	chain = chainOf(t)
	_, err = chain.ExecuteAmong(context.Background(), []string{"near"}, script.call)
	if !errors.As(err, &none) || none.RetryAfter() != nil || len(none.Tried) != 1 {
		t.Errorf("%v", err)
	}
	_, err = chain.ExecuteAmong(context.Background(), nil, script.call)
	if err == nil || err.Error() != "no provider gave an answer: none was named" {
		t.Errorf("%v", err)
	}
}

func TestWhatIsBadByItselfIsBadForEveryone(t *testing.T) {
	chain := chainOf(t)
	bad := &softfuse.StatusError{StatusCode: 422}
	script := &script{errs: map[string]error{"near": bad}}
	_, err := chain.Execute(context.Background(), script.call)
	if !errors.Is(err, bad) || len(script.asked) != 1 {
		t.Errorf("%v %v", err, script.asked)
	}
	// A key that was revoked is this provider's own trouble.
	script.errs["near"] = &softfuse.StatusError{StatusCode: 401}
	answer, err := chain.Execute(context.Background(), script.call)
	if answer != "answer of far" || err != nil {
		t.Errorf("%s %v", answer, err)
	}
}

func TestACallThatWasMadeIsNotMadeAgain(t *testing.T) {
	chain := chainOf(t)
	chain.OnRejectionOnly = true
	script := &script{errs: map[string]error{"near": errDown}}
	if _, err := chain.Execute(context.Background(), script.call); !errors.Is(err, errDown) || len(script.asked) != 1 {
		t.Errorf("%v %v", err, script.asked)
	}
	_, err := chain.Providers.Get("near").Trip("maintenance")
	must(t, err)
	if answer, err := chain.Execute(context.Background(), script.call); answer != "answer of far" || err != nil {
		t.Errorf("%s %v", answer, err)
	}
}

func TestTheBestOfBadAnswersIsTheCallers(t *testing.T) {
	chain, limit := chainOf(t), 0.5
	chain.ReplaceBelow = &limit
	script := &script{scores: map[string]float64{"near": 0.2, "far": 0.4, "last": 0.3}}
	answer, err := chain.Execute(context.Background(), script.call)
	if answer != "answer of far" || err != nil || len(script.asked) != 3 {
		t.Errorf("%s %v %v", answer, err, script.asked)
	}
	script.errs = map[string]error{"far": errDown, "last": errDown}
	answer, err = chain.Execute(context.Background(), script.call)
	if answer != "answer of near" || err != nil {
		t.Errorf("%s %v", answer, err)
	}
	// An answer that counts as a failure is worse than any that is merely bad.
	chain.Classify = func(_ context.Context, value string, err error) softfuse.Outcome {
		if err != nil || strings.HasSuffix(value, "near") {
			return softfuse.OutcomeOf(softfuse.Failed)
		}
		return softfuse.Succeeded()
	}
	script.errs = map[string]error{"last": errDown}
	answer, err = chain.Execute(context.Background(), script.call)
	if answer != "answer of far" || err != nil {
		t.Errorf("%s %v", answer, err)
	}
}

func TestAnEndedContextEndsTheChain(t *testing.T) {
	chain := chainOf(t)
	ctx, cancel := context.WithCancel(context.Background())
	asked := 0
	_, err := chain.Execute(ctx, func(context.Context, string) (string, error) {
		asked++
		cancel()
		return "", &softfuse.StatusError{StatusCode: 500}
	})
	var none *softfuse.ChainError
	if !errors.As(err, &none) || !errors.Is(err, context.Canceled) || asked != 1 || len(none.Tried) != 1 {
		t.Errorf("%v, asked %d", err, asked)
	}
	if _, err := chain.Execute(ctx, nil); err != context.Canceled { //nolint:errorlint // The context's own.
		t.Errorf("%v", err)
	}
	if totals := status(t, chain.Providers.Get("far")).Totals; totals.Calls != 0 {
		t.Errorf("%+v", totals)
	}
}

func TestAnUnknownProviderIsCalledUnguardedAndLogged(t *testing.T) {
	var log bytes.Buffer
	chain := chainOf(t, softfuse.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	around := chain.Providers.Get("last")
	script := &script{scores: map[string]float64{"elsewhere": 0.1}, errs: map[string]error{"near": errDown}}
	answer, err := softfuse.Execute(context.Background(), around, func(ctx context.Context) (string, error) {
		return chain.ExecuteAmong(ctx, []string{"near", "elsewhere"}, script.call)
	})
	if answer != "answer of elsewhere" || err != nil || !strings.Contains(log.String(), "provider=elsewhere") {
		t.Errorf("%s %v %s", answer, err, &log)
	}
	// Its score isn't that of the call around it.
	if found := status(t, around).Conditions[1]; found.Filled != 0 {
		t.Errorf("%+v", found)
	}
}

func TestAChainWithoutProvidersSaysSo(t *testing.T) {
	ask := func(context.Context, string) (string, error) { t.Error("it was called"); return "", nil }
	for _, providers := range []*softfuse.Providers{nil, {}} {
		chain := softfuse.Chain[string]{Providers: providers}
		for _, run := range []func() (string, error){
			func() (string, error) { return chain.Execute(context.Background(), ask) },
			func() (string, error) { return chain.ExecuteAmong(context.Background(), []string{"nobody"}, ask) },
		} {
			if _, err := run(); !errors.Is(err, softfuse.ErrNoProviders) {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestProvidersAreNamedOnce(t *testing.T) {
	registry, one := made(t, "trip_on = { consecutive_failures = 2 }")
	var many []*softfuse.Breaker
	for at := range 65 {
		breaker, err := registry.Breaker(fmt.Sprint("provider ", at), one.Policy())
		must(t, err)
		many = append(many, breaker)
	}
	for said, breakers := range map[string][]*softfuse.Breaker{
		"one provider at least": nil, "64 providers at most, and 65 were named": many, "was named twice": {one, one}, "at 1 is nil": {one, nil},
	} {
		if _, err := softfuse.NewProviders(breakers...); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v", said, err)
		}
	}
	presets, err := softfuse.PresetProviders(registry)
	must(t, err)
	if names := names(presets.Breakers()); !slices.Equal(names, []string{"openai", "azure", "anthropic"}) {
		t.Errorf("%v", names)
	}
	for range 3 {
		_ = softfuse.Do(context.Background(), presets.Get("anthropic"), func(context.Context) error { return errDown })
	}
	if names := names(presets.Available()); !slices.Equal(names, []string{"openai", "azure"}) {
		t.Errorf("%v", names)
	}
}
