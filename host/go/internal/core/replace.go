// Hot upgrades: another component in the place of the one at work, in all instances or in none.

package core

import wit "softfuse.dev/softfuse/internal/breakerwit"

// Replaced is what a hot upgrade did with the breakers that sat in an instance, by their names.
type Replaced struct {
	// Restored came along with their state.
	Restored []string
	// Refused are those whose state the new component refuses: with the next call each comes back from its last snapshot, where the new
	// one takes that.
	Refused []Refused
	// Lost are those whose state the old component didn't give, since it failed at that.
	Lost []string
}

// Refused is a breaker whose state a new component refuses.
type Refused struct {
	Name string
	// Snapshot is what it says of the snapshot, or else Policy of the breaker's policy.
	Snapshot *wit.RestoreError
	Policy   *Failure
}

// handover is a slot's part of a hot upgrade, until it is done.
type handover struct {
	slot *Slot
	next *live
	// ids are the breakers' handles in the next instance.
	ids map[*chair]uint32
	// taken is what they claim of it.
	taken room
	// broken is how the old instance failed meanwhile.
	broken *Failure
}

// Replace puts a component in the place of the one at work. Where it fails at that, the old one is at work still.
func Replace(all []*Slots, component *Compiled) (*Replaced, *Failure) {
	// One that doesn't start, or doesn't keep its contract, is known before anybody waits.
	scratch, failure := newLive(component)
	if failure != nil {
		return nil, failure
	}
	bytesMax := breakersBytesMax(component.bounds, scratch.instance.InitialBytes)
	scratch.instance.Close()
	for _, slots := range all {
		slots.using.Lock()
		defer slots.using.Unlock()
		for _, slot := range slots.slots {
			slot.lock.Lock()
			defer slot.lock.Unlock()
		}
	}
	replaced := &Replaced{}
	handovers, failure := handAllOver(all, component, bytesMax, replaced)
	for _, made := range handovers {
		if failure == nil {
			made.commit()
		} else {
			made.giveUp()
		}
	}
	if failure != nil {
		return nil, failure
	}
	for _, slots := range all {
		slots.component, slots.bytesMax = component, func() uint64 { return bytesMax }
		for _, slot := range slots.slots {
			// What the old one did isn't held against the new one.
			slot.component, slot.failures, slot.rests, slot.resting = component, nil, 0, nil
		}
	}
	return replaced, nil
}

func handAllOver(all []*Slots, component *Compiled, bytesMax uint64, replaced *Replaced) (handovers []*handover, failure *Failure) {
	for _, slots := range all {
		for _, slot := range slots.slots {
			if slot.live == nil {
				continue
			}
			next, failure := newLive(component)
			if failure != nil {
				return handovers, failure
			}
			made := &handover{slot: slot, next: next, ids: map[*chair]uint32{}}
			handovers = append(handovers, made)
			if failure := made.run(bytesMax, replaced); failure != nil {
				return handovers, failure
			}
		}
	}
	return handovers, nil
}

// run makes every breaker that sits in the slot in the next instance as well.
func (h *handover) run(bytesMax uint64, replaced *Replaced) *Failure {
	for chair := range h.slot.live.seated {
		saved := h.save(chair)
		if saved == nil {
			replaced.Lost = append(replaced.Lost, chair.who.Name)
			continue
		}
		switch refused, failure := h.takeOver(chair, saved, bytesMax); {
		case failure != nil:
			return failure
		case refused != nil:
			replaced.Refused = append(replaced.Refused, *refused)
		default:
			replaced.Restored = append(replaced.Restored, chair.who.Name)
		}
	}
	return nil
}

// save is what the old instance says of a breaker, as of the latest time that it knows; nil where it doesn't say.
func (h *handover) save(chair *chair) *Saved {
	if h.broken != nil {
		return nil
	}
	snapshot, err := h.slot.live.guest.Snapshot(chair.id, Nanos(h.slot.latest))
	if err != nil {
		// Which may be why it is replaced.
		h.broken = h.slot.live.instance.Fault(err)
	}
	if err != nil || !snapshot.Some {
		return nil
	}
	return &Saved{Bytes: snapshot.Value, At: h.slot.latest}
}

// takeOver makes a breaker in the next instance, unless that refuses it.
func (h *handover) takeOver(chair *chair, saved *Saved, bytesMax uint64) (*Refused, *Failure) {
	name := chair.who.Name
	policy, why := h.next.policy(chair.who)
	switch {
	case why.refused:
		return &Refused{Name: name, Policy: why.failure}, nil
	case why.failure != nil:
		return nil, why.failure
	}
	// Places were given by what the old one said that breakers take.
	claim := claimOf(policy.breakerBytes, len(saved.Bytes))
	if bytes := h.taken.with(claim); bytes > bytesMax {
		return nil, failed(BreakerRefused, "the breaker component has no room for `%s`: with full windows it and the %d breakers beside it would take "+
			"up to %d bytes, snapshots included, of %d that they may have", name, len(h.ids), bytes, bytesMax)
	}
	id, refused, failure := h.next.restore(policy, saved, saved.At)
	if failure != nil {
		return nil, failure
	}
	if refused != nil {
		return &Refused{Name: name, Snapshot: refused}, nil
	}
	h.taken.add(claim)
	h.next.seated[chair] = struct{}{}
	h.ids[chair] = id
	return nil, nil
}

// commit puts the next instance in its place.
func (h *handover) commit() {
	s := h.slot
	for chair, id := range h.ids {
		chair.id = id
	}
	s.live.instance.Close()
	s.live = h.next
	s.incarnation++
	s.startedAt = s.now()
}

// giveUp leaves the old instance at work, unless it has failed.
func (h *handover) giveUp() {
	h.next.instance.Close()
	if h.broken != nil {
		h.slot.fail(h.broken)
	}
}
