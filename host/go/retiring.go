// How a keyed family keeps to its bounds: who comes has the place of one that retires, whose snapshot is kept.

package softfuse

import (
	"container/list"
	"math/rand/v2"
	"slices"
	"sync"

	"softfuse.dev/softfuse/internal/abi"
	wit "softfuse.dev/softfuse/internal/breakerwit"
	"softfuse.dev/softfuse/internal/core"
)

const (
	// retireLooks is how many breakers of a shard are looked at for one that may retire; retireChoice among how many that may the one
	// is chosen that wasn't called for longest.
	retireLooks, retireChoice = 1024, 16
	// makeRoomMax is how many retire for one at most, beyond the one in whose place it comes. One is enough, unless a snapshot is longer
	// than what is kept free for one: what 16 transitions say can take as much as some dozens of small breakers.
	makeRoomMax = 64
)

// retiredKeys are what is remembered of those that retired. It is locked after a shard, never before.
type retiredKeys struct {
	lock  sync.Mutex
	keys  map[string]*list.Element
	order *list.List
	bytes int
}

type retiredKey struct {
	key        string
	saved      *core.Saved
	conditions []heldCondition
	tripCount  uint64
}

// place finds a place for one that is counted in, whose shard is locked; nil where there is none, and none can be made.
func (k *Keyed) place(shard *shard, made *Breaker, saved *core.Saved) *core.Cell {
	cell, no := k.home.slots.Place(&made.who, saved)
	// There was room for LiveMax of them when the family was made; but the component may be another one now, whose breakers take more, and
	// a snapshot may be longer than what is kept free for one. Where it doesn't fit beside the overflow breaker, nobody's leaving helps.
	for left := 0; no != nil && no.Fit > 1 && left < makeRoomMax && (k.retireOne(shard) || k.retireElsewhere(shard)); left++ {
		// It was counted, and so is the one that comes.
		k.live.Add(-1)
		cell, no = k.home.slots.Place(&made.who, saved)
	}
	if no != nil {
		return nil
	}
	return cell
}

// countIn counts one more in, where there is room for it.
func (k *Keyed) countIn() bool {
	if k.live.Add(1) <= int64(k.settings.LiveMax) {
		return true
	}
	k.live.Add(-1)
	return false
}

// retireOne retires a closed breaker of a shard, which is locked, that wasn't called for long: its place is the next one's.
func (k *Keyed) retireOne(shard *shard) bool {
	var choice []*Breaker
	looks := 0
	// A map is walked from a place of its own choice each time.
	for _, breaker := range shard.breakers {
		if looks++; breaker.State() == Closed {
			choice = append(choice, breaker)
		}
		if looks == retireLooks || len(choice) == retireChoice {
			break
		}
	}
	slices.SortFunc(choice, func(x, y *Breaker) int { return int(min(max(x.leased.latest()-y.leased.latest(), -1), 1)) })
	return slices.ContainsFunc(choice, func(breaker *Breaker) bool { return k.retire(shard, breaker) })
}

// retireElsewhere retires one of another shard than this one, which is locked.
func (k *Keyed) retireElsewhere(own *shard) bool {
	// Begun anywhere: else, where few are at work, the first shards' keys would retire again and again.
	first := rand.IntN(len(k.shards))
	for step := range k.shards {
		other := &k.shards[(first+step)%len(k.shards)]
		// Nobody waits for another shard while it holds one.
		if other == own || !other.lock.TryLock() {
			continue
		}
		done := k.retireOne(other)
		other.lock.Unlock()
		if done {
			return true
		}
	}
	return false
}

var saveOperation = func(seat *core.Seat) (none abi.Option[wit.Event], failure *core.Failure) { return none, seat.Save() }

// retire saves a breaker and gives its place back. It fails where the breaker is at work, isn't closed, or can't be saved.
func (k *Keyed) retire(shard *shard, b *Breaker) bool {
	if !b.lock.TryLock() {
		return false
	}
	defer b.lock.Unlock()
	_, failure := b.operateLocked(asked{}, b.leased.with(b.home.now()), saveOperation)
	saved := b.cell.Saved()
	k.home.hub.queue(b.outbox)
	b.outbox = nil
	if failure != nil || saved == nil || b.State() != Closed {
		return false
	}
	// What was kept since is counted, and lost: the breaker is saved without it. It is what came while it was being saved.
	b.loseLeased()
	if b.leased.lent.Load() != nil {
		k.home.lendings.giveBack()
	}
	b.retired = true
	b.cell.Slot().Unseat(b.cell)
	k.meters.vanished(Closed)
	delete(shard.breakers, b.key)
	k.retired.put(&retiredKey{key: b.key, saved: saved, conditions: b.conditions, tripCount: b.tripCount.Load()}, &k.settings)
	return true
}

func (r *retiredKeys) take(key string) *retiredKey {
	r.lock.Lock()
	defer r.lock.Unlock()
	element := r.keys[key]
	if element == nil {
		return nil
	}
	return r.drop(element)
}

func (r *retiredKeys) drop(element *list.Element) *retiredKey {
	found := r.order.Remove(element).(*retiredKey)
	delete(r.keys, found.key)
	r.bytes -= len(found.key) + len(found.saved.Bytes)
	return found
}

// put remembers one that retired, and forgets those for which there is no room any more.
func (r *retiredKeys) put(one *retiredKey, settings *KeyedSettings) {
	if one == nil {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.keys[one.key] = r.order.PushBack(one)
	r.bytes += len(one.key) + len(one.saved.Bytes)
	for len(r.keys) > settings.RetiredMax || r.bytes > settings.RetiredBytesMax {
		r.drop(r.order.Front())
	}
}
