// How a breaker calls its component: lock, take the seat, call, keep a snapshot, tell what happened, unlock, deliver.

package softfuse

import (
	"fmt"
	"time"

	"softfuse.dev/softfuse/internal/abi"
	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
	"softfuse.dev/softfuse/internal/lease"
)

// operation calls the component, and says what changed by it.
type operation func(*core.Seat) (abi.Option[wit.Event], *core.Failure)

// movedOn is what an operation of a breaker ends with that its family has retired: it is its successor's to do.
var movedOn = &core.Failure{Reason: "retired", Text: "the breaker was retired"}

// successor is the breaker that took the place of one that its family has retired.
func (b *Breaker) successor() *Breaker { return b.family.current(b.key) }

// operate asks the component under the breaker's lock, and tells what happened after it.
func (b *Breaker) operate(asking asking, now int64, run operation) (*StateChange, *core.Failure) {
	b.lock.Lock()
	if b.retired {
		b.lock.Unlock()
		return nil, movedOn
	}
	change, failure := b.operateLocked(asked{asking: asking}, now, run)
	b.publish()
	return change, failure
}

// publish queues what there is to tell, unlocks, and hands it out.
func (b *Breaker) publish() {
	if len(b.outbox) == 0 {
		b.lock.Unlock()
		return
	}
	b.home.hub.queue(b.outbox)
	b.outbox = nil
	b.lock.Unlock()
	b.home.hub.deliver()
}

func (b *Breaker) tell(event Event) {
	b.outbox = append(b.outbox, queued{event: event, own: b.onChange})
}

func (b *Breaker) operateLocked(asked asked, now int64, run operation) (change *StateChange, failure *core.Failure) {
	// fresh: the windows have become so. Conditions are reset when the instance is free: they are the host's own code.
	fresh := false
	// after is a failure at what follows the answer, which stands.
	var after *core.Failure
	failure = b.cell.Slot().Seat(b.cell, &b.who, now, func(seat *core.Seat) *core.Failure {
		if seat.Restored != nil {
			if asked.asking == askedTogether {
				// What it was to go together with is lost, and its permit may be unknown now.
				asked.asking = askedNothing
			}
			lost := b.loseLeased()
			again, failure := b.welcomeBack(seat, lost, now)
			if failure != nil {
				return failure
			}
			fresh = fresh || again
		}
		// None, unless what came last was no longer benign, or the component doesn't keep to its lease.
		byLease, failure := b.recordLeased(seat, asked, now)
		if failure != nil {
			return failure
		}
		event, failure := run(seat)
		if failure != nil {
			return failure
		}
		changes := [2]*StateChange{}
		if byLease.Some {
			changes[0] = stateChange(&byLease.Value)
		}
		if event.Some {
			changes[1] = stateChange(&event.Value)
		}
		if changes[0] != nil || changes[1] != nil || seat.Cell.IsDue(b.home.snapshotEvery, b.home.snapshotInterval, now) {
			after = seat.Save()
		}
		for _, happened := range changes {
			if happened != nil {
				fresh = b.changed(happened) || fresh
				change = happened
			}
		}
		if after != nil && change != nil && change.OpenUntil != nil {
			seat.Cell.NoteUnsaved(int64(*change.OpenUntil), core.Shortened(change.Reason()))
		}
		// An open period may have become longer, without an event.
		known := b.leased.known()
		if change != nil || asked.asking == askedChange || asked.asking == askedRecord && (known == Open || known == ForcedOpen) {
			b.revoke()
		}
		if after == nil {
			after = b.renewLease(seat, asked.asking, now)
		}
		return nil
	})
	if fresh {
		b.resetConditions()
	}
	whole := failure
	if whole == nil {
		whole = after
	}
	reason := ""
	if whole != nil {
		b.cell.AddUnsaved(b.loseLeased())
		reason = whole.Reason
		// Told once, not with every call while it lasts.
		if reason != b.failing && reason != core.Resting {
			b.tell(&ComponentFailed{Breaker: b.name, Failure: componentError(whole)})
		}
	}
	b.failing = reason
	return change, failure
}

func (b *Breaker) resetConditions() {
	for i := range b.conditions {
		if b.conditions[i].reset() {
			b.tell(&ConditionPanicked{Breaker: b.name, Condition: b.conditions[i].name})
		}
	}
}

// changed follows a change of state, and tells of it. Whether the windows are fresh.
func (b *Breaker) changed(change *StateChange) bool {
	b.leased.state.Store(uint32(change.New))
	b.tripCount.Store(change.TripCount)
	b.meters.changed(change.Old, change.New, change.IsTrip())
	b.tell(&StateChanged{Breaker: b.name, Change: change})
	// A trip leaves the windows as they are till half-open; everything else makes them fresh.
	return change.By != Tripped
}

// welcomeBack follows a breaker that came back after its instance had failed: in the state of its snapshot, or closed. Whether its
// windows are not those that they were.
func (b *Breaker) welcomeBack(seat *core.Seat, leasedLost uint64, now int64) (fresh bool, failure *core.Failure) {
	b.home.metrics.component.RecordsLost.Add(leasedLost)
	known := b.leased.known()
	// That it is open was told, and couldn't be saved.
	if reason, left, ok := seat.Cell.Opening(now); ok {
		if _, err := seat.Guest.Trip(seat.ID, reason, abi.Some(left), core.Nanos(now)); err != nil {
			return false, seat.Failed(err)
		}
	}
	// A component that can't say leaves it at what is known.
	if _, failure := b.noteStatus(seat, now); failure != nil {
		return false, failure
	}
	state := b.leased.known()
	b.tell(&BreakerRestored{
		Breaker: b.name, State: state, RecordsLost: seat.Restored.RecordsLost + leasedLost, FromSnapshot: seat.Restored.FromSnapshot,
	})
	return !seat.Restored.FromSnapshot || state != known, nil
}

// noteStatus asks where the breaker stands, and takes note of it: whether the component said.
func (b *Breaker) noteStatus(seat *core.Seat, now int64) (bool, *core.Failure) {
	status, err := seat.Guest.Status(seat.ID, core.Nanos(now))
	if err != nil {
		return false, seat.Failed(err)
	}
	if status.Some {
		old, state := b.leased.known(), State(status.Value.State)
		b.leased.state.Store(uint32(state))
		b.tripCount.Store(status.Value.TripCount)
		b.meters.changed(old, state, false)
	}
	return status.Some, nil
}

// learn learns where the breaker stands.
func (b *Breaker) learn(now int64) *core.Failure {
	_, failure := b.operate(askedNothing, now, func(seat *core.Seat) (none abi.Option[wit.Event], failure *core.Failure) {
		said, failure := b.noteStatus(seat, now)
		if failure == nil && !said {
			failure = seat.Broken("no status of a breaker that it made")
		}
		return none, failure
	})
	return failure
}

// change calls a function that may change the state. As it may change it without an event, a snapshot is taken in any case.
func (b *Breaker) change(call func(seat *core.Seat, now uint64) (abi.Option[wit.Event], error)) (*StateChange, error) {
	now := b.leased.with(b.home.now())
	change, failure := b.operate(askedChange, now, func(seat *core.Seat) (abi.Option[wit.Event], *core.Failure) {
		event, err := call(seat, core.Nanos(now))
		if err != nil {
			return event, seat.Failed(err)
		}
		b.leased.note(now)
		seat.Cell.Due = true
		return event, nil
	})
	if failure == movedOn {
		return b.successor().change(call)
	}
	return change, asError(failure)
}

// record settles a permit that the component gave, and that couldn't be kept for later.
func (b *Breaker) record(permit uint64, incarnation uint32, outcome *Outcome, latency uint64, now int64) (Effect, *StateChange) {
	now = b.leased.with(now)
	entry, mayWait := outcome.entry(latency)
	b.lock.Lock()
	if b.retired {
		b.lock.Unlock()
		return b.successor().record(permit, incarnation, outcome, latency, now)
	}
	defer b.publish()
	if mayWait {
		// Whoever held the lock may have opened the next lease: of goroutines that find one full, the first hands it in, and the
		// others go on.
		if effect, ok := b.leased.keep(permit, entry, now); ok {
			return effect, nil
		}
		if len(b.conditions) == 0 && b.goesTogether(permit, latency, now) {
			return b.recordTogether(entry, now)
		}
	}
	verdicts, failure := b.verdicts(permit, outcome, latency, now)
	if failure != nil {
		b.cell.AddUnsaved(1)
		return Lost, nil
	}
	effect := Lost
	change, failure := b.operateLocked(asked{asking: askedRecord}, now, func(seat *core.Seat) (event abi.Option[wit.Event], _ *core.Failure) {
		var answer abi.Result[wit.Settlement, wit.RecordError]
		var err error
		if len(b.conditions) == 0 {
			answer, err = seat.Guest.RecordOutcome(seat.ID, permit, outcome.wit(latency), core.Nanos(now))
		} else {
			answer, err = seat.Guest.RecordJudgedOutcome(seat.ID, permit, outcome.wit(latency), verdicts, core.Nanos(now))
		}
		if err != nil {
			return event, seat.Failed(err)
		}
		return b.taken(seat, &answer, incarnation, now, &effect)
	})
	if failure != nil {
		// What is lost with the instance is counted when the breaker comes back; this one is counted with it.
		b.cell.AddUnsaved(1)
		return Lost, nil
	}
	return effect, change
}

// recordTogether records a success together with what was kept, as the last of it.
func (b *Breaker) recordTogether(entry lease.Entry, now int64) (Effect, *StateChange) {
	change, failure := b.operateLocked(asked{asking: askedTogether, entry: entry, at: now}, now,
		func(*core.Seat) (none abi.Option[wit.Event], _ *core.Failure) { return none, nil })
	if b.lending == nil || !b.lending.handedIn {
		// Not even handed in: otherwise it is counted with what it went with.
		b.cell.AddUnsaved(1)
		return Lost, nil
	}
	together := b.lending.together
	b.lending.handedIn = false
	if failure != nil || together == Lost {
		return Lost, nil
	}
	b.leased.note(now)
	return together, change
}

// verdicts are those of the host's own conditions on this record, none of which sees one that will not count.
func (b *Breaker) verdicts(permit uint64, outcome *Outcome, latency uint64, now int64) ([]abi.Option[string], *core.Failure) {
	if len(b.conditions) == 0 {
		return nil, nil
	}
	verdicts := make([]abi.Option[string], len(b.conditions))
	if outcome.kind.IsNeutral() {
		return verdicts, nil
	}
	// Asked before, and not under the instance's lock: a condition may take its time.
	var standing wit.Standing
	_, failure := b.operateLocked(asked{}, now, func(seat *core.Seat) (none abi.Option[wit.Event], _ *core.Failure) {
		found, err := seat.Guest.PermitStanding(seat.ID, permit, core.Nanos(now))
		if err != nil {
			return none, seat.Failed(err)
		}
		standing = found
		return none, nil
	})
	if failure != nil {
		return nil, failure
	}
	switch standing {
	case wit.StandingStale, wit.StandingUnknown:
		return verdicts, nil
	case wit.StandingProbe:
		b.resetConditions()
	}
	call := CallRecord{Kind: outcome.kind, Latency: span(latency), At: time.Duration(now)}
	if outcome.signal == signalScore {
		score := outcome.score
		call.Score = &score
	}
	for i := range b.conditions {
		verdict, panicked := b.conditions[i].verdict(call)
		if verdicts[i] = verdict; panicked {
			b.tell(&ConditionPanicked{Breaker: b.name, Condition: b.conditions[i].name})
		}
	}
	return verdicts, nil
}

// report hands in a score after its outcome was settled.
func (b *Breaker) report(permit uint64, incarnation uint32, report wit.QualityReport, now int64) (Effect, *StateChange) {
	now = b.leased.with(now)
	effect := Lost
	change, failure := b.operate(askedRecord, now, func(seat *core.Seat) (event abi.Option[wit.Event], _ *core.Failure) {
		answer, err := seat.Guest.ReportQuality(seat.ID, permit, report, core.Nanos(now))
		if err != nil {
			return event, seat.Failed(err)
		}
		return b.taken(seat, &answer, incarnation, now, &effect)
	})
	if failure == movedOn {
		return b.successor().report(permit, incarnation, report, now)
	}
	if failure != nil {
		return Lost, nil
	}
	return effect, change
}

// taken reads what the component says of a record.
func (b *Breaker) taken(seat *core.Seat, answer *abi.Result[wit.Settlement, wit.RecordError], incarnation uint32, now int64, effect *Effect) (
	event abi.Option[wit.Event], failure *core.Failure,
) {
	if answer.OK {
		seat.Cell.AddUnsaved(1)
		b.leased.note(now)
		*effect = Effect(answer.Value.Effect)
		return answer.Value.Event, nil
	}
	switch answer.Err.Case {
	case wit.RecordErrorStale:
		*effect = Stale
		return event, nil
	case wit.RecordErrorUnknownPermit:
		// A probe that was given after the snapshot from which the breaker came back.
		if seat.Cell.Incarnation() != incarnation {
			*effect = Lost
			return event, nil
		}
		return event, seat.Broken("a permit that it gave is unknown to it")
	case wit.RecordErrorUnknownBreaker:
		return event, seat.Broken("a breaker that it made is unknown to it")
	case wit.RecordErrorInvalidScore:
		return event, seat.Broken(fmt.Sprintf("%v is no score to it", answer.Err.InvalidScore))
	case wit.RecordErrorInvalidVerdicts:
		return event, seat.Broken(fmt.Sprintf("it wants %d verdicts, not those of the policy's conditions", answer.Err.InvalidVerdicts))
	}
	return event, seat.Broken("a record was refused: " + answer.Err.Other)
}
