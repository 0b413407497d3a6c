// A breaker: a handle that any goroutine may hold and call.

package softfuse

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"softfuse.dev/softfuse/internal/abi"
	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
	"softfuse.dev/softfuse/internal/lease"
)

// Breaker is a circuit breaker. [Registry.Breaker] makes it. Any number of goroutines may use it.
type Breaker struct {
	// What every call reads.
	leased     leased
	home       *home
	meters     *meters
	policy     *Policy
	classifier Classifier
	name       string
	// system is the registry's clock, where that is the system's.
	system *systemClock
	// unscored: nothing that it decides depends on scores.
	unscored bool
	_        [64]byte

	who       core.Who
	tripCount atomic.Uint64
	// family and key are nil and empty for a named breaker.
	family *Keyed
	key    string

	// lock is held for a call of the component, never for a guarded call.
	lock       sync.Mutex
	cell       *core.Cell
	lending    *lending
	conditions []heldCondition
	onChange   func(*StateChange)
	// outbox has the events of the operation under way.
	outbox []queued
	// failing is how the component failed at the last operation, if it did.
	failing string
	// retired: its family has saved it and given up its place. Who holds it is led to its successor.
	retired bool
}

// Name is its name: for a family's breaker, the family's and its key.
func (b *Breaker) Name() string { return b.name }

// Policy is its policy.
func (b *Breaker) Policy() *Policy { return b.policy }

// State is the state as of the last change: what costs nothing to ask. An open circuit whose period has passed is open until somebody
// calls; [Breaker.IsOpen] says whether a call would be refused.
func (b *Breaker) State() State { return b.leased.known() }

// plain asks what changes nothing.
func (b *Breaker) plain(ask func(seat *core.Seat, now uint64) error) *core.Failure {
	now := b.leased.with(b.home.now())
	_, failure := b.operate(askedNothing, now, func(seat *core.Seat) (none abi.Option[wit.Event], _ *core.Failure) {
		if err := ask(seat, core.Nanos(now)); err != nil {
			return none, seat.Failed(err)
		}
		return none, nil
	})
	if failure == movedOn {
		return b.successor().plain(ask)
	}
	return failure
}

// Status is all that there is to know of it. Asking changes nothing. The error is a [*ComponentError].
func (b *Breaker) Status() (*Status, error) {
	var found abi.Option[wit.CircuitStatus]
	failure := b.plain(func(seat *core.Seat, now uint64) (err error) {
		found, err = seat.Guest.Status(seat.ID, now)
		return err
	})
	if failure == nil && !found.Some {
		return nil, &ComponentError{Reason: core.Nonsense, Text: "the breaker component has no status of a breaker that it made"}
	}
	if failure != nil {
		return nil, asError(failure)
	}
	return statusOf(&found.Value), nil
}

// WouldRefuse is the refusal that a call would get now; nil where there would be none. It consumes no probe and counts nothing. Where
// the component fails, it is as the registry's failure mode says.
func (b *Breaker) WouldRefuse() *OpenError {
	var found abi.Option[wit.Rejection]
	failure := b.plain(func(seat *core.Seat, now uint64) (err error) {
		found, err = seat.Guest.WouldRefuse(seat.ID, now)
		return err
	})
	if failure != nil {
		return b.refusedByFailure(failure)
	}
	if !found.Some {
		return nil
	}
	return b.rejected(&found.Value)
}

// IsOpen says whether a call would be refused now. It consumes no probe.
func (b *Breaker) IsOpen() bool { return b.WouldRefuse() != nil }

// Reset closes the circuit: trip count 0, windows fresh, an operator's state ended. The error is a [*ComponentError].
func (b *Breaker) Reset() (*StateChange, error) {
	return b.change(func(seat *core.Seat, now uint64) (abi.Option[wit.Event], error) {
		return seat.Guest.Reset(seat.ID, now)
	})
}

// SetOperatorState puts the circuit into an operator's state, until [Breaker.Reset]. There is no change where it is in that state
// already.
func (b *Breaker) SetOperatorState(state OperatorState) (*StateChange, error) {
	if state > OperatorMetricsOnly {
		return nil, fmt.Errorf("the operator's state %d: it may be OperatorForcedOpen, OperatorDisabled or OperatorMetricsOnly", state)
	}
	return b.change(func(seat *core.Seat, now uint64) (abi.Option[wit.Event], error) {
		return seat.Guest.SetOperatorState(seat.ID, wit.OperatorState(state), now)
	})
}

// Trip opens the circuit for a reason of the caller's own, of which 1,024 bytes are kept, for as long as the policy says. There is no
// change where the state stays.
func (b *Breaker) Trip(reason string) (*StateChange, error) {
	return b.trip(reason, abi.Option[uint64]{})
}

// TripFor is [Breaker.Trip] for so long. An open period is extended, never shortened.
func (b *Breaker) TripFor(reason string, openFor time.Duration) (*StateChange, error) {
	return b.trip(reason, abi.Some(nanos(openFor)))
}

func (b *Breaker) trip(reason string, openFor abi.Option[uint64]) (*StateChange, error) {
	reason = core.Shortened(reason)
	return b.change(func(seat *core.Seat, now uint64) (abi.Option[wit.Event], error) {
		return seat.Guest.Trip(seat.ID, reason, openFor, now)
	})
}

// Snapshot is the whole state as bytes, for [Registry.Restore], in another process perhaps. A host's own conditions are not in it.
func (b *Breaker) Snapshot() ([]byte, error) {
	var found abi.Option[[]byte]
	failure := b.plain(func(seat *core.Seat, now uint64) (err error) {
		found, err = seat.Guest.Snapshot(seat.ID, now)
		return err
	})
	if failure == nil && !found.Some {
		return nil, &ComponentError{Reason: core.Nonsense, Text: "the breaker component has no snapshot of a breaker that it made"}
	}
	return found.Value, asError(failure)
}

// catchUp hands the component what it doesn't know of yet, if there is anything. A failure is told as an event.
func (b *Breaker) catchUp() {
	if b.leased.isWaiting() {
		b.plain(func(*core.Seat, uint64) error { return nil })
	}
}

func (b *Breaker) rejected(rejection *wit.Rejection) *OpenError {
	return &OpenError{
		Breaker: b.name, State: State(rejection.State), Reason: rejection.Reason.Value, TripCount: rejection.TripCount,
		RetryAfter: pointer(rejection.RetryAfter, span),
	}
}

// refusedByFailure is the refusal, where the registry fails closed.
func (b *Breaker) refusedByFailure(failure *core.Failure) *OpenError {
	if b.home.failureMode == FailOpen {
		return nil
	}
	made := &OpenError{
		Breaker: b.name, State: b.State(), Reason: failure.Text, TripCount: b.tripCount.Load(), ComponentFailure: componentError(failure),
	}
	if failure.Reason == core.Resting {
		made.RetryAfter = &failure.Rest
	}
	return made
}

// now reads the clock.
func (b *Breaker) now() int64 {
	if b.system != nil {
		return b.system.now()
	}
	return b.home.now()
}

// admit gives a permit, by the lease where that allows it.
func (b *Breaker) admit(permit *Permit) *OpenError {
	now := b.now()
	permit.breaker, permit.admittedAt = b, now
	if b.system != nil {
		// Whoever comes later reads a later time, so that this one need not be noted.
		permit.incarnation = b.leased.incarnation.Load()
		if lent := b.leased.lent.Load(); lent != nil {
			if raw, ok := lent.lease.Permit(); ok {
				permit.raw = raw
				return nil
			}
		}
	}
	answer, raw, at, incarnation := b.leased.admit(now)
	switch answer {
	case lease.Admitted:
		permit.raw, permit.incarnation = raw, incarnation
		return nil
	case lease.Refused:
		if refused := b.leased.refused(b.name, at); refused != nil {
			return refused
		}
	}
	return b.ask(permit)
}

// ask asks the component for a permit.
func (b *Breaker) ask(permit *Permit) *OpenError {
	now := b.leased.with(permit.admittedAt)
	var refused *wit.Rejection
	_, failure := b.operate(askedPermit, now, func(seat *core.Seat) (event abi.Option[wit.Event], _ *core.Failure) {
		answer, err := seat.Guest.BeforeCall(seat.ID, core.Nanos(now))
		if err != nil {
			return event, seat.Failed(err)
		}
		b.leased.note(now)
		if answer.OK {
			permit.raw, permit.incarnation = answer.Value.Permit, seat.Cell.Incarnation()
			if b.leased.known() == HalfOpen {
				// Saved at once: its number must not be given again if the component fails.
				seat.Cell.Due = true
			}
			return answer.Value.Event, nil
		}
		switch answer.Err.Case {
		case wit.RefusalRejected:
			refused = &answer.Err.Rejected
			return event, nil
		case wit.RefusalUnknownBreaker:
			return event, seat.Broken("a breaker that it made is unknown to it")
		}
		return event, seat.Broken("no permit and no rejection: " + answer.Err.Other)
	})
	var rejected *OpenError
	switch {
	case failure == movedOn:
		return b.successor().admit(permit)
	case failure != nil:
		if rejected = b.refusedByFailure(failure); rejected == nil {
			b.meters.tallies.count(countUnguarded, 1)
			permit.raw = unguarded
			return nil
		}
	case refused != nil:
		rejected = b.rejected(refused)
	default:
		return nil
	}
	b.meters.tallies.count(countRejected, 1)
	return rejected
}
