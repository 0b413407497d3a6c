// A guard: a breaker with all that a guarded call needs besides: what counts as a failure, a fallback, a scorer.

package softfuse

import (
	"context"
	"errors"
)

// FallbackCause is why a fallback is asked. It is an error: the one that the caller gets where there is no fallback.
type FallbackCause struct {
	// Refused: the call wasn't made. Nil otherwise.
	Refused *OpenError
	// Tripped: the call failed with this, and opened the circuit by that. Nil otherwise.
	Tripped error
	// BadAnswer: the call succeeded, and its answer's score is under [Guard.ReplaceBelow]. Nil otherwise.
	BadAnswer *float64
}

func (c *FallbackCause) Error() string {
	if c.BadAnswer != nil {
		return "the answer's score is too low"
	}
	return c.Unwrap().Error()
}

// Unwrap is the refusal, or the call's own error.
func (c *FallbackCause) Unwrap() error {
	if c.Refused != nil {
		return c.Refused
	}
	return c.Tripped
}

// Guard is a breaker with all that a guarded call needs besides. Fill it once, and use it for many calls.
//
// A call that opens the circuit keeps its own result: a success its value; an error the fallback, if there is one, or else the error.
// Errors that don't open the circuit are the caller's, fallback or not.
type Guard[T any] struct {
	// Breaker is the one that guards. It must be there.
	Breaker *Breaker
	// Classify says what a result means, in the place of the breaker's [Classifier]: it sees the value, too. If it panics, that one
	// does. Nil: the breaker's.
	Classify func(ctx context.Context, value T, err error) Outcome
	// Fallback is what to do instead, where the call is refused, or fails and opens the circuit by that, or is answered badly (see
	// ReplaceBelow): a value, the next provider. It may fail itself, by a panic too: a bad answer is then passed on after all. Nil: none.
	Fallback func(ctx context.Context, cause *FallbackCause) (T, error)
	// Scoring has answers scored, as ExchangeOf shows them; where that gives nil, there is nothing to score. A score that the call
	// reports itself wins, and a policy without conditions on scores has none made. The score comes late, beside the call, unless
	// ScoreBeforeAnswer says so.
	Scoring    *Scoring
	ExchangeOf func(value T) *Exchange
	// ScoreBeforeAnswer has answers scored before they are passed on, so that each waits for its score, and the score goes into its
	// outcome.
	ScoreBeforeAnswer bool
	// ReplaceBelow gives the fallback in the place of an answer whose score is under this, where the score is there by then: reported
	// by the call, or made by ScoreBeforeAnswer. Nil: no answer is replaced.
	ReplaceBelow *float64
}

// ended is how a guarded call has ended.
type ended struct {
	settled Settled
	// kind is what it counts as.
	kind Kind
	// score is the answer's, where it was there when the call was settled.
	score *float64
}

// Execute makes the call; see the function [Execute].
func (g *Guard[T]) Execute(ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	came := g.run(ctx, call)
	if came.cause == nil || g.Fallback == nil {
		return came.value, came.err
	}
	if came.cause.BadAnswer == nil {
		return g.Fallback(ctx, came.cause)
	}
	instead, ok := g.caughtFallback(ctx, came.cause)
	if !ok {
		return came.value, nil
	}
	return instead, nil
}

// guardedRun is what a call came to, before any fallback.
type guardedRun[T any] struct {
	value T
	err   error
	// cause is why a fallback is asked, where there is reason to.
	cause *FallbackCause
	// kind is what the call counts as, where it was made.
	kind Kind
}

func (g *Guard[T]) run(ctx context.Context, call func(context.Context) (T, error)) (came guardedRun[T]) {
	c, err := g.Breaker.begin(ctx)
	if err != nil {
		came.err = err
		var refused *OpenError
		if errors.As(err, &refused) {
			came.cause = &FallbackCause{Refused: refused}
		} else {
			// The caller's context has ended, and nobody was asked.
			came.kind = Cancelled
		}
		return came
	}
	defer func() {
		if !c.returned {
			c.permit.unwind(recover())
		}
	}()
	came.value, came.err = call(c)
	c.returned = true
	end := g.end(ctx, c, came.value, came.err)
	came.kind = end.kind
	switch {
	case came.err != nil && end.settled.Tripped():
		came.cause = &FallbackCause{Tripped: came.err}
	case came.err == nil && g.ReplaceBelow != nil && end.score != nil && *end.score < *g.ReplaceBelow:
		came.cause = &FallbackCause{BadAnswer: end.score}
	}
	return came
}

// end settles the call, with the score that was reported or else a scorer's, and has its answer scored later where that is still to be
// done.
func (g *Guard[T]) end(ctx context.Context, c *callContext, value T, err error) ended {
	permit := &c.permit
	// Scoring takes time that isn't the call's.
	now := g.Breaker.home.now()
	outcome := g.classify(ctx, value, err)
	if outcome.signal == signalScore && checkScore(outcome.score) != nil {
		outcome.score, outcome.signal = 0, signalNone
	}
	exchange := g.exchange(permit, value, &outcome)
	if exchange != nil && g.ScoreBeforeAnswer {
		if score, ok := g.Scoring.scoreOf(g.Breaker, exchange); ok {
			permit.reportScored(score)
		}
		exchange = nil
	}
	waits := exchange != nil && g.Scoring.reserve(g.Breaker)
	if waits {
		outcome.signal = signalPending
	}
	owed := outcome.signal == signalPending && outcome.kind == Success && !waits && !permit.reporting.Load()
	word, ok := permit.end(outcome.kind)
	if !ok {
		// The function has settled its own call, which it can't: its permit is hidden.
		return ended{kind: outcome.kind}
	}
	made := ended{settled: permit.settle(&outcome, word, now), kind: outcome.kind}
	if outcome.signal == signalScore {
		made.score = &outcome.score
	}
	if waits {
		g.Scoring.submit(permit, exchange)
	} else if owed && outcome.signal == signalPending {
		permit.ReportMissing()
	}
	return made
}

// classify says what the call came to by itself.
func (g *Guard[T]) classify(ctx context.Context, value T, err error) (outcome Outcome) {
	if g.Classify == nil {
		return g.Breaker.classify(ctx, err)
	}
	defer func() {
		if recover() != nil {
			outcome = g.Breaker.classify(ctx, err)
		}
	}()
	return g.Classify(ctx, value, err)
}

// exchange is what the scorer is shown, where one is wanted.
func (g *Guard[T]) exchange(permit *Permit, value T, outcome *Outcome) (shown *Exchange) {
	wanted := g.Scoring != nil && g.ExchangeOf != nil && outcome.kind == Success && outcome.signal == signalNone &&
		permit.word.Load() == wordNone && permit.IsGuarded() && (g.Breaker.policy.UsesScores() || g.ReplaceBelow != nil)
	if !wanted {
		return nil
	}
	defer func() {
		if recover() != nil {
			shown = nil
		}
	}()
	return g.ExchangeOf(value)
}

// caughtFallback asks the fallback for another answer than a bad one, which is better than none.
func (g *Guard[T]) caughtFallback(ctx context.Context, cause *FallbackCause) (value T, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	value, err := g.Fallback(ctx, cause)
	return value, err == nil
}
