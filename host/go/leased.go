// Leases: calls that are admitted, refused and recorded without asking the component, as it has allowed beforehand. What all
// goroutines see of a breaker's lease is here; the owner's part, under the breaker's lock, is in lending.go.

package softfuse

import (
	"math"
	"sync/atomic"
	"time"

	"softfuse.dev/softfuse/internal/core"
	"softfuse.dev/softfuse/internal/lease"
)

// tagIgnored is the terms' tag, which comes back for each outcome that is kept, where the circuit is disabled, and looks away.
const tagIgnored = 1

const (
	// permitAsk: the component must be asked.
	permitAsk = 0
	// permitAdmit: calls are admitted with the permit that is so much less.
	permitAdmit = 1
	// askedMax is how far is counted how busy a breaker is.
	askedMax = math.MaxUint16
)

// leased is what all goroutines see of a breaker's lease. One that has been lent no buffer has little: its permit, which is good until
// an event ends its generation, and the latest time that came.
type leased struct {
	// lent is nil while no buffer is lent.
	lent atomic.Pointer[lent]
	// incarnation is the one in which it was granted.
	incarnation atomic.Uint32
	// state is the breaker's as of the last event: exact, since every change makes one.
	state atomic.Uint32
	// permit is [permitAsk], or a permit and [permitAdmit], while no buffer is lent.
	permit atomic.Uint64
	// seen is the latest time that a call or the component has seen, while no buffer is lent.
	seen atomic.Int64
	// untold: calls were admitted, while no buffer is lent, at times of which the component doesn't know.
	untold atomic.Bool
	// asked is how busy it is while it has been lent no buffer: permits that the component was asked for and records that it was
	// handed.
	asked atomic.Uint32
}

// lent is what all goroutines see of a buffer.
type lent struct {
	lease *lease.Lease
	// told is the latest time that the component has seen.
	told atomic.Uint64
	// refusal is how calls are refused under it.
	refusal atomic.Pointer[refusal]
	// contexts are those that calls came with last, by the goroutines' parts.
	contexts []lastContext
}

type refusal struct {
	state     State
	reason    string
	tripCount uint64
	// until is [lease.Never] where nobody knows.
	until uint64
}

// admit is a call's admission or refusal, where the component has allowed it beforehand, and the incarnation in which it has.
func (l *leased) admit(now int64) (answer lease.Answer, permit uint64, at uint64, incarnation uint32) {
	// Read first: should the lease be of a later one, a permit that is unknown is taken for lost, not for nonsense.
	incarnation = l.incarnation.Load()
	if lent := l.lent.Load(); lent != nil {
		answer, permit, at = lent.lease.Admit(core.Nanos(now))
		return answer, permit, at, incarnation
	}
	word := l.permit.Load()
	if word == permitAsk {
		return lease.Ask, 0, core.Nanos(now), incarnation
	}
	l.see(now)
	l.untold.Store(true)
	return lease.Admitted, word - permitAdmit, core.Nanos(now), incarnation
}

func (l *leased) known() State { return State(l.state.Load()) }

// keep keeps what may wait, where that is benign.
func (l *leased) keep(permit uint64, entry lease.Entry, now int64) (Effect, bool) {
	lent := l.lent.Load()
	if lent == nil {
		return Lost, false
	}
	tag, ok := lent.lease.Keep(permit, core.Nanos(now), entry)
	if tag == tagIgnored {
		return Ignored, ok
	}
	return Recorded, ok
}

// keepSuccess keeps a success without a score, where it need only be counted.
func (l *leased) keepSuccess(permit, latency uint64, now int64) bool {
	lent := l.lent.Load()
	if lent == nil {
		return false
	}
	_, ok := lent.lease.KeepSuccess(permit, core.Nanos(now), latency)
	return ok
}

// entry is an outcome as what may wait; not ok for what never may.
func (o *Outcome) entry(latency uint64) (entry lease.Entry, ok bool) {
	if o.kind != Success || o.hasRetryAfter {
		return entry, false
	}
	entry.Latency, entry.Pending = latency, o.signal == signalPending
	if o.signal == signalScore {
		entry.Score, entry.HasScore = scoreUnits(o.score), true
	}
	return entry, true
}

// refused is how a call that was refused under the lease is refused; nil where that has ended meanwhile.
func (l *leased) refused(breaker string, at uint64) *OpenError {
	lent := l.lent.Load()
	if lent == nil {
		return nil
	}
	found := lent.refusal.Load()
	if found == nil {
		return nil
	}
	// In one piece, since an open circuit refuses much.
	made := &struct {
		OpenError
		left time.Duration
	}{OpenError: OpenError{Breaker: breaker, State: found.state, Reason: found.reason, TripCount: found.tripCount}}
	if found.until != lease.Never {
		made.left = time.Duration(core.Instant(found.until - min(at, found.until)))
		made.RetryAfter = &made.left
	}
	return &made.OpenError
}

// latest is the latest time that a call or the component has seen.
func (l *leased) latest() int64 {
	seen := l.seen.Load()
	if lent := l.lent.Load(); lent != nil {
		return max(seen, core.Instant(lent.lease.Latest()))
	}
	return seen
}

// with is the time that counts: time never runs backwards, and the component wasn't told of every call.
func (l *leased) with(now int64) int64 { return max(now, l.latest()) }

// see sees a time.
func (l *leased) see(now int64) {
	for {
		seen := l.seen.Load()
		if seen >= now || l.seen.CompareAndSwap(seen, now) {
			return
		}
	}
}

// note says that the component has seen this time. Under the breaker's lock.
func (l *leased) note(now int64) {
	lent := l.lent.Load()
	if lent == nil {
		l.see(now)
		return
	}
	lent.lease.Note(core.Nanos(now))
	lent.told.Store(max(lent.told.Load(), core.Nanos(now)))
}

// isWaiting says whether anything was kept that the component doesn't know of.
func (l *leased) isWaiting() bool {
	lent := l.lent.Load()
	return lent != nil && lent.lease.IsWaiting()
}

// countAsked counts one more permit that the component was asked for, or record that it was handed. Under the breaker's lock.
func (l *leased) countAsked() uint32 {
	asked := min(l.asked.Load()+1, askedMax)
	l.asked.Store(asked)
	return asked
}
