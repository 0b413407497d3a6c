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
	// ids are the breakers' handles in the next instance, seated what they claim of it.
	ids    map[*chair]uint32
	seated room
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
	rooms, failure := reckonAnew(all, scratch, bytesMax)
	if failure != nil {
		return nil, failure
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
	rooms.commit(all)
	for _, slots := range all {
		slots.component, slots.bytesMax = component, func() uint64 { return bytesMax }
		for _, slot := range slots.slots {
			// What the old one did isn't held against the new one.
			slot.component, slot.failures, slot.rests, slot.resting = component, nil, 0, nil
		}
	}
	return replaced, nil
}

// figures is what another component says that breakers of the policies take that have places.
type figures map[*Policy]*said

// reckonAnew says what those who have a place take by the word of another component, of which an instance is given, and whether it has
// room for all of them: those too that weren't used yet, since a place is promised.
func reckonAnew(all []*Slots, scratch *live, bytesMax uint64) (figures, *Failure) {
	found, most, breakers := figures{}, uint64(0), uint64(0)
	for _, slots := range all {
		for _, slot := range slots.slots {
			anew := room{kinds: map[kindOf]*kind{}}
			for of, one := range slot.room.kinds {
				if found[of.policy] == nil {
					policy, why := scratch.policy(of.policy, of.policy.Source)
					if why.failure != nil && !why.refused {
						return nil, why.failure
					}
					// Of a policy that it refuses there will be no breakers.
					found[of.policy] = &said{component: scratch.instance.compiled.serial, breakerBytes: policy.breakerBytes}
				}
				anew.kinds[of] = found.reckon(one)
			}
			if anew.sum(); addUp(anew.bytes, anew.transit) > most {
				most, breakers = addUp(anew.bytes, anew.transit), anew.all()
			}
		}
	}
	if most > bytesMax {
		return nil, scratch.noRoom(breakers, most, bytesMax)
	}
	return found, nil
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

// noRoom says that so many breakers of one instance want more of its memory than they may have.
func (l *live) noRoom(breakers, bytes, bytesMax uint64) *Failure {
	return failed(BreakerRefused, "the breaker component `%s` has no room for the breakers that are there: with full windows the %d of one instance "+
		"would take up to %d bytes, snapshots included, of %d that they may have with a memoryBytesMax of %d; it must be %d at least",
		l.instance.compiled.Name, breakers, bytes, bytesMax, l.instance.compiled.bounds.MemoryBytesMax, memoryBytesFor(bytes, l.instance.InitialBytes))
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
	policy, why := h.next.policy(chair.who.Policy, name)
	switch {
	case why.refused:
		return &Refused{Name: name, Policy: why.failure}, nil
	case why.failure != nil:
		return nil, why.failure
	}
	// Who has given up its place and was used again sits here too; and a snapshot may be longer than what is claimed for it.
	if bytes := h.seated.with(claimOf(policy.breakerBytes, len(saved.Bytes))); bytes > bytesMax {
		return nil, h.next.noRoom(uint64(len(h.ids)+1), bytes, bytesMax)
	}
	id, refused, failure := h.next.restore(policy, saved, saved.At)
	if failure != nil {
		return nil, failure
	}
	if refused != nil {
		return &Refused{Name: name, Snapshot: refused}, nil
	}
	h.seated.add(chair.who.Policy, policy.breakerBytes, len(saved.Bytes))
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
