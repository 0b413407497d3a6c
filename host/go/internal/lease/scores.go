// The scores under a lease, in order of arrival.
//
// Scores have a bound at each of them, so that those who bring one must meet: in one counter, whose places are a ring of slots.
// Each slot has the sum up to it, from which the next one's is made. So all slots before the last that was reserved are filled,
// and the ring may go round: only the last scores matter.

package lease

import (
	"runtime"
	"sync/atomic"
)

const (
	// scoreSlots is how many scores are kept, the last of them: as many as a component may ask for.
	scoreSlots = 256
	// looks is how often a goroutine looks for what another is about to do: some 100 ns.
	looks = 64
)

// scores is the ring.
type scores struct {
	counter counter
	// lates counts the late scores of this lease. Each is counted before its slot is marked.
	lates atomic.Uint32
	// slots are made when a lease first asks for scores.
	slots atomic.Pointer[[scoreSlots]scoreSlot]
}

// scoreSlot is written by who reserved it. What isn't atomic is read by who takes the lease alone, who has seen the newest mark,
// and by that all before it.
type scoreSlot struct {
	// mark is written last: the lease's number, and the place.
	mark atomic.Uint64
	// sum is of the lease's scores up to here; it may wrap, as long as no difference of two does that matters.
	sum    atomic.Int64
	score  int64
	isLate bool
	detail detail
}

// detail is what may be asked of a success.
type detail struct {
	settledAt, latency uint64
	// sequence is its place among its stripe's: times may be equal.
	sequence uint64
}

func mark(epoch uint64, place uint32) uint64 { return epoch<<epochShift | uint64(place) }

func (s *scores) makeSlots() {
	if s.slots.Load() == nil {
		s.slots.Store(new([scoreSlots]scoreSlot))
	}
}

// waitFor waits for another goroutine, which is between two steps that follow each other.
func waitFor(ready func() bool) {
	for times := 0; !ready(); times++ {
		if times >= looks {
			runtime.Gosched()
		}
	}
}

// verdict is what came of an attempt.
type verdict uint8

const (
	kept verdict = iota
	// again: something has changed since it was looked at.
	again
	// refused: it isn't benign, or there is no room.
	refused
)

// place finds the sum at the next place, if the score is benign there.
func (s *scores) place(seen head, score int64, terms *Terms) (sum int64, ok bool) {
	count := seen.count()
	slots := s.slots.Load()
	if slots == nil {
		return 0, false
	}
	if count > 0 {
		slot := &slots[(count-1)%scoreSlots]
		filled := mark(seen.epoch(), count-1)
		// A later mark: others have gone on, and `reserve` will find that out. None at all: that goroutine was interrupted, and
		// nobody waits for it but who takes the lease.
		for times := 0; slot.mark.Load() < filled; times++ {
			if times == looks {
				return 0, false
			}
		}
		sum = slot.sum.Load()
	}
	sum += score
	over, least, bounded, ok := terms.bound(count)
	if !ok {
		return 0, false
	}
	if over > 0 {
		if count < over {
			return 0, false
		}
		// The last so many, of which this is one.
		return sum, sum-slots[(count-over)%scoreSlots].sum.Load() >= least
	}
	return sum, !bounded || sum >= least
}

// put puts a score in, where nothing has changed since its place was found.
func (s *scores) put(seen head, sum, score int64, late bool, of detail) bool {
	if !s.counter.reserve(seen) {
		return false
	}
	slot := &s.slots.Load()[seen.count()%scoreSlots]
	slot.sum.Store(sum)
	slot.score, slot.isLate, slot.detail = score, late, of
	if late {
		s.lates.Add(1)
	}
	slot.mark.Store(mark(seen.epoch(), seen.count()))
	return true
}

// read reads the last `last` scores until it was closed, and the details of all, where they are wanted. How many of all were late.
func (s *scores) read(closed head, last uint32, batch *Batch, details bool) uint32 {
	count, slots := closed.count(), s.slots.Load()
	if count == 0 || slots == nil {
		return 0
	}
	newest := &slots[(count-1)%scoreSlots]
	waitFor(func() bool { return newest.mark.Load() == mark(closed.epoch(), count-1) })
	first := count - min(count, last)
	if details {
		first = 0
	}
	for place := max(first, count-min(count, scoreSlots)); place < count; place++ {
		slot := &slots[place%scoreSlots]
		if count-place <= last {
			batch.Scores = append(batch.Scores, slot.score)
		}
		if details && !slot.isLate {
			batch.details = append(batch.details, slot.detail)
		}
	}
	return s.lates.Load()
}
