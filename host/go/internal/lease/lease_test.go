// Goroutines keep, an owner takes and opens: nothing is lost, nothing is taken twice, and nothing is kept beyond the terms.

package lease

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// contest lets goroutines keep entries while the owner takes what was kept, again and again: how many were kept, and all batches.
func contest(t *testing.T, lease *Lease, terms func(round int) *Terms, entry func(*rand.Rand) Entry, see func(round int, batch *Batch)) (kept uint64) {
	t.Helper()
	const goroutines, roundsMin, roundsMax, keptMin = 8, 400, 1_000_000, 20
	var count atomic.Uint64
	var clock atomic.Uint64
	var stop atomic.Bool
	var group sync.WaitGroup
	lease.Open(terms(0))
	for number := range goroutines {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(number), 1))
			for !stop.Load() {
				if _, ok := lease.Keep(7, clock.Add(1), entry(random)); ok {
					count.Add(1)
				}
			}
		})
	}
	var batch Batch
	round := 0
	// Until goroutines had their turns as well.
	for ; round < roundsMin || round < roundsMax && count.Load() < keptMin; round++ {
		for range random(round) {
			clock.Add(1)
		}
		if count.Load() < keptMin {
			runtime.Gosched()
		}
		lease.Take(&batch)
		see(round, &batch)
		lease.Open(terms(round + 1))
	}
	stop.Store(true)
	group.Wait()
	lease.Take(&batch)
	see(round, &batch)
	return count.Load()
}

func random(round int) int { return round * 37 % 500 }

func TestCountedSuccessesAreTakenOnce(t *testing.T) {
	for _, monotonic := range []bool{false, true} {
		lease := New(4)
		if monotonic {
			lease.SetMonotonic()
		}
		var taken uint64
		kept := contest(t, lease, func(round int) *Terms {
			return &Terms{Permit: 7, OutcomesMax: uint32(1 + round%300), Until: Never, LatencyMax: Never}
		}, func(*rand.Rand) Entry { return Entry{Latency: 3} }, func(round int, batch *Batch) {
			if most := uint32(1 + round%300); batch.Successes > most {
				t.Errorf("%d kept of %d", batch.Successes, most)
			}
			taken += batch.Len()
		})
		if kept != taken || kept == 0 {
			t.Errorf("%d kept, %d taken", kept, taken)
		}
	}
}

func TestDetailsComeInOrderOfTime(t *testing.T) {
	var taken uint64
	kept := contest(t, New(4), func(int) *Terms {
		return &Terms{Permit: 7, OutcomesMax: 200, Until: Never, LatencyMax: Never, Details: true}
	}, func(random *rand.Rand) Entry { return Entry{Latency: random.Uint64N(9)} }, func(_ int, batch *Batch) {
		taken += batch.Len()
		if len(batch.SettledAt) != int(batch.Successes) || len(batch.Latencies) != int(batch.Successes) {
			t.Errorf("%d, %d of %d", len(batch.SettledAt), len(batch.Latencies), batch.Successes)
		}
		for i := 1; i < len(batch.SettledAt); i++ {
			if batch.SettledAt[i] < batch.SettledAt[i-1] {
				t.Errorf("%d after %d", batch.SettledAt[i], batch.SettledAt[i-1])
			}
		}
	})
	if kept != taken || kept == 0 {
		t.Errorf("%d kept, %d taken", kept, taken)
	}
}

func TestScoresKeepToTheirBoundAtEachOfThem(t *testing.T) {
	sums := []int64{5, 11, 17, 23, 29, 35}
	for _, roll := range []bool{false, true} {
		var taken, lates uint64
		kept := contest(t, New(4), func(int) *Terms {
			return &Terms{Permit: 7, OutcomesMax: 10_000, Until: Never, LatencyMax: Never, ScoreSumsMin: sums, HasSums: true, ScoresRoll: roll, ScoresLast: 256}
		}, func(random *rand.Rand) Entry {
			return Entry{Score: 4 + random.Int64N(6), HasScore: true, Late: random.IntN(5) == 0}
		}, func(_ int, batch *Batch) {
			taken += batch.Len()
			lates += uint64(batch.Lates)
			if !roll && batch.Len() > uint64(len(sums)) {
				t.Errorf("%d kept, of %d with a bound", batch.Len(), len(sums))
			}
			if batch.Len() > 256 {
				return
			}
			sum := int64(0)
			for i, score := range batch.Scores {
				sum += score
				if i >= len(sums) {
					sum -= batch.Scores[i-len(sums)]
				}
				if sum < sums[min(i, len(sums)-1)] {
					t.Errorf("the sum %d after %d scores", sum, i+1)
				}
			}
		})
		if kept != taken || kept == 0 || lates == 0 {
			t.Errorf("%d kept, %d taken, %d of them late", kept, taken, lates)
		}
	}
}

func TestARevokedLeaseAdmitsNobody(t *testing.T) {
	lease := New(4)
	var revoked atomic.Bool
	var group sync.WaitGroup
	lease.Open(&Terms{Permit: 7})
	for range 4 {
		group.Go(func() {
			for {
				told := revoked.Load()
				if _, ok := lease.Permit(); told {
					if ok {
						t.Error("it admits after it was revoked")
					}
					return
				}
			}
		})
	}
	lease.Ask()
	revoked.Store(true)
	group.Wait()
}
