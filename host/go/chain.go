// A chain: a call goes to the first provider that admits it, and on to the next where that one refuses or fails.

package softfuse

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"time"

	"softfuse.dev/softfuse/internal/core"
)

// Chain makes calls of [Providers]. Fill it once, and use it for many calls.
//
// Each provider is asked once at most, and each attempt is an outcome of that provider's breaker. A neutral outcome ends the chain: a
// request that is bad by itself is bad for everyone. An answer that counts as a failure, or whose score is under ReplaceBelow, is kept
// while others are asked: if none does better, the caller gets the best of them.
type Chain[T any] struct {
	// Providers are those that are asked, as [NewProviders] makes them. A chain without any says [ErrNoProviders].
	Providers *Providers
	// OnRejectionOnly: a call goes on only where a breaker refuses it, so that a call that was made is not made again. Otherwise it goes
	// on where it fails or is answered badly, too.
	OnRejectionOnly bool
	// Classify, Scoring, ExchangeOf, ScoreBeforeAnswer and ReplaceBelow are those of each provider's [Guard].
	Classify          func(ctx context.Context, value T, err error) Outcome
	Scoring           *Scoring
	ExchangeOf        func(value T) *Exchange
	ScoreBeforeAnswer bool
	ReplaceBelow      *float64
}

// ErrNoProviders is for a chain without providers: its field [Chain.Providers] was left nil, or wasn't made by [NewProviders].
var ErrNoProviders = errors.New("the chain has no Providers: set them to what NewProviders gives for one breaker or more")

// Tried is a provider that was tried in vain.
type Tried struct {
	// Provider is its name.
	Provider string
	// Err is its breaker's refusal, an [*OpenError], or the call's own error.
	Err error
}

// ChainError is for a call that no provider answered. [errors.Is] and [errors.As] find each provider's error in it.
type ChainError struct {
	// Tried are those that were tried, in order, and why in vain. Those after them were not, where the last one's outcome was neutral, a
	// failure in a chain that goes on only where it is refused, or the caller's context had ended.
	Tried []Tried
	// Ended is the context's error, where that had ended before all had been tried.
	Ended error
}

func (e *ChainError) Error() string {
	var text strings.Builder
	text.WriteString("no provider gave an answer")
	separator := ": "
	if len(e.Tried) == 0 && e.Ended == nil {
		text.WriteString(": none was named")
	}
	for _, tried := range e.Tried {
		verb := "failed"
		if errors.Is(tried.Err, ErrOpen) {
			verb = "refused"
		}
		text.WriteString(separator + "`" + tried.Provider + "` " + verb + ": " + tried.Err.Error())
		separator = "; "
	}
	if e.Ended != nil {
		text.WriteString(separator + e.Ended.Error())
	}
	return text.String()
}

// Unwrap is every provider's error.
func (e *ChainError) Unwrap() []error {
	var all []error
	for _, tried := range e.Tried {
		all = append(all, tried.Err)
	}
	if e.Ended != nil {
		all = append(all, e.Ended)
	}
	return all
}

// RetryAfter is when to try again: the shortest wait that a refusal names. Nil where none does.
func (e *ChainError) RetryAfter() *time.Duration {
	var least *time.Duration
	for _, tried := range e.Tried {
		refused, ok := find[*OpenError](tried.Err)
		if ok && refused.RetryAfter != nil && (least == nil || *refused.RetryAfter < *least) {
			least = refused.RetryAfter
		}
	}
	return least
}

// Execute makes the call: of the first provider that admits it, and of those that follow where need be. `call` runs once for each that
// admits it, with its name. The error is a [*ChainError] where no provider gave an answer, the context's, where that had ended before any
// was asked, or [ErrNoProviders].
func (c *Chain[T]) Execute(ctx context.Context, call func(ctx context.Context, provider string) (T, error)) (value T, err error) {
	if c.Providers.isEmpty() {
		return value, ErrNoProviders
	}
	run := chainRun[T]{chain: c, call: call}
	for _, breaker := range c.Providers.breakers {
		if run.guarded(ctx, breaker) {
			break
		}
	}
	return run.end()
}

// ExecuteAmong is [Chain.Execute] of these providers in this order. One that isn't in the chain is called unguarded, and that is logged as a
// warning.
func (c *Chain[T]) ExecuteAmong(
	ctx context.Context, names []string, call func(ctx context.Context, provider string) (T, error),
) (value T, err error) {
	if c.Providers.isEmpty() {
		return value, ErrNoProviders
	}
	run := chainRun[T]{chain: c, call: call}
	for _, name := range names {
		if breaker := c.Providers.Get(name); breaker != nil && run.guarded(ctx, breaker) || breaker == nil && run.unguarded(ctx, name) {
			break
		}
	}
	return run.end()
}

// chainRun is how far a call has come.
type chainRun[T any] struct {
	chain *Chain[T]
	call  func(context.Context, string) (T, error)
	tried []Tried
	ended error
	// kept is the best of the answers that weren't good enough, and its score.
	kept      *T
	keptScore float64
}

// guarded asks a provider behind its breaker: whether that was the call's end.
func (r *chainRun[T]) guarded(ctx context.Context, breaker *Breaker) (over bool) {
	if r.ended = ctx.Err(); r.ended != nil {
		return true
	}
	chain := r.chain
	guard := Guard[T]{
		Breaker: breaker, Classify: chain.Classify, Scoring: chain.Scoring, ExchangeOf: chain.ExchangeOf,
		ScoreBeforeAnswer: chain.ScoreBeforeAnswer, ReplaceBelow: chain.ReplaceBelow,
	}
	came := guard.run(ctx, func(ctx context.Context) (T, error) { return r.call(ctx, breaker.name) })
	return r.take(breaker.name, &came)
}

// unguarded asks one of whom nothing is known.
func (r *chainRun[T]) unguarded(ctx context.Context, name string) (over bool) {
	if r.ended = ctx.Err(); r.ended != nil {
		return true
	}
	first := r.chain.Providers.breakers[0]
	first.home.hub.caught(func() {
		logger := first.home.hub.logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.Warn("softfuse: a provider that isn't in the chain is called unguarded", "provider", core.Shortened(name))
	})
	value, err := r.call(&unguardedContext{ctx}, name)
	outcome := Classify(ctx, err)
	if r.chain.Classify != nil {
		guard := Guard[T]{Breaker: first, Classify: r.chain.Classify}
		outcome = guard.classify(ctx, value, err)
	}
	return r.take(name, &guardedRun[T]{value: value, err: err, kind: outcome.kind})
}

// take takes in what an attempt has come to: whether that was the call's end.
func (r *chainRun[T]) take(provider string, came *guardedRun[T]) (over bool) {
	onFailure := !r.chain.OnRejectionOnly
	refused := came.cause != nil && came.cause.Refused != nil
	switch {
	case came.err == nil && onFailure && came.kind.IsFailure():
		// Worse than any that is merely bad.
		r.keep(came.value, math.Inf(-1))
		return false
	case came.err == nil && onFailure && came.cause != nil && came.cause.BadAnswer != nil:
		r.keep(came.value, *came.cause.BadAnswer)
		return false
	case came.err == nil:
		r.kept, r.keptScore = &came.value, math.Inf(1)
		return true
	}
	r.tried = append(r.tried, Tried{Provider: provider, Err: came.err})
	return !refused && !(onFailure && came.kind.IsFailure())
}

func (r *chainRun[T]) keep(value T, score float64) {
	if r.kept == nil || score > r.keptScore {
		r.kept, r.keptScore = &value, score
	}
}

func (r *chainRun[T]) end() (value T, err error) {
	switch {
	case r.kept != nil:
		return *r.kept, nil
	case len(r.tried) == 0 && r.ended != nil:
		return value, r.ended
	}
	return value, &ChainError{Tried: r.tried, Ended: r.ended}
}

// unguardedContext is that of a call of which no breaker takes note, nor that of a call around it.
type unguardedContext struct {
	context.Context
}

// Value hides the call around it.
func (c *unguardedContext) Value(key any) any {
	if key == (callKey{}) {
		return (*Breaker)(nil)
	}
	return c.Context.Value(key)
}
