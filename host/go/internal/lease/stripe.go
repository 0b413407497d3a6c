// A part of a lease that few goroutines at a time use: a counter of successes, with their details where the component asks for
// some.

package lease

import "sync/atomic"

// detailSlots is how many successes with details one stripe keeps at most.
const detailSlots = 64

// cacheLine is what cores exchange: two of the usual ones, which they fetch in pairs.
const cacheLine = 128

// Stripe is one part.
type Stripe struct {
	counter counter
	// latest is the latest time that a goroutine of this stripe has come with.
	latest  atomic.Uint64
	refused atomic.Uint64
	// kept is how many details it has ever kept, here or among the scores.
	kept atomic.Uint64
	// slots are made when a lease first asks for details.
	slots atomic.Pointer[[detailSlots]detailSlot]
	_     [cacheLine - 48]byte
}

// detailSlot is written by who reserved it. The detail is read by who takes the lease alone, who has seen the mark.
type detailSlot struct {
	// mark is written last: the lease's number.
	mark   atomic.Uint64
	detail detail
}

// latestWith is the time that counts: this one, or the latest that was seen here.
func (s *Stripe) latestWith(now uint64) uint64 { return max(now, s.latest.Load()) }

// note sees a time, which is the latest. Goroutines that share a stripe may overwrite each other's: they race, and either's order
// is one.
func (s *Stripe) note(latest uint64) {
	if s.latest.Load() != latest {
		s.latest.Store(latest)
	}
}

func (s *Stripe) makeSlots() {
	if s.slots.Load() == nil {
		s.slots.Store(new([detailSlots]detailSlot))
	}
}

// fill puts a success's details into the slot that was reserved. There are slots before a lease that asks for details is opened.
func (s *Stripe) fill(reserved head, of detail) {
	slot := &s.slots.Load()[reserved.count()]
	slot.detail = of
	slot.mark.Store(reserved.epoch())
}

// read shows what was put into slots until it was closed, waiting for those who are at it.
func (s *Stripe) read(closed head, batch *Batch) {
	slots := s.slots.Load()
	for i := uint32(0); slots != nil && i < min(closed.count(), detailSlots); i++ {
		slot := &slots[i]
		waitFor(func() bool { return slot.mark.Load() == closed.epoch() })
		batch.details = append(batch.details, slot.detail)
	}
}
