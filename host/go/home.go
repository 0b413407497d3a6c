// What the named breakers of a registry share, or those of a keyed family: instances of the component of their own, all else of the
// registry's.

package softfuse

import (
	"sync/atomic"
	"time"

	"softfuse.dev/softfuse/internal/core"
)

// FailureMode says what happens to calls while the breaker component fails.
type FailureMode uint8

const (
	// FailOpen admits them, unguarded. A breaker that is broken then harms nobody; it is the default.
	FailOpen FailureMode = iota
	// FailClosed refuses them, with [OpenError.ComponentFailure] set.
	FailClosed
)

// shared is what all breakers of a registry share.
type shared struct {
	system  *systemClock
	clock   Clock
	hub     hub
	metrics metrics

	failureMode      FailureMode
	snapshotEvery    uint64
	snapshotInterval time.Duration
	// leaseAfter is how many calls make a breaker busy enough for a buffer.
	leaseAfter uint32
	// stripes is how many cores' goroutines may meet in a buffer.
	stripes    int
	classifier Classifier
	salt       uint64
}

type home struct {
	*shared
	slots    *core.Slots
	lendings lendings
}

// now reads the clock. The system's is told apart, since it costs less to call.
func (s *shared) now() int64 {
	if s.system != nil {
		return s.system.now()
	}
	return int64(s.clock.Now())
}

// caughtNow is for where a lock is held: a clock of the user's that panics stands at 0, and time never runs backwards.
func (s *shared) caughtNow() (now int64) {
	defer func() {
		if recover() != nil {
			now = 0
		}
	}()
	return s.now()
}

// lendings bounds how many buffers are lent at once.
type lendings struct {
	max  int64
	lent atomic.Int64
}

func (l *lendings) lend() bool {
	if l.lent.Add(1) <= l.max {
		return true
	}
	l.lent.Add(-1)
	return false
}

func (l *lendings) giveBack() { l.lent.Add(-1) }
