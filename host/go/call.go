// Guarded calls: a permit, the call with no lock held, the settlement.

package softfuse

import (
	"context"
	"sync/atomic"
	"unsafe"
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
func Execute[T any](ctx context.Context, breaker *Breaker, call func(context.Context) (T, error)) (value T, err error) {
	if !breaker.unscored {
		return executeScored(ctx, breaker, call)
	}
	if err := ctx.Err(); err != nil {
		return value, err
	}
	// Nothing of the call can be reported that any decision depends on, so that it lives on the stack.
	var permit Permit
	if refused := breaker.admit(&permit); refused != nil {
		return value, refused
	}
	returned := false
	defer func() {
		if !returned {
			permit.unwind(recover())
		}
	}()
	value, err = call(breaker.context(ctx))
	returned = true
	if err == nil && breaker.classifier == nil {
		permit.keepUnscored(breaker.now())
	} else {
		permit.settleOwed(breaker.classify(ctx, err))
	}
	return value, err
}

func executeScored[T any](ctx context.Context, breaker *Breaker, call func(context.Context) (T, error)) (value T, err error) {
	c, err := breaker.begin(ctx)
	if err != nil {
		return value, err
	}
	defer func() {
		if !c.returned {
			c.permit.unwind(recover())
		}
	}()
	value, err = call(c)
	c.returned = true
	if err == nil && breaker.classifier == nil {
		c.permit.keepSuccess(breaker.now())
	} else {
		c.permit.settleOwed(breaker.classify(ctx, err))
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
	var permit Permit
	if refused := b.admit(&permit); refused != nil {
		return nil, refused
	}
	c := &callContext{Context: ctx}
	c.permit.breaker, c.permit.raw, c.permit.admittedAt, c.permit.incarnation = permit.breaker, permit.raw, permit.admittedAt, permit.incarnation
	return c, nil
}

// classify says what the function's error counts as.
func (b *Breaker) classify(ctx context.Context, err error) Outcome {
	if b.classifier == nil {
		return Classify(ctx, err)
	}
	return b.caughtClassify(ctx, err)
}

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
func (p *Permit) unwind(panicked any) {
	if panicked == nil {
		p.Cancel()
		return
	}
	_, _ = p.Settle(panicOutcome(panicked))
	panic(panicked)
}

// breakerContext is the context of calls whose scores no decision depends on: the caller's, and the breaker, which counts them.
type breakerContext struct {
	context.Context
	breaker *Breaker
}

// Value finds the breaker, and all that the caller's context has.
func (c *breakerContext) Value(key any) any {
	if key == (callKey{}) {
		return c.breaker
	}
	return c.Context.Value(key)
}

// words are what an interface's value is made of: equal ones are the same.
type words [2]uintptr

// lastContext is what a part of the breaker's goroutines came with last. Who makes many calls with one context is given the same each
// time; one that came once isn't held on to.
type lastContext struct {
	came atomic.Uintptr
	held atomic.Pointer[breakerContext]
}

// context is the one that the guarded function gets.
func (b *Breaker) context(ctx context.Context) context.Context {
	lent := b.leased.lent.Load()
	if lent == nil {
		return &breakerContext{Context: ctx, breaker: b}
	}
	// There are 2^n of them.
	last := &lent.contexts[lent.lease.Number()&(len(lent.contexts)-1)]
	now := *(*words)(unsafe.Pointer(&ctx))
	if held := last.held.Load(); held != nil && *(*words)(unsafe.Pointer(&held.Context)) == now {
		return held
	}
	made := &breakerContext{Context: ctx, breaker: b}
	if last.came.Load() == now[1] {
		last.held.Store(made)
	} else {
		last.came.Store(now[1])
		if last.held.Load() != nil {
			last.held.Store(nil)
		}
	}
	return made
}

// callOf is the guarded call to which a context belongs: its permit, or its breaker alone where no decision depends on scores; neither
// where it belongs to none, or to one that isn't guarded. Of nested calls it is the innermost.
func callOf(ctx context.Context) (*Permit, *Breaker) {
	switch found := ctx.Value(callKey{}).(type) {
	case *Permit:
		return found, nil
	case *Breaker:
		return nil, found
	}
	return nil, nil
}

// isUnguarded says whether a context belongs to a call that no breaker guards: of a provider of whom nothing is known.
func isUnguarded(ctx context.Context) bool {
	found, ok := ctx.Value(callKey{}).(*Breaker)
	return ok && found == nil
}

// ReportQuality says how good the answer of the guarded call is to which the context belongs: of nested calls, the innermost. Of the
// reports before the call ends the last one counts, and it wins over a scorer's; each one after that is a sample of its own. The error
// is [ErrNoCall] or an [*InvalidScoreError], by which nothing has changed.
func ReportQuality(ctx context.Context, score float64) error {
	reporter, err := ReporterOf(ctx)
	if err == nil {
		_, err = reporter.ReportQuality(score)
	}
	return err
}

// ReporterOf is where scores of the guarded call are reported to which the context belongs: while it is under way, or after it. The
// error is [ErrNoCall].
func ReporterOf(ctx context.Context) (Reporter, error) {
	permit, breaker := callOf(ctx)
	if permit == nil && breaker == nil {
		if isUnguarded(ctx) {
			return Reporter{}, nil
		}
		return Reporter{}, ErrNoCall
	}
	if permit != nil {
		return permit.Reporter(), nil
	}
	return Reporter{breaker: breaker}, nil
}
