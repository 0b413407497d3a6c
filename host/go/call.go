// Guarded calls: a permit, the call with no lock held, the settlement.

package softfuse

import (
	"context"
)

// callContext is the context that a guarded function gets: the caller's, and the call's permit. It is made in one piece.
type callContext struct {
	context.Context
	permit Permit
	// returned: the function has.
	returned bool
}

type callKey struct{}

// Value finds the permit, and all that the caller's context has.
func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return &c.permit
	}
	return c.Context.Value(key)
}

// Execute makes a guarded call. The error is an [*OpenError] where the circuit refuses it; otherwise the function's own, unchanged.
//
// The function gets a context of the call's own, with which it may [ReportQuality]. What its error counts as is the breaker's
// [Classifier]'s to say: by default a cancelled caller is neutral, and every error else a failure. A panic of the function counts as
// a failure, and goes on. A context that has ended already is not even asked for: its error comes back, and nothing is counted.
func Execute[T any](ctx context.Context, breaker *Breaker, call func(context.Context) (T, error)) (T, error) {
	c, err := breaker.begin(ctx)
	if err != nil {
		var none T
		return none, err
	}
	defer c.unwind()
	value, err := call(c)
	c.returned = true
	if err == nil && breaker.classifier == nil {
		c.permit.keepSuccess(breaker.home.now())
	} else {
		c.end(err)
	}
	return value, err
}

// Do is [Execute] for a call without a value.
func Do(ctx context.Context, breaker *Breaker, call func(context.Context) error) error {
	_, err := Execute(ctx, breaker, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

// begin gets a call's permit.
func (b *Breaker) begin(ctx context.Context) (*callContext, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &callContext{Context: ctx}
	if refused := b.admit(&c.permit); refused != nil {
		return nil, refused
	}
	return c, nil
}

// classify says what the function's error counts as.
func (c *callContext) classify(err error) Outcome {
	b := c.permit.breaker
	if b.classifier == nil {
		return Classify(c.Context, err)
	}
	return b.caughtClassify(c.Context, err)
}

// end settles a call whose function returned.
func (c *callContext) end(err error) Settled { return c.permit.settleOwed(c.classify(err)) }

// settleOwed settles a call that has nobody to report its score if its outcome says that one is to come, and nobody holds a reporter.
func (p *Permit) settleOwed(outcome Outcome) Settled {
	if checkScore(outcome.score) != nil {
		outcome.score, outcome.signal = 0, signalNone
	}
	owed := outcome.signal == signalPending && outcome.kind == Success && !p.reporting.Load()
	settled, err := p.Settle(outcome)
	if err == nil && owed {
		p.ReportMissing()
	}
	return settled
}

// caughtClassify asks the user's code, whose panic must not cost the call its answer.
func (b *Breaker) caughtClassify(ctx context.Context, err error) (outcome Outcome) {
	defer func() {
		if recover() != nil {
			outcome = Classify(ctx, err)
		}
	}()
	return b.classifier(ctx, err)
}

// unwind settles a call whose function didn't return: it panicked, which counts as an error and goes on; or it ended its goroutine,
// which counts as cancelled.
func (c *callContext) unwind() {
	if c.returned {
		return
	}
	c.returned = true
	if panicked := recover(); panicked != nil {
		_, _ = c.permit.Settle(panicOutcome(panicked))
		panic(panicked)
	}
	c.permit.Cancel()
}

// permitOf is the permit of the guarded call to which a context belongs; nil where it belongs to none. Of nested calls it is the
// innermost.
func permitOf(ctx context.Context) *Permit {
	if c, ok := ctx.(*callContext); ok {
		return &c.permit
	}
	permit, _ := ctx.Value(callKey{}).(*Permit)
	return permit
}

// ReportQuality says how good the answer of the guarded call is to which the context belongs: of nested calls, the innermost. Of the
// reports before the call ends the last one counts, and it wins over a scorer's; each one after that is a sample of its own. The error
// is [ErrNoCall] or an [*InvalidScoreError], by which nothing has changed.
func ReportQuality(ctx context.Context, score float64) error {
	permit := permitOf(ctx)
	if permit == nil {
		return ErrNoCall
	}
	_, err := permit.ReportQuality(score)
	return err
}

// ReporterOf is where scores of the guarded call are reported to which the context belongs: while it is under way, or after it. The
// error is [ErrNoCall].
func ReporterOf(ctx context.Context) (*Reporter, error) {
	permit := permitOf(ctx)
	if permit == nil {
		return nil, ErrNoCall
	}
	return permit.Reporter(), nil
}
