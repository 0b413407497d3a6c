// The owner's part of a lease, under the breaker's lock: to hand what was kept to the component before anything else, to ask for a
// lease anew when that pays, and to be lent a buffer at all.

package softfuse

import (
	"softfuse.dev/softfuse/internal/abi"
	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
	"softfuse.dev/softfuse/internal/lease"
)

const (
	// keptMin: a lease that kept fewer outcomes didn't pay: its terms cost the component more than recording at once.
	keptMin = 4
	// pauseMax is how many outcomes are recorded at once, at most, before another lease is tried.
	pauseMax = 64
)

// lending is the owner's part of a buffer.
type lending struct {
	batch lease.Batch
	// open: outcomes may be kept.
	open   bool
	permit uint64
	// together is what became of a success that was recorded together with what was kept; handedIn is false where the component
	// never heard of it.
	together Effect
	handedIn bool
	// next is the lease that came with it.
	next abi.Option[wit.Lease]
	// pause is how many outcomes are recorded at once after a lease that didn't pay, paused how many are left.
	pause, paused int
}

// asking is what an operation is, as far as leases go.
type asking uint8

const (
	// askedNothing is what changes nothing.
	askedNothing asking = iota
	// askedChange is what may change the state.
	askedChange
	askedPermit
	askedRecord
	// askedTogether is a success that goes together with what was kept.
	askedTogether
)

// asked is an operation.
type asked struct {
	asking asking
	// entry and at are of a success that goes together with what was kept.
	entry lease.Entry
	at    int64
}

// take takes what was kept, and counts it. Nothing more is kept until the next lease.
func (b *Breaker) take(lending *lending) {
	lending.open = false
	if lent := b.leased.lent.Load(); lent != nil {
		lent.lease.Take(&lending.batch)
		b.meters.tallies.count(countRejected, lending.batch.Refused)
		b.meters.tallies.count(countLeased, lending.batch.Len())
	}
}

// setPace decides whether the next lease is worth its price at once, as one has ended by an outcome.
func (l *lending) setPace() {
	if l.batch.Len() >= keptMin {
		l.pause = 0
	} else {
		l.pause = min(max(2*l.pause, 1), pauseMax)
	}
	l.paused = l.pause
}

// revoke ends every permission, in every goroutine: the state has changed, or may have.
func (b *Breaker) revoke() {
	b.leased.permit.Store(permitAsk)
	if lent := b.leased.lent.Load(); lent != nil {
		lent.lease.Ask()
		lent.refusal.Store(nil)
	}
}

// loseLeased ends the lease, and throws away what it kept: how many outcomes the component never heard of. They are counted as calls,
// which they were.
func (b *Breaker) loseLeased() uint64 {
	if b.lending != nil {
		b.take(b.lending)
	}
	b.revoke()
	if b.lending == nil {
		return 0
	}
	return b.lending.batch.Len()
}

// goesTogether says whether a success for which the lease has no room left, or whose score isn't benign any more, may be recorded
// together with what was kept, as the last of it.
func (b *Breaker) goesTogether(permit, latency uint64, now int64) bool {
	lent := b.leased.lent.Load()
	return lent != nil && b.lending != nil && b.lending.open && lent.lease.GoesTogether(permit, core.Nanos(now), latency)
}

// recordLeased hands what was kept to the component, before anything else is asked of it. The change of state that it made; none,
// where the component kept to its lease.
func (b *Breaker) recordLeased(seat *core.Seat, asked asked, now int64) (event abi.Option[wit.Event], failure *core.Failure) {
	lending, lent := b.lending, b.leased.lent.Load()
	if lending == nil || lent == nil {
		return event, b.tellTime(seat, asked.asking)
	}
	wasOpen := lending.open
	lending.handedIn, lending.next = false, abi.Option[wit.Lease]{}
	b.take(lending)
	if wasOpen && (asked.asking == askedRecord || asked.asking == askedTogether) {
		lending.setPace()
	}
	latest := lent.lease.Latest()
	if b.home.system != nil && !lending.batch.IsEmpty() {
		// Such a clock's times aren't kept: it was before the lease's end, and any time before that is as good.
		latest = max(latest, min(core.Nanos(now), lent.lease.Until()-1))
	}
	if asked.asking == askedTogether {
		latest = max(latest, core.Nanos(asked.at))
		lending.batch.Append(asked.entry, core.Nanos(asked.at))
		lending.together, lending.handedIn = Lost, true
	}
	renew := asked.asking == askedTogether && lending.paused == 0
	// What asks sees the latest time by itself; what only looks doesn't.
	unseen := asked.asking == askedNothing && latest > lent.told.Load()
	batch := &lending.batch
	if batch.IsEmpty() && !unseen {
		return event, nil
	}
	seat.Cell.AddUnsaved(batch.Len())
	var answer abi.Result[wit.LeasedSettlement, wit.LeasedError]
	var err error
	if len(batch.Scores) == 0 && len(batch.SettledAt) == 0 {
		answer, err = seat.Guest.RecordLeased(seat.ID, lending.permit, batch.Successes, batch.Refused, latest, renew)
	} else {
		answer, err = seat.Guest.RecordLeasedDetails(seat.ID, lending.permit, batch.Successes, batch.SettledAt, batch.Latencies,
			batch.Scores, batch.Refused, latest, renew)
	}
	if err != nil {
		return event, seat.Failed(err)
	}
	lent.told.Store(max(lent.told.Load(), latest))
	if !answer.OK {
		return event, seat.Broken("what it leased was refused: " + leasedErrorNames[answer.Err.Case] + answer.Err.Other)
	}
	if asked.asking == askedTogether {
		lending.together = Recorded
		if answer.Value.Stale {
			lending.together = Stale
		} else if b.leased.known() == Disabled {
			lending.together = Ignored
		}
		lending.next = answer.Value.Lease
	}
	return answer.Value.Event, nil
}

var leasedErrorNames = [...]string{"unknown-breaker", "unknown-permit", "unequal-columns", "invalid-score", "other: "}

// tellTime tells the component the latest time at which a call was admitted without asking, where it is only looked at: what asks or
// records tells it by itself.
func (b *Breaker) tellTime(seat *core.Seat, asking asking) *core.Failure {
	if asking != askedNothing || !b.leased.untold.Swap(false) {
		return nil
	}
	told, err := seat.Guest.RecordLeased(seat.ID, 0, 0, 0, core.Nanos(b.leased.latest()), false)
	if err != nil {
		return seat.Failed(err)
	}
	if !told.OK {
		return seat.Broken("the time was refused: " + leasedErrorNames[told.Err.Case] + told.Err.Other)
	}
	return nil
}

// lend lends the breaker a buffer, where it is busy and its home has one.
func (b *Breaker) lend(asked uint32) {
	if asked <= b.home.leaseAfter || asked == askedMax {
		return
	}
	if !b.home.lendings.lend() {
		// It may ask again after as many calls.
		b.leased.asked.Store(0)
		return
	}
	made := &lent{lease: lease.New(b.home.stripes)}
	if b.home.system != nil {
		made.lease.SetMonotonic()
	}
	made.contexts = make([]lastContext, made.lease.Stripes())
	made.lease.Note(core.Nanos(b.leased.latest()))
	b.lending = &lending{}
	b.leased.lent.Store(made)
}

// renewLease asks for a lease where it pays, or where calls wouldn't be admitted without one.
func (b *Breaker) renewLease(seat *core.Seat, asking asking, now int64) *core.Failure {
	if asking == askedNothing || asking == askedChange {
		return nil
	}
	if b.lending == nil {
		// Records of calls that the component was asked for are counted already.
		if standing := b.leased.permit.Load() != permitAsk; asking == askedPermit || standing {
			b.lend(b.leased.countAsked())
		}
		// One that was used once may never be used again.
		if b.lending == nil && (asking != askedPermit || seat.Cell.IsNew()) {
			return nil
		}
	}
	if lending := b.lending; lending != nil && asking != askedPermit && lending.paused > 0 {
		lending.paused--
		return nil
	}
	switch state := b.leased.known(); {
	case state == HalfOpen:
		// Each probe is asked for.
		b.revoke()
		return nil
	case (state == Open || state == ForcedOpen) && asking == askedRecord:
		// What comes too late to count may bring a time that the component doesn't see: the next call asks.
		return nil
	}
	var granted abi.Option[wit.Lease]
	if b.lending != nil && b.lending.next.Some {
		granted, b.lending.next = b.lending.next, abi.Option[wit.Lease]{}
	} else {
		var err error
		if granted, err = seat.Guest.GrantLease(seat.ID, core.Nanos(now)); err != nil {
			return seat.Failed(err)
		}
	}
	b.leased.incarnation.Store(seat.Cell.Incarnation())
	if lent := b.leased.lent.Load(); lent != nil && b.lending != nil {
		b.grant(lent, &granted, now)
		return nil
	}
	permit := uint64(permitAsk)
	if granted.Some && granted.Value.Case == wit.LeaseAdmit {
		permit = granted.Value.Admit.Permit + permitAdmit
	}
	b.leased.permit.Store(permit)
	return nil
}

// grant takes what the component grants to a breaker with a buffer.
func (b *Breaker) grant(lent *lent, granted *abi.Option[wit.Lease], now int64) {
	switch {
	case granted.Some && granted.Value.Case == wit.LeaseAdmit:
		terms := b.terms(&granted.Value.Admit, now)
		b.lending.permit, b.lending.open = terms.Permit, terms.OutcomesMax > 0
		lent.lease.Open(terms)
	case granted.Some && granted.Value.Case == wit.LeaseRefuse:
		terms := &granted.Value.Refuse
		rejection := &terms.Rejection
		until := uint64(lease.Never)
		if terms.Until.Some {
			until = terms.Until.Value
			// What the component has seen may be later than what this lease was told of.
			if rejection.RetryAfter.Some {
				lent.lease.Note(until - min(rejection.RetryAfter.Value, until))
			}
		}
		lent.refusal.Store(&refusal{state: State(rejection.State), reason: rejection.Reason.Value, tripCount: rejection.TripCount, until: until})
		lent.lease.Refuse(until)
	default:
		lent.lease.Ask()
	}
}

// terms are those to admit calls, and to keep outcomes for as long as they may be lost.
func (b *Breaker) terms(granted *wit.AdmitTerms, now int64) *lease.Terms {
	or := func(option abi.Option[uint64]) uint64 {
		if option.Some {
			return option.Value
		}
		return lease.Never
	}
	terms := &lease.Terms{
		Permit: granted.Permit, OutcomesMax: granted.OutcomesMax, Until: or(granted.Until), LatencyMax: or(granted.LatencyMax),
		MissingScore: granted.MissingScore.Value, HasMissing: granted.MissingScore.Some,
		ScoreSumsMin: granted.ScoreSumsMin.Value, HasSums: granted.ScoreSumsMin.Some,
		ScoresRoll: granted.ScoresRoll, ScoresLast: granted.ScoresLast, Details: granted.Details != 0,
	}
	if b.leased.known() == Disabled {
		terms.Tag = tagIgnored
	}
	// What is kept is as good as lost if the component fails, so that a lease lasts no longer than a snapshot.
	if interval := b.home.snapshotInterval; interval > 0 {
		terms.Until = min(terms.Until, core.Nanos(now)+uint64(interval))
	} else {
		terms.OutcomesMax = uint32(min(uint64(terms.OutcomesMax), b.home.snapshotEvery))
	}
	return terms
}
