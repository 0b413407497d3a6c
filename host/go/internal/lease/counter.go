// One word that counts what was reserved under a lease, and says whether the lease is over.

package lease

import "sync/atomic"

const (
	// countMax is the most that one counter counts under a lease.
	countMax = closedBit - 1
	// closedBit is set where nothing may be reserved any more.
	closedBit = 1 << 16
	// epochShift is where the lease's number begins. With 47 bits none comes twice.
	epochShift = 17
	// drawMax is how many places are drawn from the pool at a time, at most.
	drawMax = 256
)

// head is the lease's number, whether it is over, and how many places were reserved.
type head uint64

func (h head) epoch() uint64 { return uint64(h) >> epochShift }
func (h head) count() uint32 { return uint32(h & (closedBit - 1)) }
func (h head) isOpen() bool  { return h&closedBit == 0 }

// counter counts places. Who reserves one knows that nothing of the lease has changed since it was looked at: terms that were read
// in between are its own.
type counter struct {
	head atomic.Uint64
	// limit is the lease's number, and how many places the pool has allowed for.
	limit atomic.Uint64
}

func (c *counter) look() head { return head(c.head.Load()) }

// reserve takes the next place, where nothing has changed since it was seen.
func (c *counter) reserve(seen head) bool { return c.head.CompareAndSwap(uint64(seen), uint64(seen)+1) }

// hasRoom says whether there is a next place: what was allowed for, or what can be drawn from the pool, which so many counters
// share.
func (c *counter) hasRoom(seen head, pool *atomic.Int64, counters int64) bool {
	count := seen.count()
	return count < countMax && (count < limitOf(c.limit.Load(), seen) || c.draw(seen, pool, counters))
}

// limitOf is how many places are allowed for under the lease that was seen.
func limitOf(limit uint64, seen head) uint32 {
	if limit>>epochShift != seen.epoch() {
		return 0
	}
	return uint32(limit & (1<<epochShift - 1))
}

func (c *counter) draw(seen head, pool *atomic.Int64, counters int64) bool {
	for {
		limit := c.limit.Load()
		if seen.count() < limitOf(limit, seen) {
			return true
		}
		if limit>>epochShift != seen.epoch() {
			return false
		}
		left := pool.Load()
		if left <= 0 {
			return false
		}
		share := min(max(left/(2*counters), 1), drawMax, left)
		if !pool.CompareAndSwap(left, left-share) {
			continue
		}
		// Only under this lease: what was drawn from the pool of another is lost, which harms nobody.
		c.limit.CompareAndSwap(limit, limit+uint64(share))
	}
}

// open begins the lease of this number.
func (c *counter) open(epoch uint64) {
	c.limit.Store(epoch << epochShift)
	c.head.Store(epoch << epochShift)
}

// close ends it: where it stood, and whether it was open.
func (c *counter) close() (head, bool) {
	before := head(c.head.Or(closedBit))
	return before, before.isOpen()
}

// isWaiting says whether anything was reserved under a lease that isn't over.
func (c *counter) isWaiting() bool {
	seen := c.look()
	return seen.isOpen() && seen.count() > 0
}
