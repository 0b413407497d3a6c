// A bulkhead: so many calls of one operation at once, so many waiting, each for so long, so that one slow operation can't take all that a
// process has.

package softfuse

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// callersMax is how many calls at once, and how many that wait, a bulkhead may have: beyond, it bounds nothing.
	callersMax = 1_000_000
	// queueTimeoutDefault and queueTimeoutMax are the usual and the longest wait in the queue.
	queueTimeoutDefault = 30 * time.Second
	queueTimeoutMax     = 24 * time.Hour
)

// BulkheadSettings say how an operation is bounded.
type BulkheadSettings struct {
	// ConcurrentMax is how many calls are made at once: 1 to 1,000,000.
	ConcurrentMax int
	// QueueMax is how many callers wait for a place: up to 1,000,000. 0: nobody waits.
	QueueMax int
	// QueueTimeout is how long each of them waits: up to 24 hours. 0: 30 s. For callers that don't wait at all, leave QueueMax at 0.
	QueueTimeout time.Duration
}

// BulkheadPreset is one of the bounds that the breakers for LLMs had that came before Softfuse: `chat`, 10 at once; `embeddings`, 20,
// which take less long; `tools`, 5. 100 wait, for 30 s, embeddings for 10 s. Not ok for another name.
func BulkheadPreset(operation string) (settings BulkheadSettings, ok bool) {
	switch operation {
	case "chat":
		return BulkheadSettings{ConcurrentMax: 10, QueueMax: 100, QueueTimeout: 30 * time.Second}, true
	case "embeddings":
		return BulkheadSettings{ConcurrentMax: 20, QueueMax: 100, QueueTimeout: 10 * time.Second}, true
	case "tools":
		return BulkheadSettings{ConcurrentMax: 5, QueueMax: 100, QueueTimeout: 30 * time.Second}, true
	}
	return BulkheadSettings{}, false
}

// ErrBulkheadFull is what a [BulkheadError] is where no further caller may wait, ErrBulkheadTimedOut where one waited in vain; for
// [errors.Is].
var (
	ErrBulkheadFull     = errors.New("the bulkhead is full")
	ErrBulkheadTimedOut = errors.New("no place of the bulkhead in time")
)

// BulkheadError is why a caller got no place. It is no outcome of any breaker, since nothing was called.
type BulkheadError struct {
	// Bulkhead is its name, ConcurrentMax how many calls it takes at once.
	Bulkhead      string
	ConcurrentMax int
	// Waiting is how many callers were waiting, of at most QueueMax. Of a full one.
	Waiting, QueueMax int
	// TimedOut: the caller waited, for as long as Waited says, and no place came. Otherwise the bulkhead is full.
	TimedOut bool
	Waited   time.Duration
}

func (e *BulkheadError) Error() string {
	if e.TimedOut {
		return fmt.Sprintf("bulkhead `%s`: no place within %v; it takes %d calls at once", e.Bulkhead, e.Waited, e.ConcurrentMax)
	}
	return fmt.Sprintf("bulkhead `%s` is full: it takes %d calls at once, and %d of at most %d callers wait",
		e.Bulkhead, e.ConcurrentMax, e.Waiting, e.QueueMax)
}

// Is says which of the two it is.
func (e *BulkheadError) Is(target error) bool {
	return target == ErrBulkheadFull && !e.TimedOut || target == ErrBulkheadTimedOut && e.TimedOut
}

// BulkheadCounts are what goes on in a bulkhead, and what went on since it was made. They are read one after the other while callers come
// and go, so that they need not fit together exactly.
type BulkheadCounts struct {
	// InUse is how many places are taken, Waiting how many callers wait.
	InUse, Waiting int
	// Refused is how many callers were refused, since it was full; TimedOut how many waited in vain.
	Refused, TimedOut uint64
}

// Bulkhead bounds how many calls of one operation are made at once. Any number of goroutines may use it.
//
// It stands outside the breaker: take a place first, then make the guarded call. So waiting is no latency of the service, no probe is
// kept while its caller waits, and a refusal of the bulkhead is no outcome. Who comes first is served first.
//
//	leave, err := bulkhead.Enter(ctx)
//	if err != nil {
//		return err
//	}
//	defer leave()
//	answer, err := softfuse.Execute(ctx, breaker, ask)
type Bulkhead struct {
	name     string
	settings BulkheadSettings
	// places holds one for each that is taken. Those who wait to put one in are served in the order in which they came, and who takes
	// one out hands the room on to the first of them, so that nobody overtakes.
	places            chan struct{}
	waiting           atomic.Int64
	refused, timedOut atomic.Uint64
}

// NewBulkhead makes a bulkhead; its name stands in its errors. The error names the setting that is out of its range.
func NewBulkhead(name string, settings BulkheadSettings) (*Bulkhead, error) {
	invalid := func(key string, value any, allowed string) error {
		return fmt.Errorf("bulkhead `%s`: %s is %v, and may be %s", name, key, value, allowed)
	}
	switch {
	case settings.ConcurrentMax < 1 || settings.ConcurrentMax > callersMax:
		return nil, invalid("ConcurrentMax", settings.ConcurrentMax, "1 to 1000000")
	case settings.QueueMax < 0 || settings.QueueMax > callersMax:
		return nil, invalid("QueueMax", settings.QueueMax, "0 to 1000000")
	case settings.QueueTimeout < 0 || settings.QueueTimeout > queueTimeoutMax:
		return nil, invalid("QueueTimeout", settings.QueueTimeout, "0 to 24 hours")
	}
	if settings.QueueMax > 0 && settings.QueueTimeout == 0 {
		settings.QueueTimeout = queueTimeoutDefault
	}
	return &Bulkhead{name: name, settings: settings, places: make(chan struct{}, settings.ConcurrentMax)}, nil
}

// Name is its name.
func (b *Bulkhead) Name() string { return b.name }

// Settings are its bounds, the default filled in.
func (b *Bulkhead) Settings() BulkheadSettings { return b.settings }

// Counts are what goes on in it.
func (b *Bulkhead) Counts() BulkheadCounts {
	return BulkheadCounts{
		InUse: len(b.places), Waiting: int(b.waiting.Load()), Refused: b.refused.Load(), TimedOut: b.timedOut.Load(),
	}
}

// TryEnter takes a place if one is free and nobody waits for it. `leave` gives it back; once, however often it is called. The error is a
// [*BulkheadError].
func (b *Bulkhead) TryEnter() (leave func(), err error) {
	if leave, ok := b.freePlace(); ok {
		return leave, nil
	}
	return nil, b.full(int(b.waiting.Load()))
}

// Enter takes a place, and waits for one where none is free, for as long as the settings say, and no longer than its context lives.
// `leave` gives it back; once, however often it is called. The error is a [*BulkheadError], or the context's.
func (b *Bulkhead) Enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if leave, ok := b.freePlace(); ok {
		return leave, nil
	}
	if waiting, ok := b.queue(); !ok {
		return nil, b.full(waiting)
	}
	defer b.waiting.Add(-1)
	timer := time.NewTimer(b.settings.QueueTimeout)
	defer timer.Stop()
	select {
	case b.places <- struct{}{}:
		return b.leave(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	// It may have come at the last moment.
	if leave, ok := b.freePlace(); ok {
		return leave, nil
	}
	b.timedOut.Add(1)
	return nil, &BulkheadError{Bulkhead: b.name, ConcurrentMax: b.settings.ConcurrentMax, TimedOut: true, Waited: b.settings.QueueTimeout}
}

// Within makes a call in a place of the bulkhead, which is free again when the call has returned, or panicked. The error is the call's own,
// a [*BulkheadError], or the context's, as of [Bulkhead.Enter].
func Within[T any](ctx context.Context, bulkhead *Bulkhead, call func(context.Context) (T, error)) (value T, err error) {
	leave, err := bulkhead.Enter(ctx)
	if err != nil {
		return value, err
	}
	defer leave()
	return call(ctx)
}

func (b *Bulkhead) freePlace() (leave func(), ok bool) {
	select {
	case b.places <- struct{}{}:
		return b.leave(), true
	default:
		return nil, false
	}
}

// leave gives one place back, once.
func (b *Bulkhead) leave() func() {
	var left atomic.Bool
	return func() {
		if left.CompareAndSwap(false, true) {
			<-b.places
		}
	}
}

// queue counts one more in; else how many wait.
func (b *Bulkhead) queue() (waiting int, ok bool) {
	for {
		waiting := b.waiting.Load()
		if waiting >= int64(b.settings.QueueMax) {
			return int(waiting), false
		}
		if b.waiting.CompareAndSwap(waiting, waiting+1) {
			return 0, true
		}
	}
}

func (b *Bulkhead) full(waiting int) error {
	b.refused.Add(1)
	return &BulkheadError{Bulkhead: b.name, ConcurrentMax: b.settings.ConcurrentMax, Waiting: waiting, QueueMax: b.settings.QueueMax}
}
