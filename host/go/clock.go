// Where the host gets its time from: the component has no clock, so every call hands one reading in.

package softfuse

import (
	"sync/atomic"
	"time"
)

// Clock is a monotonic clock.
type Clock interface {
	// Now is the time since an origin of the clock's choice. A reading that is earlier than one before is taken as the latest, since
	// goroutines race. It is read once when a call begins and once when it ends, by the caller's goroutine: should it panic, that one
	// does.
	Now() time.Duration
}

// ManualClock is a clock that is set by hand, for tests and replay. The zero value stands at 0.
type ManualClock struct{ now atomic.Int64 }

// Now is what it was set to.
func (c *ManualClock) Now() time.Duration { return time.Duration(c.now.Load()) }

// Set sets it.
func (c *ManualClock) Set(now time.Duration) { c.now.Store(int64(now)) }

// Advance moves it on.
func (c *ManualClock) Advance(span time.Duration) { c.now.Add(int64(span)) }

// systemClock is the process's monotonic clock. Its origin is a nanosecond back, so that no reading is 0.
type systemClock struct{ origin time.Time }

func (c *systemClock) now() int64 { return int64(time.Since(c.origin)) }
