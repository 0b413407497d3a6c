// What an instance has room for: breakers whose windows are full, and one of them on its way out or in.
//
// An instance that runs out of memory fails for all who sit there, so what may fill it is refused beforehand. Of its memory it keeps
// what it had when it was made, and an eighth: for policies, for what trips write into a breaker's history beyond what is counted
// for each, and for what an allocator can't put to use. The rest is the breakers'. One encoding of the largest of them must fit
// beside them: a snapshot is written, and read again, in one piece.

package core

import (
	"math"
	"math/bits"
)

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

// snapshotBytesMax is the longest snapshot that is tried of a breaker that takes so much, with so many of the host's conditions: its
// windows in full, and on top of them more than all reasons, texts, probes and verdicts can have.
func snapshotBytesMax(breakerBytes uint64, conditions int) uint64 {
	const textsBytesMax = 1 << 20
	return addUp(claimOf(breakerBytes, 0).transit, textsBytesMax*uint64(1+conditions))
}

// breakersBytesMax is what breakers may have of an instance that takes so much before there is any.
func breakersBytesMax(bounds Bounds, initialBytes int) uint64 {
	bytes := uint64(bounds.MemoryBytesMax)
	if kept := bytes/8 + uint64(initialBytes); kept < bytes {
		return bytes - kept
	}
	return 0
}

// memoryBytesFor is the least bound on an instance's memory, in whole pages, by which breakers may have so much of it: what
// [breakersBytesMax] is the inverse of.
func memoryBytesFor(breakersBytes uint64, initialBytes int) uint64 {
	bytes := addUp(breakersBytes, uint64(initialBytes))
	// That is seven eighths of it.
	bytes = addUp(bytes, addUp(bytes, 6)/7)
	return addUp(bytes, pageBytes-1) / pageBytes * pageBytes
}

// room is the claims on one instance.
type room struct {
	// bytes is what all claim together; transit is the largest claim for a snapshot.
	bytes, transit uint64
	kinds          map[kindOf]*kind
}

// kindOf tells kinds apart.
type kindOf struct {
	policy *Policy
	// snapshotBytes is the length of the snapshot that they came with, where the policy's own claim has no room for that; else 0.
	snapshotBytes int
}

// kind is breakers that claim the same.
type kind struct {
	kindOf
	claim    Claim
	breakers uint64
}

// with is what would be claimed with one more.
func (r *room) with(claim Claim) uint64 {
	return addUp(addUp(r.bytes, claim.bytes), max(r.transit, claim.transit))
}

// all is how many breakers there are.
func (r *room) all() (breakers uint64) {
	for _, one := range r.kinds {
		breakers += one.breakers
	}
	return breakers
}

// add takes one more in, which a breaker of its policy takes so much of, and which comes with a snapshot of this length, or with none.
func (r *room) add(policy *Policy, breakerBytes uint64, snapshotBytes int) *kind {
	of := kindOf{policy: policy}
	if claimOf(breakerBytes, 0).transit < uint64(snapshotBytes) {
		of.snapshotBytes = snapshotBytes
	}
	found := r.kinds[of]
	if found == nil {
		if r.kinds == nil {
			r.kinds = map[kindOf]*kind{}
		}
		found = &kind{kindOf: of}
		r.kinds[of] = found
	}
	found.breakers++
	claim := claimOf(breakerBytes, of.snapshotBytes)
	if found.claim != claim {
		// The first of its kind; or its kin were taken in while the component couldn't say what they take.
		found.claim = claim
		r.sum()
		return found
	}
	r.bytes, r.transit = addUp(r.bytes, claim.bytes), max(r.transit, claim.transit)
	return found
}

func (r *room) remove(one *kind) {
	r.bytes -= min(r.bytes, one.claim.bytes)
	if one.breakers--; one.breakers > 0 {
		return
	}
	delete(r.kinds, one.kindOf)
	if one.claim.transit == r.transit {
		r.sum()
	}
}

// sum adds up what all claim.
func (r *room) sum() {
	r.bytes, r.transit = 0, 0
	for _, one := range r.kinds {
		bytes := one.claim.bytes
		if high, low := bits.Mul64(bytes, one.breakers); high == 0 {
			bytes = low
		} else {
			bytes = math.MaxUint64
		}
		r.bytes, r.transit = addUp(r.bytes, bytes), max(r.transit, one.claim.transit)
	}
}
