// The host's half of a lease: what the breaker component lets its host do without asking.

// Package lease keeps what a component has granted: a permit that every call may carry, and terms under which benign outcomes may
// be recorded late. Goroutines admit calls and keep outcomes without a lock and, where that can be, without touching what another
// core touches. It decides nothing: what isn't plainly within the terms goes to the component at once, after what was kept, in
// order.
//
// One owner, whoever holds the breaker's lock, takes what was kept, hands it to the component, and opens the lease again with the
// terms that the component grants then. All others admit and keep.
//
// Of most outcomes nothing is to be known but that there was one more success: they are counted in stripes, by where the
// goroutine's stack lies, which differs from goroutine to goroutine and costs nothing to ask. Where the component asks for
// latencies, or for when outcomes were settled, a stripe has slots for those, and outcomes of several stripes are merged by their
// times. Scores have a bound at each of them, in order of arrival, so those who bring one meet in one ring.
//
// An outcome is kept by counting up one word, which names the lease and says whether it is over. That step succeeds only if
// nothing of the lease has changed since the goroutine looked at its terms. Terms are never changed: new ones take their place.
package lease

import (
	"sync/atomic"
	"unsafe"
)

// stripesMax bounds the stripes: beyond, goroutines share them more often.
const stripesMax = 32

// What [Lease.admission] says: to ask, to refuse until a time, or to admit with the permit that is so much less.
const (
	ask    = 0
	refuse = 1
	admit  = 2
)

// Answer is what a call gets without the component's being asked.
type Answer uint8

// The answers of [Lease.Admit].
const (
	// Ask: nothing; ask the component.
	Ask Answer = iota
	// Admitted: it may be made, with this permit.
	Admitted
	// Refused: it may not. It is counted.
	Refused
)

// Entry is something that may be recorded late: a success, or a late score.
type Entry struct {
	// Latency is how long the call took, in nanoseconds.
	Latency uint64
	// Score is its score, in units of 10^-9, where HasScore says so.
	Score    int64
	HasScore bool
	// Pending: its score comes later.
	Pending bool
	// Late: it is a score of a call that was settled before.
	Late bool
}

// Lease is a breaker's, shared by all goroutines that use it.
type Lease struct {
	// Read by every call, written when the state changes or new terms are granted.
	terms       atomic.Pointer[Terms]
	admission   atomic.Uint64
	refuseUntil atomic.Uint64
	mask        uintptr
	stripes     []Stripe
	// monotonic: see [Lease.SetMonotonic].
	monotonic bool
	_         [cacheLine]byte
	// pool is what the counters may still draw.
	pool atomic.Int64
	_    [cacheLine]byte
	// scores are those of all goroutines.
	scores scores
	_      [cacheLine]byte
	// epoch is the lease's number. It is the owner's.
	epoch uint64
}

// New is a lease that grants nothing yet, for a machine with so many cores.
func New(cores int) *Lease {
	stripes := 1
	// Four times as many as cores, so that two goroutines seldom meet.
	for stripes < 4*cores && stripes < stripesMax && cores > 1 {
		stripes *= 2
	}
	made := &Lease{mask: uintptr(stripes - 1), stripes: make([]Stripe, stripes)}
	made.terms.Store(&Terms{})
	made.scores.counter.head.Store(closedBit)
	for i := range made.stripes {
		made.stripes[i].counter.head.Store(closedBit)
	}
	return made
}

// SetMonotonic says, before the lease is used, that no time is earlier than one before: so a time need not be kept where nobody asks
// when outcomes were settled. Who takes what was kept has read a later clock, and says that.
func (l *Lease) SetMonotonic() { l.monotonic = true }

// Stripe is the one of this goroutine: usually no other's that runs now. It may be asked for anew each time.
func (l *Lease) Stripe() *Stripe { return &l.stripes[l.Number()] }

// Number is its number, below [Lease.Stripes].
func (l *Lease) Number() int {
	var here byte
	// Stacks are of 2 KiB and more, at addresses that differ in these bits.
	at := uintptr(unsafe.Pointer(&here)) >> 11
	return int((at ^ at>>5) & l.mask)
}

// Stripes is how many there are.
func (l *Lease) Stripes() int { return len(l.stripes) }

// Admit asks for a call's admission. For a refusal, the time that counts comes back: what was handed in, or a later one that was
// seen here.
func (l *Lease) Admit(now uint64) (answer Answer, permit, at uint64) {
	switch word := l.admission.Load(); word {
	case ask:
		return Ask, 0, now
	case refuse:
		stripe := l.Stripe()
		now = stripe.latestWith(now)
		if now >= l.refuseUntil.Load() {
			return Ask, 0, now
		}
		stripe.note(now)
		stripe.refused.Add(1)
		return Refused, 0, now
	default:
		l.Note(now)
		return Admitted, word - admit, now
	}
}

// Permit is the permit of a call that is admitted, where nothing need be noted: the clock never runs backwards, so that whatever
// comes after this call has a later time.
func (l *Lease) Permit() (uint64, bool) {
	word := l.admission.Load()
	return word - admit, word >= admit
}

// KeepSuccess is [Lease.Keep] for a success without a score, where it need only be counted. Not ok says nothing: Keep is to be asked.
func (l *Lease) KeepSuccess(permit, at, latency uint64) (tag uint8, ok bool) {
	stripe := l.Stripe()
	seen := stripe.counter.look()
	terms := l.terms.Load()
	if !l.monotonic || !seen.isOpen() || !terms.countsOnly || !terms.fits(permit, at, latency) {
		return 0, false
	}
	return terms.Tag, stripe.counter.hasRoom(seen, &l.pool, l.counters()) && stripe.counter.reserve(seen)
}

// Keep keeps what has happened under a permit, where that is benign: the terms' tag, and whether it was kept. If not: record it
// at once, after what was kept.
func (l *Lease) Keep(permit, at uint64, entry Entry) (tag uint8, ok bool) {
	stripe := l.Stripe()
	at = stripe.latestWith(at)
	for {
		seen := stripe.counter.look()
		terms := l.terms.Load()
		if !seen.isOpen() || !terms.fits(permit, at, entry.Latency) {
			return 0, false
		}
		came := kept
		if score, has := terms.score(&entry); has {
			came = l.keepScore(stripe, seen.epoch(), terms, score, at, &entry)
		} else if entry.Late {
			// Nobody looks at scores, so that there is nothing to keep, as long as the terms still stand.
			if now := stripe.counter.look(); !now.isOpen() {
				return 0, false
			} else if now.epoch() != seen.epoch() {
				came = again
			}
		} else {
			came = l.keepCount(stripe, seen, terms, at, &entry)
		}
		switch came {
		case kept:
			if !l.monotonic || terms.Details {
				stripe.note(at)
			}
			return terms.Tag, true
		case refused:
			return 0, false
		}
	}
}

func (l *Lease) keepCount(stripe *Stripe, seen head, terms *Terms, at uint64, entry *Entry) verdict {
	if !stripe.counter.hasRoom(seen, &l.pool, l.counters()) || terms.Details && seen.count() >= detailSlots {
		return refused
	}
	if !stripe.counter.reserve(seen) {
		return again
	}
	if terms.Details {
		stripe.fill(seen, detail{settledAt: at, latency: entry.Latency, sequence: stripe.kept.Add(1)})
	}
	return kept
}

func (l *Lease) keepScore(stripe *Stripe, epoch uint64, terms *Terms, score int64, at uint64, entry *Entry) verdict {
	// The terms that were read are those of this lease only if the scores are still open under it.
	seen := l.scores.counter.look()
	if !seen.isOpen() {
		return refused
	}
	if seen.epoch() != epoch {
		return again
	}
	sum, ok := l.scores.place(seen, score, terms)
	if !ok || !l.scores.counter.hasRoom(seen, &l.pool, l.counters()) {
		// Terms that aren't this lease's say nothing of it.
		if terms.epoch != epoch {
			return again
		}
		return refused
	}
	var of detail
	if terms.Details {
		of = detail{settledAt: at, latency: entry.Latency, sequence: stripe.kept.Add(1)}
	}
	if !l.scores.put(seen, sum, score, entry.Late, of) {
		return again
	}
	return kept
}

// GoesTogether says whether a success that wasn't kept may be recorded together with what waits, as the last of it: there is no
// room for it, or its score is not benign any more. It is the owner's to ask.
func (l *Lease) GoesTogether(permit, at, latency uint64) bool {
	return l.terms.Load().fits(permit, at, latency)
}

// counters is how many draw from the pool.
func (l *Lease) counters() int64 { return int64(len(l.stripes)) + 1 }

// Latest is the latest time that any goroutine has come with.
func (l *Lease) Latest() uint64 {
	var latest uint64
	for i := range l.stripes {
		latest = max(latest, l.stripes[i].latest.Load())
	}
	return latest
}

// Until is the time before which what is kept was settled.
func (l *Lease) Until() uint64 { return l.terms.Load().Until }

// Note sees a time that the component has seen, since time never runs backwards.
func (l *Lease) Note(now uint64) {
	stripe := l.Stripe()
	stripe.note(stripe.latestWith(now))
}

// Take ends the recording lease and takes what was kept under it, in an order that every goroutine's own and the times agree with.
// Calls are admitted or refused as before. It is the owner's.
func (l *Lease) Take(batch *Batch) {
	terms := l.terms.Load()
	batch.clear(terms)
	parts := 0
	if closed, wasOpen := l.scores.counter.close(); wasOpen && closed.count() > 0 {
		batch.Lates = l.scores.read(closed, terms.ScoresLast, batch, terms.Details)
		batch.Successes += closed.count() - batch.Lates
		parts++
	}
	for i := range l.stripes {
		stripe := &l.stripes[i]
		if stripe.refused.Load() > 0 {
			batch.Refused += stripe.refused.Swap(0)
		}
		if closed, wasOpen := stripe.counter.close(); wasOpen && closed.count() > 0 {
			batch.Successes += closed.count()
			if terms.Details {
				stripe.read(closed, batch)
			}
			parts++
		}
	}
	batch.order(parts > 1)
}

// IsWaiting says whether anything was kept or refused that the component doesn't know of.
func (l *Lease) IsWaiting() bool {
	waiting := l.scores.counter.isWaiting()
	for i := range l.stripes {
		waiting = waiting || l.stripes[i].counter.isWaiting() || l.stripes[i].refused.Load() > 0
	}
	return waiting
}

// Open opens the lease that was taken, with new terms: calls are admitted with their permit. It is the owner's.
func (l *Lease) Open(terms *Terms) {
	l.epoch++
	terms.epoch, terms.countsOnly = l.epoch, !terms.wantsScores() && !terms.Details
	l.terms.Store(terms)
	room := terms.room()
	l.pool.Store(int64(room))
	if room > 0 {
		// First, since who has seen a stripe open expects the scores to be.
		if terms.wantsScores() {
			l.scores.makeSlots()
			l.scores.lates.Store(0)
			l.scores.counter.open(l.epoch)
		}
		for i := range l.stripes {
			if terms.Details {
				l.stripes[i].makeSlots()
			}
			l.stripes[i].counter.open(l.epoch)
		}
	}
	if terms.Permit > Never-admit {
		// No component gives such a permit.
		l.Ask()
		return
	}
	l.admission.Store(terms.Permit + admit)
}

// Refuse refuses calls until a time: for ever, where it is [Never]. It is the owner's.
func (l *Lease) Refuse(until uint64) {
	l.refuseUntil.Store(until)
	l.admission.Store(refuse)
}

// Ask has the component asked for every call, in every goroutine, from now on. It is the owner's.
func (l *Lease) Ask() { l.admission.Store(ask) }
