// Under which terms outcomes are benign.

package lease

import "math"

// Never is a time that doesn't come.
const Never = math.MaxUint64

// Terms are what a component grants: `admit-terms` of its contract. They aren't changed once they are open.
type Terms struct {
	// Permit is the one that every call under the lease carries.
	Permit uint64
	// OutcomesMax is how many outcomes and late scores may wait; 0 where each is to be recorded at once. Fewer are kept where
	// there is no room for what is asked of them.
	OutcomesMax uint32
	// Until is the time before which outcomes must be settled, in nanoseconds; Never where they needn't.
	Until uint64
	// LatencyMax is the longest that outcomes may take, in nanoseconds; Never where they may take as long as they like.
	LatencyMax uint64
	// MissingScore is the score that a success without one counts for, where HasMissing says so.
	MissingScore int64
	HasMissing   bool
	// ScoreSumsMin is what the sum of k scores must be at least, at k - 1; any score is benign where HasSums doesn't say so.
	ScoreSumsMin []int64
	HasSums      bool
	// ScoresRoll says whether more scores than that may come: the sum of the last so many is then bound by the last of them.
	ScoresRoll bool
	// ScoresLast is how many scores are to be taken out: the last so many, or all if there are fewer.
	ScoresLast uint32
	// Details says whether the details of each success are to be taken out.
	Details bool
	// Tag is the host's own, and comes back for each outcome that is kept.
	Tag uint8

	epoch uint64
	// countsOnly: nothing is to be known of a success but that it was one.
	countsOnly bool
}

// wantsScores says whether scores matter at all.
func (t *Terms) wantsScores() bool { return t.ScoresLast > 0 || t.HasSums }

// room is how many outcomes there is room for. Where the last scores are enough, their ring may go round.
func (t *Terms) room() uint32 {
	if t.wantsScores() && (t.Details || t.ScoresLast > scoreSlots) {
		return min(t.OutcomesMax, scoreSlots)
	}
	return min(t.OutcomesMax, countMax)
}

// fits says whether a success may be recorded with what waits, whatever its score and wherever its place.
func (t *Terms) fits(permit, at, latency uint64) bool {
	return permit == t.Permit && at < t.Until && latency <= t.LatencyMax
}

// score is what is to be kept of an entry's score, and whether there is one.
func (t *Terms) score(entry *Entry) (int64, bool) {
	if !t.wantsScores() {
		return 0, false
	}
	if !entry.HasScore && !entry.Pending && t.HasMissing {
		return t.MissingScore, true
	}
	return entry.Score, entry.HasScore
}

// bound is what must hold of the score that comes after so many: the sum of the last `over` scores, it included, is at least so
// much. 0: of all. Whether any further score is benign at all is ok.
func (t *Terms) bound(scores uint32) (over uint32, least int64, bounded, ok bool) {
	sums := t.ScoreSumsMin[:min(len(t.ScoreSumsMin), scoreSlots)]
	switch {
	case !t.HasSums:
		return 0, 0, false, true
	case scores < uint32(len(sums)):
		return 0, sums[scores], true, true
	// A table of which the end is cut off doesn't roll.
	case t.ScoresRoll && len(sums) > 0 && len(sums) == len(t.ScoreSumsMin):
		return uint32(len(sums)), sums[len(sums)-1], true, true
	}
	return 0, 0, true, false
}
