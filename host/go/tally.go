// Numbers that a breaker counts into, in parts, so that goroutines seldom meet.

package softfuse

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// LatencyBuckets are the upper bounds of the latency histogram, in seconds: from a cached embedding to a long generation.
var LatencyBuckets = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300}

// ScoreBuckets are the upper bounds of the score histogram. Scores run from 0 to 1 by convention; what is over falls into the last.
var ScoreBuckets = [...]float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1}

const (
	latencyBuckets = len(LatencyBuckets) + 1
	scoreBuckets   = len(ScoreBuckets) + 1
	// partsMax bounds the parts: beyond, goroutines share them more often.
	partsMax = 32
)

// The bounds in billionths: nanoseconds, and a score's units.
var (
	latencyBounds = billionths(LatencyBuckets[:])
	scoreBounds   = billionths(ScoreBuckets[:])
)

func billionths(bounds []float64) []int64 {
	made := make([]int64, len(bounds))
	for i, bound := range bounds {
		made[i] = int64(math.Round(bound * 1e9))
	}
	return made
}

// count is what is counted one by one. Successes are all settled calls but the failures and the neutral ones.
type count uint8

const (
	countFailures count = iota
	countNeutral
	countRejected
	countUnguarded
	countTrips
	countLeased
	counts
)

// Quick calls are counted in one word: how many from quickShift on, and below that the sum of their latencies.
const (
	quickShift = 44
	// quickMax is when the word is emptied. So many of the first bucket's sums fit, and of those who are at it meanwhile.
	quickMax = 1 << 19
)

// part is what few goroutines at a time count into.
type part struct {
	// quick is emptied into the first bucket and the sum under the lock, so that who reads sees neither too few nor too many.
	quick     atomic.Uint64
	lock      sync.Mutex
	latencies [latencyBuckets]atomic.Uint64
	// latencyNanos is the sum; it may wrap after 584 years of calls.
	latencyNanos atomic.Uint64
	counts       [counts]atomic.Uint64
	scores       [scoreBuckets]atomic.Uint64
	// scoreUnits is the sum, in units of 10^-9.
	scoreUnits atomic.Int64
	_          [128]byte
}

// tallies is what happened to a breaker's calls, or to those of a keyed family.
type tallies struct {
	mask  uintptr
	parts []part
}

func newTallies(cores int) *tallies {
	parts := 1
	for parts < 4*cores && parts < partsMax && cores > 1 {
		parts *= 2
	}
	return &tallies{mask: uintptr(parts - 1), parts: make([]part, parts)}
}

// part is the one of this goroutine: usually no other's that runs now.
func (t *tallies) part() *part {
	var here byte
	// As in the lease: goroutines' stacks differ in these bits.
	at := uintptr(unsafe.Pointer(&here)) >> 11
	return &t.parts[(at^at>>5)&t.mask]
}

func (t *tallies) count(what count, more uint64) {
	if more > 0 {
		t.part().counts[what].Add(more)
	}
}

// settled counts a call that was settled.
func (t *tallies) settled(kind Kind, latencyNanos uint64, score float64, scored bool) {
	part := t.part()
	part.latencies[bucket(latencyBounds, int64(min(latencyNanos, math.MaxInt64)))].Add(1)
	part.latencyNanos.Add(latencyNanos)
	if kind.IsFailure() {
		part.counts[countFailures].Add(1)
	} else if kind.IsNeutral() {
		part.counts[countNeutral].Add(1)
		return
	}
	if scored {
		part.scored(score)
	}
}

// succeeded counts a call that succeeded, without a score.
func (t *tallies) succeeded(latencyNanos uint64) {
	part := t.part()
	if latencyNanos > uint64(latencyBounds[0]) {
		part.latencies[bucket(latencyBounds, int64(min(latencyNanos, math.MaxInt64)))].Add(1)
		part.latencyNanos.Add(latencyNanos)
		return
	}
	if part.quick.Add(1<<quickShift|latencyNanos)>>quickShift >= quickMax {
		part.empty()
	}
}

// empty counts the quick calls with the others.
func (p *part) empty() {
	p.lock.Lock()
	defer p.lock.Unlock()
	quick := p.quick.Swap(0)
	p.latencies[0].Add(quick >> quickShift)
	p.latencyNanos.Add(quick & (1<<quickShift - 1))
}

func (t *tallies) scored(score float64) { t.part().scored(score) }

func (p *part) scored(score float64) {
	units := scoreUnits(score)
	p.scores[bucket(scoreBounds, units)].Add(1)
	p.scoreUnits.Add(units)
}

// bucket is the first whose bound a sample isn't over. Few bounds: looking at each costs less than halving them.
func bucket(bounds []int64, sample int64) int {
	for i, bound := range bounds {
		if sample <= bound {
			return i
		}
	}
	return len(bounds)
}

// sampled is a histogram as it is read: cumulative counts at each bound, the last without one.
type sampled struct {
	sum     float64
	buckets []uint64
}

func (s sampled) count() uint64 { return s.buckets[len(s.buckets)-1] }

func (t *tallies) counted(what count) (sum uint64) {
	for i := range t.parts {
		sum += t.parts[i].counts[what].Load()
	}
	return sum
}

func (t *tallies) latencyHistogram() sampled {
	made := sampled{buckets: make([]uint64, latencyBuckets)}
	for i := range t.parts {
		t.parts[i].empty()
		for j := range made.buckets {
			made.buckets[j] += t.parts[i].latencies[j].Load()
		}
		made.sum += float64(t.parts[i].latencyNanos.Load()) / float64(time.Second)
	}
	return made.cumulated()
}

func (t *tallies) scoreHistogram() sampled {
	made := sampled{buckets: make([]uint64, scoreBuckets)}
	for i := range t.parts {
		for j := range made.buckets {
			made.buckets[j] += t.parts[i].scores[j].Load()
		}
		made.sum += float64(t.parts[i].scoreUnits.Load()) / 1e9
	}
	return made.cumulated()
}

func (s sampled) cumulated() sampled {
	s.buckets = slices.Clone(s.buckets)
	for i := 1; i < len(s.buckets); i++ {
		s.buckets[i] += s.buckets[i-1]
	}
	return s
}

// successes are the settled calls that neither failed nor were neutral.
func (t *tallies) successes() uint64 {
	neither := t.counted(countFailures) + t.counted(countNeutral)
	all := t.latencyHistogram().count()
	return all - min(neither, all)
}
