// The instances of a registry, or of a keyed family. Breakers are spread over them, so that two cores serve two breakers without
// meeting, and an instance that fails takes none with it but those that sit there.

package core

import (
	"sync"

	wit "softfuse.dev/softfuse/internal/breakerwit"
)

// Slots are instances, each made when the first breaker takes its seat there.
type Slots struct {
	// using is held, for reading, by whoever uses the component beside the slots: a hot upgrade frees its code.
	using     sync.RWMutex
	component *Compiled
	slots     []*Slot
	lock      sync.Mutex
	// next is the slot at which the next search begins.
	next int
	// bytesMax is what breakers may have of an instance, found when it is first wanted.
	bytesMax func() uint64
}

// NoRoom says that no instance has room for a breaker.
type NoRoom struct {
	// Bytes is what it would take, InstanceBytesMax what breakers may have of an instance.
	Bytes, InstanceBytesMax uint64
	Instances               int
	// Fit is how many breakers like it empty instances have room for.
	Fit uint64
}

// NewSlots makes room for so many instances.
func NewSlots(component *Compiled, instances int, now func() int64, rest RestSettings, meters *Meters) *Slots {
	made := &Slots{component: component}
	for range max(instances, 1) {
		made.slots = append(made.slots, &Slot{component: component, now: now, rest: rest, meters: meters})
	}
	made.bytesMax = sync.OnceValue(func() uint64 {
		initial := 0
		// One that can't be made has nothing to say of it.
		if scratch, failure := newLive(made.component); failure == nil {
			initial = scratch.instance.InitialBytes
			scratch.instance.Close()
		}
		return breakersBytesMax(made.component.bounds, initial)
	})
	return made
}

// LoadPolicy makes a policy of a text that the component takes; else it says what is wrong with that.
func (s *Slots) LoadPolicy(uid uint64, source, text string) (*Policy, []wit.PolicyProblem, *Failure) {
	s.using.RLock()
	defer s.using.RUnlock()
	info, problems, failure := s.Any().loadPolicy(uid, text)
	if failure != nil || len(problems) > 0 {
		return nil, problems, failure
	}
	made := &Policy{UID: uid, Text: text, Source: source, Info: info}
	made.said.Store(&said{component: s.component.serial, breakerBytes: info.BreakerBytes})
	return made, nil, nil
}

// breakerBytes is what a breaker of a policy takes by the word of the component at work, which may be another one than that which
// read the policy first. Where it doesn't say, another one's word has to do. The caller holds using.
func (s *Slots) breakerBytes(policy *Policy) uint64 {
	last := policy.said.Load()
	if last.component != s.component.serial {
		if bytes, failure := s.Any().breakerBytes(policy); failure == nil {
			last = &said{component: s.component.serial, breakerBytes: bytes}
			policy.said.Store(last)
		}
	}
	return last.breakerBytes
}

// SnapshotBytesMax is the longest snapshot that is tried under a policy.
func (s *Slots) SnapshotBytesMax(policy *Policy) uint64 {
	s.using.RLock()
	defer s.using.RUnlock()
	return snapshotBytesMax(s.breakerBytes(policy), len(policy.Info.HostConditions))
}

// Place is a place for a breaker, in the instance that is claimed least of, of several in turn. It comes back from a snapshot, where
// that is given.
func (s *Slots) Place(who *Who, saved *Saved) (*Cell, *NoRoom) {
	bytes := 0
	if saved != nil {
		bytes = len(saved.Bytes)
	}
	s.using.RLock()
	defer s.using.RUnlock()
	breakerBytes, most := s.breakerBytes(who.Policy), s.bytesMax()
	claim := claimOf(breakerBytes, bytes)
	s.lock.Lock()
	defer s.lock.Unlock()
	var least *Slot
	var leastBytes uint64
	for step := range s.slots {
		slot := s.slots[(s.next+step)%len(s.slots)]
		slot.lock.Lock()
		with := slot.room.with(claim)
		slot.lock.Unlock()
		if least == nil || with < leastBytes {
			least, leastBytes = slot, with
		}
	}
	if leastBytes > most {
		return nil, s.noRoom(claim, most)
	}
	s.next = (s.next + 1) % len(s.slots)
	least.lock.Lock()
	place := least.room.add(who.Policy, breakerBytes, bytes)
	least.lock.Unlock()
	return &Cell{slot: least, place: place, saved: saved}, nil
}

// CheckRoom says whether so many breakers with this policy find a place, and nobody else.
func (s *Slots) CheckRoom(policy *Policy, breakers int) *NoRoom {
	s.using.RLock()
	defer s.using.RUnlock()
	no := s.noRoom(claimOf(s.breakerBytes(policy), 0), s.bytesMax())
	if uint64(breakers) <= no.Fit {
		return nil
	}
	return no
}

func (s *Slots) noRoom(claim Claim, bytesMax uint64) *NoRoom {
	return &NoRoom{Bytes: claim.bytes, InstanceBytesMax: bytesMax, Instances: len(s.slots), Fit: claim.fit(bytesMax) * uint64(len(s.slots))}
}

// Slot is where a breaker sits.
func (c *Cell) Slot() *Slot { return c.slot }

// Any is one of them, for what any can answer.
func (s *Slots) Any() *Slot { return s.slots[0] }

// TryRestore says whether the component takes a snapshot under this policy: tried in an instance of its own, since bytes from
// elsewhere may make it fail, which must hurt nobody.
func (s *Slots) TryRestore(who *Who, saved *Saved, now int64) (*wit.RestoreError, *Failure) {
	s.using.RLock()
	defer s.using.RUnlock()
	scratch, failure := newLive(s.component)
	if failure != nil {
		return nil, failure
	}
	defer scratch.instance.Close()
	policy, why := scratch.policy(who.Policy, who.Name)
	if why.failure != nil {
		return nil, why.failure
	}
	_, refused, failure := scratch.restore(policy, saved, now)
	return refused, failure
}

// Close frees all instances.
func (s *Slots) Close() {
	for _, slot := range s.slots {
		slot.close()
	}
}
