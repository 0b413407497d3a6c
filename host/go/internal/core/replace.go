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
	// next is nil where it is known already that the new component has no room.
	next *live
	// ids are the breakers' handles in the next instance.
	ids map[*chair]uint32
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
	defer scratch.instance.Close()
	bytesMax := breakersBytesMax(component.bounds, scratch.instance.InitialBytes)
	for _, slots := range all {
		slots.using.Lock()
		defer slots.using.Unlock()
		for _, slot := range slots.slots {
			slot.lock.Lock()
			defer slot.lock.Unlock()
		}
	}
	said, rooms, failure := reckonAnew(all, scratch)
	if failure != nil {
		return nil, failure
	}
	replaced, want := &Replaced{}, &wanted{bytesMax: bytesMax}
	handovers, failure := handAllOver(all, component, rooms, want, replaced)
	if failure == nil && !want.fits() {
		failure = scratch.noRoom(want)
	}
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
	said.commit(all)
	for _, slots := range all {
		slots.component, slots.bytesMax = component, func() uint64 { return bytesMax }
		for _, slot := range slots.slots {
			// What the old one did isn't held against the new one.
			slot.component, slot.failures, slot.rests, slot.resting = component, nil, 0, nil
		}
	}
	return replaced, nil
}

// figures is what another component says that breakers of the policies take that have places, or seats.
type figures map[*Policy]*said

// reckonAnew says by the word of another component, of which an instance is given, what breakers of the policies take, and what all of
// an instance claim: those too that have a place and weren't used yet, since a place is promised, and those that have given theirs up,
// were used again, and sit there.
func reckonAnew(all []*Slots, scratch *live) (figures, map[*Slot]*room, *Failure) {
	found, rooms := figures{}, map[*Slot]*room{}
	for _, slots := range all {
		for _, slot := range slots.slots {
			anew := &room{kinds: map[kindOf]*kind{}}
			rooms[slot] = anew
			for of, one := range slot.room.kinds {
				if failure := found.ask(scratch, of.policy); failure != nil {
					return nil, nil, failure
				}
				anew.kinds[of] = found.reckon(one)
			}
			anew.sum()
			if slot.live == nil {
				continue
			}
			for chair := range slot.live.seated {
				if chair.placed {
					continue
				}
				if failure := found.ask(scratch, chair.who.Policy); failure != nil {
					return nil, nil, failure
				}
				anew.add(chair.who.Policy, found[chair.who.Policy].breakerBytes, 0)
			}
		}
	}
	return found, rooms, nil
}

// ask asks what breakers of a policy take, unless it is known.
func (f figures) ask(scratch *live, of *Policy) *Failure {
	if f[of] != nil {
		return nil
	}
	policy, why := scratch.policy(of, of.Source)
	if why.failure != nil && !why.refused {
		return why.failure
	}
	// Of a policy that it refuses there will be no breakers.
	f[of] = &said{component: scratch.instance.compiled.serial, breakerBytes: policy.breakerBytes}
	return nil
}

// reckon is a kind as the other component has it.
func (f figures) reckon(one *kind) *kind {
	anew := *one
	anew.claim = claimOf(f[one.policy].breakerBytes, one.snapshotBytes)
	return &anew
}

// commit has that component's word count.
func (f figures) commit(all []*Slots) {
	for policy, said := range f {
		policy.said.Store(said)
	}
	for _, slots := range all {
		for _, slot := range slots.slots {
			for _, one := range slot.room.kinds {
				*one = *f.reckon(one)
			}
			slot.room.sum()
		}
	}
}

// wanted is what the breakers want of that instance which they want most of.
type wanted struct {
	breakers, bytes uint64
	bytesMax        uint64
}

func (w *wanted) fits() bool { return w.bytes <= w.bytesMax }

// see looks at an instance's breakers, of which one has a snapshot of this length.
func (w *wanted) see(claimed *room, snapshotBytes int) {
	if bytes := addUp(claimed.bytes, max(claimed.transit, uint64(snapshotBytes))); bytes > w.bytes {
		w.breakers, w.bytes = claimed.all(), bytes
	}
}

// noRoom says that breakers of one instance want more of its memory than they may have.
func (l *live) noRoom(want *wanted) *Failure {
	return failed(BreakerRefused, "the breaker component `%s` has no room for the breakers that are there: with full windows the %d of one instance "+
		"would take up to %d bytes, snapshots included, of %d that they may have with a memoryBytesMax of %d; it must be %d at least",
		l.instance.compiled.Name, want.breakers, want.bytes, want.bytesMax, l.instance.compiled.bounds.MemoryBytesMax,
		memoryBytesFor(want.bytes, l.instance.InitialBytes))
}

// handAllOver makes all breakers in next instances as well, as long as there is room. Where there is not, all are looked at all the same,
// so that what is wanted is known in full.
func handAllOver(all []*Slots, component *Compiled, rooms map[*Slot]*room, want *wanted, replaced *Replaced) (handovers []*handover, failure *Failure) {
	for _, claimed := range rooms {
		want.see(claimed, 0)
	}
	for _, slots := range all {
		for _, slot := range slots.slots {
			if slot.live == nil {
				continue
			}
			made := &handover{slot: slot, ids: map[*chair]uint32{}}
			if want.fits() {
				if made.next, failure = newLive(component); failure != nil {
					return handovers, failure
				}
			}
			handovers = append(handovers, made)
			if failure := made.run(rooms[slot], want, replaced); failure != nil {
				return handovers, failure
			}
		}
	}
	return handovers, nil
}

// run makes every breaker that sits in the slot in the next instance as well.
func (h *handover) run(claimed *room, want *wanted, replaced *Replaced) *Failure {
	for chair := range h.slot.live.seated {
		saved := h.save(chair)
		if saved == nil {
			replaced.Lost = append(replaced.Lost, chair.who.Name)
			continue
		}
		// A snapshot may be longer than what is claimed for it.
		if want.see(claimed, len(saved.Bytes)); !want.fits() {
			continue
		}
		switch refused, failure := h.takeOver(chair, saved); {
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
func (h *handover) takeOver(chair *chair, saved *Saved) (*Refused, *Failure) {
	name := chair.who.Name
	policy, why := h.next.policy(chair.who.Policy, name)
	switch {
	case why.refused:
		return &Refused{Name: name, Policy: why.failure}, nil
	case why.failure != nil:
		return nil, why.failure
	}
	id, refused, failure := h.next.restore(policy, saved, saved.At)
	if failure != nil {
		return nil, failure
	}
	if refused != nil {
		return &Refused{Name: name, Snapshot: refused}, nil
	}
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
	if h.next != nil {
		h.next.instance.Close()
	}
	if h.broken != nil {
		h.slot.fail(h.broken)
	}
}
