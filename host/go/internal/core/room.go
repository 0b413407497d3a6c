// What an instance has room for: breakers whose windows are full, and one of them on its way out or in.
//
// An instance that runs out of memory fails for all who sit there, so what may fill it is refused beforehand. Of its memory it keeps
// what it had when it was made, and an eighth: for policies, for what trips write into a breaker's history beyond what is counted
// for each, and for what an allocator can't put to use. The rest is the breakers'. One encoding of the largest of them must fit
// beside them: a snapshot is written, and read again, in one piece.

package core

import "math"

// overheadBytes is what a breaker takes beside what its policy says: its part of the table of breakers, the allocator's headers, and
// what a first trip leaves. The Rust host's measurements found 512 enough.
const overheadBytes = 512

// Claim is what a breaker may take of its instance.
type Claim struct {
	bytes uint64
	// transit is more, while its snapshot is on the way: numbers of 64 bits take ten bytes there at most, a fourth more.
	transit uint64
}

func addUp(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func claimOf(breakerBytes uint64, snapshotBytes int) Claim {
	return Claim{bytes: addUp(breakerBytes, overheadBytes), transit: max(addUp(breakerBytes, breakerBytes/4), uint64(snapshotBytes))}
}

// fit is how many breakers with this claim an instance has room for.
func (c Claim) fit(bytesMax uint64) uint64 {
	if bytesMax < c.transit {
		return 0
	}
	return (bytesMax - c.transit) / c.bytes
}

// SnapshotBytesMax is the longest snapshot that is tried under a policy: its windows in full, and on top of them more than all
// reasons, texts, probes and verdicts can have.
func SnapshotBytesMax(policy *Policy) uint64 {
	const textsBytesMax = 1 << 20
	texts := textsBytesMax * uint64(1+len(policy.Info.HostConditions))
	return addUp(claimOf(policy.Info.BreakerBytes, 0).transit, texts)
}

// breakersBytesMax is what breakers may have of an instance that takes so much before there is any.
func breakersBytesMax(bounds Bounds, initialBytes int) uint64 {
	bytes := uint64(bounds.MemoryBytesMax)
	if kept := bytes/8 + uint64(initialBytes); kept < bytes {
		return bytes - kept
	}
	return 0
}

// room is the claims on one instance.
type room struct {
	bytes uint64
	// transits is how many claim so much for their snapshots; largest is the largest of them.
	transits map[uint64]int
	largest  uint64
}

// with is what would be claimed with one more.
func (r *room) with(claim Claim) uint64 {
	return addUp(addUp(r.bytes, claim.bytes), max(r.largest, claim.transit))
}

func (r *room) add(claim Claim) {
	if r.transits == nil {
		r.transits = map[uint64]int{}
	}
	r.bytes = addUp(r.bytes, claim.bytes)
	r.transits[claim.transit]++
	r.largest = max(r.largest, claim.transit)
}

func (r *room) remove(claim Claim) {
	r.bytes -= min(r.bytes, claim.bytes)
	if r.transits[claim.transit]--; r.transits[claim.transit] > 0 {
		return
	}
	delete(r.transits, claim.transit)
	if claim.transit == r.largest {
		r.largest = 0
		for transit := range r.transits {
			r.largest = max(r.largest, transit)
		}
	}
}
