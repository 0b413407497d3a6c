// Keeps a component instance at work: makes it, replaces it when it fails, and seats breakers in it.
//
// A breaker lives in the instance only as a handle, and outlives it by its snapshot. So after a failure nothing is rebuilt at once:
// the next call of each breaker finds that its seat is gone and takes a new one.
//
// There is a circuit around the circuit. A component that fails again and again is not started for a while, and for longer each
// time.

package core

import (
	"sync"
	"sync/atomic"
	"time"

	wit "softfuse.dev/softfuse/internal/breakerwit"
)

// RestSettings say when a component that fails is let rest.
type RestSettings struct {
	// FailuresMax failures within Within ...
	FailuresMax int
	Within      time.Duration
	// ... mean a rest, each that follows twice as long, up to RestMax. An instance that has lived for as long makes the next rest
	// the first again.
	Rest, RestMax time.Duration
}

// Meters are what is counted of the component.
type Meters struct {
	lock        sync.Mutex
	failures    map[string]uint64
	Restarts    atomic.Uint64
	RecordsLost atomic.Uint64
}

func (m *Meters) failed(reason string) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.failures == nil {
		m.failures = map[string]uint64{}
	}
	m.failures[reason]++
}

// Failures are the failures by reason.
func (m *Meters) Failures() map[string]uint64 {
	m.lock.Lock()
	defer m.lock.Unlock()
	found := make(map[string]uint64, len(m.failures))
	for reason, count := range m.failures {
		found[reason] = count
	}
	return found
}

// Slot is an instance, and how it has fared.
type Slot struct {
	lock      sync.Mutex
	component *Compiled
	now       func() int64
	rest      RestSettings
	meters    *Meters
	room      room

	live *live
	// incarnation is bumped with each instance, so that a seat in an earlier one is known for gone. The first is 1.
	incarnation uint32
	startedAt   int64
	// latest is the latest time that any breaker was called with.
	latest   int64
	failures []int64
	// rests are those since the component last lived long.
	rests   int
	resting *resting
}

type resting struct {
	until    int64
	failures int
	last     string
}

// Restored says that a breaker was brought back after its instance had failed.
type Restored struct {
	RecordsLost  uint64
	FromSnapshot bool
}

// Seat is a breaker in its seat: while it is handed out, the instance is locked.
type Seat struct {
	// Guest is the component's functions, ID the breaker's handle.
	Guest *wit.Guest
	ID    uint32
	Cell  *Cell
	// Restored is nil unless the breaker was brought back for this call.
	Restored *Restored
	slot     *Slot
	now      int64
}

// Seat locks the instance, seats a breaker, bringing it back if its last seat is gone, and runs what calls the component.
func (s *Slot) Seat(cell *Cell, who *Who, now int64, run func(*Seat) *Failure) *Failure {
	s.lock.Lock()
	defer s.lock.Unlock()
	seat := Seat{Cell: cell, slot: s, now: now}
	s.latest = max(s.latest, now)
	if cell.incarnation != s.incarnation || s.live == nil {
		if s.sits(cell) {
			// A hot upgrade brought it along. What it has seen since its last snapshot is still not saved.
			cell.incarnation = s.incarnation
		} else {
			restored, failure := s.takeSeat(cell, who, now)
			if failure != nil {
				return failure
			}
			seat.Restored = restored
		}
	}
	seat.Guest, seat.ID = s.live.guest, cell.chair.id
	return run(&seat)
}

// Failed ends the instance by an error of a call: what it stands for.
func (s *Seat) Failed(err error) *Failure {
	if s.slot.live == nil {
		return failed(NotStarting, "the breaker component failed in the same call")
	}
	failure := *s.slot.live.instance.Fault(err)
	failure.Text = "the breaker component: " + failure.Text
	return s.slot.fail(&failure)
}

// Broken ends the instance, which broke its contract.
func (s *Seat) Broken(what string) *Failure {
	return s.slot.fail(failed(Nonsense, "the breaker component answered what its contract forbids: %s", what))
}

// Save takes a snapshot, from which the breaker will come back.
func (s *Seat) Save() *Failure {
	found, err := s.Guest.Snapshot(s.ID, Nanos(s.now))
	if err != nil {
		return s.Failed(err)
	}
	if !found.Some {
		return s.Broken("a breaker that it made is unknown to it")
	}
	s.Cell.SetSaved(&Saved{Bytes: found.Value, At: s.now})
	return nil
}

// sits says whether a breaker has its chair in the instance that is at work.
func (s *Slot) sits(cell *Cell) bool {
	if s.live == nil || cell.chair == nil {
		return false
	}
	_, found := s.live.seated[cell.chair]
	return found
}

func (s *Slot) takeSeat(cell *Cell, who *Who, now int64) (*Restored, *Failure) {
	if failure := s.start(); failure != nil {
		return nil, failure
	}
	cameBack := cell.incarnation != 0
	id, fromSnapshot, taking := s.live.take(cell, who, now)
	if taking.failure != nil {
		if taking.refused {
			return nil, taking.failure
		}
		if taking.atSnapshot {
			// Tried again, it would take down with it whoever sits here, every time.
			cell.saved, cell.snapshotFailed = nil, true
		}
		return nil, s.fail(taking.failure)
	}
	gaveUp := cell.snapshotFailed
	unsaved := cell.unsaved
	hadSaved := cell.saved != nil
	cell.snapshotFailed, cell.unsaved = false, 0
	cell.incarnation, cell.chair = s.incarnation, &chair{who: who, id: id, placed: cell.place != nil}
	s.live.seated[cell.chair] = struct{}{}
	if !cameBack && !gaveUp && (!hadSaved || fromSnapshot) {
		cell.unsaved = 0
		return nil, nil
	}
	s.meters.RecordsLost.Add(unsaved)
	return &Restored{RecordsLost: unsaved, FromSnapshot: fromSnapshot}, nil
}

// start makes an instance where there is none, unless the component rests.
func (s *Slot) start() *Failure {
	if s.live != nil {
		return nil
	}
	now := s.now()
	if s.resting != nil {
		if now < s.resting.until {
			left := time.Duration(Since(s.resting.until, now))
			failure := failed(Resting, "the breaker component failed %d times in a row and rests for %v; the last time: %s",
				s.resting.failures, left, s.resting.last)
			failure.Rest = left
			return failure
		}
		s.resting = nil
	}
	made, failure := newLive(s.component)
	if failure != nil {
		return s.fail(failure)
	}
	s.incarnation++
	if s.incarnation > 1 {
		s.meters.Restarts.Add(1)
	}
	s.startedAt, s.live = now, made
	return nil
}

// fail gives the instance up, and decides whether the next is made at once or after a rest.
func (s *Slot) fail(failure *Failure) *Failure {
	// What never started hasn't lived long, however long ago the last one did.
	lived := s.live != nil
	if lived {
		s.live.instance.Close()
		s.live = nil
	}
	s.meters.failed(failure.Reason)
	now := s.now()
	if lived && Since(now, s.startedAt) > uint64(s.rest.RestMax) {
		s.rests = 0
	}
	most := max(s.rest.FailuresMax, 1)
	s.failures = append(s.failures, now)
	s.failures = s.failures[len(s.failures)-min(len(s.failures), most):]
	many := len(s.failures) >= most && Since(now, s.failures[0]) <= uint64(s.rest.Within)
	// After a rest it has one try, not as many as at first.
	if many || s.rests > 0 {
		rest := s.rest.RestMax
		if doubled := s.rest.Rest << min(s.rests, 20); doubled > 0 && doubled < rest {
			rest = doubled
		}
		s.rests++
		s.resting = &resting{until: now + int64(rest), failures: most + s.rests - 1, last: failure.Text}
		s.failures = nil
	}
	return failure
}

// loadPolicy compiles a policy: what the component says of it, or what is wrong with it.
func (s *Slot) loadPolicy(uid uint64, text string) (wit.PolicyInfo, []wit.PolicyProblem, *Failure) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if failure := s.start(); failure != nil {
		return wit.PolicyInfo{}, nil, failure
	}
	info, problems, failure := s.live.loadPolicy(uid, text)
	if failure != nil {
		return wit.PolicyInfo{}, nil, s.fail(failure)
	}
	return info, problems, nil
}

// breakerBytes is what the component says that a breaker of a policy takes, if it takes the policy at all.
func (s *Slot) breakerBytes(policy *Policy) (uint64, *Failure) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if failure := s.start(); failure != nil {
		return 0, failure
	}
	found, why := s.live.policy(policy, policy.Source)
	if why.failure != nil && !why.refused {
		return 0, s.fail(why.failure)
	}
	return found.breakerBytes, why.failure
}

// Unseat takes a breaker out of the component, and gives its place back.
func (s *Slot) Unseat(cell *Cell) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if cell.place != nil {
		s.room.remove(cell.place)
		cell.place = nil
	}
	left, sat := cell.chair, s.sits(cell)
	cell.incarnation, cell.chair = 0, nil
	if !sat {
		return
	}
	delete(s.live.seated, left)
	if err := s.live.guest.DropBreaker(left.id); err != nil {
		s.fail(s.live.instance.Fault(err))
	}
}

// close frees the instance.
func (s *Slot) close() {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.live != nil {
		s.live.instance.Close()
		s.live = nil
	}
}

// Leave takes a breaker out of the component that is saved: should it be used again, it comes back.
func (s *Slot) Leave(cell *Cell) { s.Unseat(cell) }
