// A permit as a value: the right to one call, settled once, and where its score is reported, before that and long after.

package softfuse

import (
	"math"
	"sync/atomic"
	"time"

	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
	"softfuse.dev/softfuse/internal/lease"
)

// unguarded is no permit: the component failed, and the registry fails open. No component gives such a one.
const unguarded = math.MaxUint64

// What [Permit.word] is while no score was reported, and once the call was settled. A score is its bits, changed by a mask: numbers
// that aren't any become these words, so that no score does.
const (
	wordNone    = 0
	wordSettled = 2
	// wordNeutral: settled, by a neutral outcome, whose scores are wanted by nobody.
	wordNeutral = 4
	wordMask    = 0x7FF8_0000_0000_0001
)

func wordOf(score float64) uint64 { return math.Float64bits(score) ^ wordMask }

func scoreOf(word uint64) float64 { return math.Float64frombits(word ^ wordMask) }

// Permit is the right to one call. Settle it when the call has ended; `defer permit.Cancel()` sees to it that it is, whatever happens,
// and does nothing once it was settled otherwise. A permit that is never settled keeps a probe's slot until the policy's
// `probe_timeout`.
//
// Scores are reported here, too: of the reports before the settlement the last one counts; each one after it is a sample of its own.
// Any goroutine may report at any time.
type Permit struct {
	breaker     *Breaker
	raw         uint64
	admittedAt  int64
	incarnation uint32
	// reporting: somebody holds it as a [Reporter].
	reporting atomic.Bool
	// word is the score that was reported last, or one of the words above.
	word atomic.Uint64
}

// Settled is what became of a settled permit.
type Settled struct {
	// Effect is what became of the outcome.
	Effect Effect
	// Change is the change of state that it made; nil for most.
	Change *StateChange
	// Latency is what was recorded.
	Latency time.Duration
}

// Tripped says whether this call opened the circuit.
func (s Settled) Tripped() bool { return s.Change != nil && s.Change.IsTrip() }

// Reported is what became of a reported score.
type Reported struct {
	// Effect is [Pending] for a score that goes into the outcome of a call that is still under way, unless another report follows.
	// [Stale]: the circuit has changed its state since, and the score is not wanted; [Ignored]: the call's outcome was neutral.
	Effect Effect
	// Change is the change of state that it made; nil for most.
	Change *StateChange
}

// Permit asks for the right to one call. The error is an [*OpenError].
func (b *Breaker) Permit() (*Permit, error) {
	made := &Permit{}
	if refused := b.admit(made); refused != nil {
		return nil, refused
	}
	return made, nil
}

// Breaker is the one that gave it.
func (p *Permit) Breaker() *Breaker { return p.breaker }

// IsGuarded says whether the call is guarded: not so where the component had failed and the registry fails open.
func (p *Permit) IsGuarded() bool { return p.raw != unguarded }

func isSettled(word uint64) bool { return word == wordSettled || word == wordNeutral }

// end ends the time in which reports go into the outcome: the word until then; not ok where it was settled before.
func (p *Permit) end(kind Kind) (word uint64, ok bool) {
	settled := uint64(wordSettled)
	if kind.IsNeutral() {
		settled = wordNeutral
	}
	for {
		word = p.word.Load()
		if isSettled(word) {
			return word, false
		}
		if p.word.CompareAndSwap(word, settled) {
			return word, true
		}
	}
}

// Settle settles it. The error is [ErrSettled] where it was settled before, or an [*InvalidScoreError], by which nothing has changed.
func (p *Permit) Settle(outcome Outcome) (Settled, error) {
	if outcome.signal == signalScore {
		if err := checkScore(outcome.score); err != nil {
			return Settled{}, err
		}
	}
	word, ok := p.end(outcome.kind)
	if !ok {
		return Settled{}, ErrSettled
	}
	return p.settle(&outcome, word, p.breaker.now()), nil
}

// settle records the outcome of a permit that was ended.
func (p *Permit) settle(outcome *Outcome, word uint64, now int64) Settled {
	b := p.breaker
	if word != wordNone && outcome.signal != signalScore {
		outcome.signal, outcome.score = signalScore, scoreOf(word)
	}
	latency := core.Since(now, p.admittedAt)
	if outcome.hasLatency {
		latency = uint64(outcome.latency)
	}
	b.meters.tallies.settled(outcome.kind, latency, outcome.score, outcome.signal == signalScore)
	settled := Settled{Effect: Lost, Latency: span(latency)}
	if p.raw == unguarded {
		return settled
	}
	if entry, mayWait := outcome.entry(latency); mayWait {
		if effect, kept := b.leased.keep(p.raw, entry, now); kept {
			settled.Effect = effect
			return settled
		}
	}
	settled.Effect, settled.Change = b.record(p.raw, p.incarnation, outcome, latency, now)
	return settled
}

// keepSuccess ends a call that succeeded, and keeps that, where the component has allowed it.
func (p *Permit) keepSuccess(now int64) {
	b := p.breaker
	word, ok := p.end(Success)
	if !ok {
		return
	}
	scored := word != wordNone
	if p.raw != unguarded {
		entry := lease.Entry{Latency: core.Since(now, p.admittedAt), HasScore: scored}
		score := 0.0
		if scored {
			score = scoreOf(word)
			entry.Score = scoreUnits(score)
		}
		if _, kept := b.leased.keep(p.raw, entry, now); kept {
			b.meters.tallies.settled(Success, entry.Latency, score, scored)
			return
		}
	}
	outcome := Outcome{}
	p.settle(&outcome, word, now)
}

// keepUnscored is [Permit.keepSuccess] where nobody else has the permit, and no score.
func (p *Permit) keepUnscored(now int64) {
	b := p.breaker
	latency := core.Since(now, p.admittedAt)
	if p.raw != unguarded && b.leased.keepSuccess(p.raw, latency, now) {
		b.meters.tallies.succeeded(latency)
		return
	}
	outcome := Outcome{}
	p.settle(&outcome, wordNone, now)
}

// Success settles it: the service answered.
func (p *Permit) Success() (Settled, error) { return p.Settle(Succeeded()) }

// Failure settles it: the service failed in this way.
func (p *Permit) Failure(kind Kind) (Settled, error) { return p.Settle(OutcomeOf(kind)) }

// Cancel settles it as cancelled, which is neutral, unless it was settled before.
func (p *Permit) Cancel() { _, _ = p.Settle(OutcomeOf(Cancelled)) }

// ReportQuality says how good the answer is. The error is an [*InvalidScoreError], by which nothing has changed.
func (p *Permit) ReportQuality(score float64) (Reported, error) {
	if err := checkScore(score); err != nil {
		return Reported{}, err
	}
	for {
		word := p.word.Load()
		if isSettled(word) {
			return p.reportLate(score, word), nil
		}
		if p.word.CompareAndSwap(word, wordOf(score)) {
			return Reported{Effect: Pending}, nil
		}
	}
}

// reportScored is a scorer's report, whose score yields to one that is there already.
func (p *Permit) reportScored(score float64) {
	if !p.word.CompareAndSwap(wordNone, wordOf(score)) {
		if word := p.word.Load(); isSettled(word) {
			p.reportLate(score, word)
		}
	}
}

func (p *Permit) reportLate(score float64, word uint64) Reported {
	switch {
	case word == wordNeutral:
		return Reported{Effect: Ignored}
	case p.raw == unguarded:
		return Reported{Effect: Lost}
	}
	b := p.breaker
	entry := lease.Entry{Score: scoreUnits(score), HasScore: true, Late: true}
	if effect, kept := b.leased.keep(p.raw, entry, b.home.now()); kept {
		b.meters.tallies.scored(score)
		return Reported{Effect: effect}
	}
	effect, change := b.report(p.raw, p.incarnation, wit.QualityReport{Case: wit.QualityReportScore, Score: score}, b.home.now())
	if effect != Stale && effect != Lost {
		b.meters.tallies.scored(score)
	}
	return Reported{Effect: effect, Change: change}
}

// ReportMissing says that no score will come, for an outcome whose score was pending. Before the settlement it does nothing.
func (p *Permit) ReportMissing() Reported {
	switch word := p.word.Load(); {
	case !isSettled(word):
		return Reported{Effect: Pending}
	case word == wordNeutral:
		return Reported{Effect: Ignored}
	case p.raw == unguarded:
		return Reported{Effect: Lost}
	}
	effect, change := p.breaker.report(p.raw, p.incarnation, wit.QualityReport{Case: wit.QualityReportMissing}, p.breaker.home.now())
	return Reported{Effect: effect, Change: change}
}

// Reporter takes scores of one call, whether it is still under way or has ended: for a judge, a user's thumbs, a response body. Any
// goroutine may use it. Where the call's outcome was settled as pending, who holds a reporter owes a score or [Reporter.ReportMissing].
type Reporter struct {
	permit *Permit
	// breaker alone is known where no decision depends on scores; neither where the call isn't guarded.
	breaker *Breaker
}

// Reporter is where others report this call's score.
func (p *Permit) Reporter() Reporter {
	p.reporting.Store(true)
	return Reporter{permit: p}
}

// ReportQuality says how good the answer is; see [Permit.ReportQuality]. Under a policy that has no condition on scores it is counted in
// the metrics, and [Ignored].
func (r Reporter) ReportQuality(score float64) (Reported, error) {
	if r.permit != nil {
		return r.permit.ReportQuality(score)
	}
	if err := checkScore(score); err != nil {
		return Reported{}, err
	}
	if r.breaker != nil {
		r.breaker.meters.tallies.scored(score)
	}
	return Reported{Effect: Ignored}, nil
}

// ReportMissing says that no score will come; see [Permit.ReportMissing].
func (r Reporter) ReportMissing() Reported {
	if r.permit != nil {
		return r.permit.ReportMissing()
	}
	return Reported{Effect: Ignored}
}
