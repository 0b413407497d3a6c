// The body of a response to a guarded request, by whose end its call is settled.

package softfuse

import (
	"io"
	"sync"
)

// guardedBody settles its call when it has ended.
type guardedBody struct {
	io.ReadCloser
	call    *callContext
	outcome Outcome
	once    sync.Once
	// watch watches it, and answer has it scored; nil where that isn't wanted.
	watch  *streamWatch
	answer *AnswerStream
}

// settle settles the call; complete, where the body has come to its end.
func (b *guardedBody) settle(outcome Outcome, complete bool) {
	b.once.Do(func() {
		answer, permit := b.answer, &b.call.permit
		if answer != nil && outcome.kind == Success && permit.word.Load() == wordNone {
			outcome.signal = signalPending
			_, _ = permit.Settle(outcome)
			answer.FinishLater(complete)
			return
		}
		permit.settleOwed(outcome)
		if answer != nil {
			answer.Discard()
		}
	})
}

// Read reads on.
func (b *guardedBody) Read(into []byte) (int, error) {
	if len(into) > 0 {
		b.watch.wait()
	}
	count, err := b.ReadCloser.Read(into)
	if b.answer != nil {
		b.answer.Push(into[:count])
	}
	err = b.watched(into[:count], err)
	switch {
	case err == io.EOF:
		b.settle(b.outcome, true)
	case err != nil:
		b.settle(b.call.permit.breaker.classify(b.call.Context, err), false)
	}
	return count, err
}

// watched is what the reader gets to know, and the breaker before it.
func (b *guardedBody) watched(piece []byte, err error) error {
	if late := b.watch.came(); late != nil && err != nil {
		return late
	}
	if inside := b.watch.see(piece, err == io.EOF); inside != nil {
		// It is the reader's to read; the breaker needn't wait for the end.
		b.settle(inside.Outcome(), false)
	}
	if err == io.EOF {
		if broken := b.watch.broken(); broken != nil {
			b.settle(broken.Outcome(), false)
			return broken
		}
	}
	return err
}

// Close ends it. A body that is closed before its end is the caller's doing.
func (b *guardedBody) Close() error {
	err := b.ReadCloser.Close()
	b.settle(b.outcome, false)
	b.watch.release()
	return err
}

// guardedConnection is that of a connection that was handed over.
type guardedConnection struct {
	*guardedBody
	io.Writer
}
