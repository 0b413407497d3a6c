// A breaker's place in the component, as its host keeps it: where it sits, and the snapshot that it would come back from.

package core

import (
	"math"
	"sync/atomic"
	"time"

	wit "softfuse.dev/softfuse/internal/breakerwit"
)

// Policy is a policy's text, which an instance compiles when a breaker of it takes its seat there.
type Policy struct {
	// UID tells it from all others of the process, of the same meaning even.
	UID    uint64
	Text   string
	Source string
	// Info is what the component said that read it first.
	Info wit.PolicyInfo
	// said is what the component said that was asked last.
	said atomic.Pointer[said]
}

// said is what a component says that a breaker of a policy takes.
type said struct {
	// component is its serial.
	component, breakerBytes uint64
}

// Who is who asks for a seat.
type Who struct {
	Policy *Policy
	// Name is the whole name, which seeds the jitter.
	Name string
	Salt uint64
}

// Saved is a snapshot, and when it was taken on the breaker's clock.
type Saved struct {
	Bytes []byte
	At    int64
}

// Cell is a breaker's place, kept by the breaker under its own lock.
type Cell struct {
	slot *Slot
	// place is what it claims of that; nil once it has left.
	place       *kind
	incarnation uint32
	// chair is where it sits in that incarnation.
	chair *chair
	// unsaved counts records since it was saved: what a failure would lose.
	unsaved uint64
	// Due: it is to be saved whatever has passed since.
	Due   bool
	saved *Saved
	// snapshotFailed: the component failed at its snapshot, which was given up.
	snapshotFailed bool
	// opening: it has opened since it was saved, and couldn't be saved again.
	opening *opening
}

// chair is a breaker's seat as its slot keeps it, under the slot's lock: a hot upgrade moves it to another instance.
type chair struct {
	who *Who
	// id is the breaker's handle in the instance that is at work.
	id uint32
	// placed: it has a place as well. Who has left, and was used again, sits without one.
	placed bool
}

// opening is how a circuit opened.
type opening struct {
	until  int64
	reason string
}

// Incarnation is the instance's in which it sits, counted from 1.
func (c *Cell) Incarnation() uint32 { return c.incarnation }

// Saved is the last snapshot; nil where there is none.
func (c *Cell) Saved() *Saved { return c.saved }

// SetSaved makes it come back from a snapshot that was taken at that time.
func (c *Cell) SetSaved(saved *Saved) {
	c.saved, c.opening = saved, nil
	c.unsaved, c.Due = 0, false
}

// AddUnsaved counts records more that aren't saved.
func (c *Cell) AddUnsaved(records uint64) { c.unsaved = addUp(c.unsaved, records) }

// IsNew says whether nothing was recorded since it was made, or came back.
func (c *Cell) IsNew() bool { return c.unsaved == 0 && c.saved == nil && !c.snapshotFailed }

// IsDue says whether it is to be saved now: it must be, or so many records have come, and so long has passed, since it was.
func (c *Cell) IsDue(records uint64, interval time.Duration, now int64) bool {
	return c.Due || c.unsaved >= records && (c.saved == nil || now-c.saved.At >= int64(interval))
}

// NoteUnsaved remembers that the component failed at saving it after this opening: it stays open when the breaker comes back from
// an older snapshot.
func (c *Cell) NoteUnsaved(until int64, reason string) {
	c.opening = &opening{until: until, reason: reason}
}

// Opening is what it takes to open the circuit again as it was: the reason, and what is left of the open period at now, in
// nanoseconds. 0 where it is over: the next call is then a probe.
func (c *Cell) Opening(now int64) (reason string, left uint64, ok bool) {
	if c.opening == nil {
		return "", 0, false
	}
	return c.opening.reason, Since(c.opening.until, now), true
}

// Since is the nanoseconds from earlier to later; 0 where earlier is later.
func Since(later, earlier int64) uint64 {
	if later <= earlier {
		return 0
	}
	// The difference of two numbers of 63 bits and a sign, the larger first, fits.
	return uint64(later) - uint64(earlier)
}

// Nanos is an instant as the component takes it.
func Nanos(at int64) uint64 { return uint64(max(at, 0)) }

// Instant is the component's time as an instant.
func Instant(nanos uint64) int64 { return int64(min(nanos, math.MaxInt64)) }
