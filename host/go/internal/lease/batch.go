// What was kept under a lease, in order, as it crosses to the component.

package lease

import (
	"cmp"
	"slices"
)

// Batch is what was kept. It is made once and filled again and again.
type Batch struct {
	// Successes is how many successes there are.
	Successes uint32
	// Lates is how many late scores there are.
	Lates uint32
	// Scores are in order of arrival, in units of 10^-9: the last of them, as many as the lease asks for.
	Scores []int64
	// SettledAt is when each success was settled, in nanoseconds; empty where the lease doesn't ask for details.
	SettledAt []uint64
	// Latencies is how long each of them took, in nanoseconds; empty where the lease doesn't ask for details.
	Latencies []uint64
	// Refused is how many calls were refused.
	Refused uint64

	details []detail
	// terms are what the lease asked for, for what comes after all that was kept.
	terms *Terms
}

// Len is how many outcomes and late scores there are.
func (b *Batch) Len() uint64 { return uint64(b.Successes) + uint64(b.Lates) }

// IsEmpty says whether there is neither an outcome nor a late score nor a refusal.
func (b *Batch) IsEmpty() bool { return b.Len() == 0 && b.Refused == 0 }

// Append adds what comes after all that was kept.
func (b *Batch) Append(entry Entry, at uint64) {
	if entry.Late {
		b.Lates++
	} else {
		b.Successes++
		if b.terms.Details {
			b.SettledAt = append(b.SettledAt, at)
			b.Latencies = append(b.Latencies, entry.Latency)
		}
	}
	// One more than were asked for does no harm.
	if score, has := b.terms.score(&entry); has && b.terms.ScoresLast > 0 {
		b.Scores = append(b.Scores, score)
	}
}

func (b *Batch) clear(terms *Terms) {
	b.Successes, b.Lates, b.Refused, b.terms = 0, 0, 0, terms
	b.Scores, b.SettledAt, b.Latencies, b.details = b.Scores[:0], b.SettledAt[:0], b.Latencies[:0], b.details[:0]
}

// order puts the details into their columns: where they come of several parts, in order of time; goroutines' own orders are kept.
func (b *Batch) order(several bool) {
	if several {
		slices.SortStableFunc(b.details, func(x, y detail) int {
			return cmp.Or(cmp.Compare(x.settledAt, y.settledAt), cmp.Compare(x.sequence, y.sequence))
		})
	}
	for _, one := range b.details {
		b.SettledAt = append(b.SettledAt, one.settledAt)
		b.Latencies = append(b.Latencies, one.latency)
	}
}
