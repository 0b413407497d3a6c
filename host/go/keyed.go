// One breaker per key, bounded: those that nobody has used for long retire to a snapshot, and come back from it.

package softfuse

import (
	"container/list"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"softfuse.dev/softfuse/internal/core"
)

const (
	// keyBytesMax is the longest key: keys come from outside, and are kept.
	keyBytesMax = 1024
	// shardedFrom: families of fewer keys have one shard.
	shardedFrom = 1024
	// shardCount is how many there are otherwise, so that two goroutines seldom want the same.
	shardCount = 32
)

// KeyedSettings say how a keyed family is bounded. The zero value means the defaults.
type KeyedSettings struct {
	// LiveMax is how many breakers are at work at most. Default 10,000. A family's instances of the component must have room for as
	// many with full windows, or there is no family; after a hot upgrade to a component whose breakers take more, those at work are as
	// many as it has room for. When a further one is wanted, a closed one that wasn't called for long retires, never one that isn't
	// closed. If none can, the overflow breaker serves.
	LiveMax int
	// LentMax is how many buffers busy keys are lent at once, some KiB each for each core. Default 1,024. A key that gets none is
	// served as well, with a call of the component for each outcome.
	LentMax int
	// RetiredMax is how many snapshots of retired breakers are kept. Default 100,000. Beyond, the one that wasn't used for longest is
	// forgotten: its key starts afresh.
	RetiredMax int
	// RetiredBytesMax is what those snapshots and their keys may have together. Default 64 MiB.
	RetiredBytesMax int
	// Conditions makes the host's own conditions for a key, where the policy names some; for the overflow breaker, with the family's
	// name.
	Conditions func(key string) Conditions
	// OnStateChange is as the breaker's option, for each breaker of the family.
	OnStateChange func(key string, change *StateChange)
	// Classifier is as the breaker's option.
	Classifier Classifier
}

// Keyed is a family of breakers: one policy, a breaker per key, a tenant perhaps.
type Keyed struct {
	home     *home
	name     string
	policy   *Policy
	settings KeyedSettings
	meters   *meters
	overflow *Breaker
	seed     maphash.Seed
	shards   []shard
	live     atomic.Int64
	retired  retiredKeys
}

type shard struct {
	lock     sync.Mutex
	breakers map[string]*Breaker
	_        [64]byte
}

// Keyed is the family of this name: the one that exists, or a new one. The error is a [*PolicyDiffersError] where it exists with a
// policy of another meaning, and is [ErrNameTaken] where the name is a breaker's.
func (r *Registry) Keyed(name string, policy *Policy, settings KeyedSettings) (*Keyed, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.breakers[name] != nil {
		return nil, fmt.Errorf("the breaker `%s`: %w", name, ErrNameTaken)
	}
	if found := r.families[name]; found != nil {
		if found.policy.Fingerprint() != policy.Fingerprint() {
			return nil, &PolicyDiffersError{Breaker: name, Existing: found.policy.Source(), Requested: policy.Source()}
		}
		return found, nil
	}
	for _, bound := range []struct {
		value *int
		or    int
		key   string
	}{
		{&settings.LiveMax, 10_000, "LiveMax"}, {&settings.LentMax, 1024, "LentMax"},
		{&settings.RetiredMax, 100_000, "RetiredMax"}, {&settings.RetiredBytesMax, 64 << 20, "RetiredBytesMax"},
	} {
		if *bound.value < 0 {
			return nil, fmt.Errorf("the keyed family `%s`: %s is %d, and may be 1 or more, or 0 for the default", name, bound.key, *bound.value)
		}
		if *bound.value == 0 {
			*bound.value = bound.or
		}
	}
	k := &Keyed{
		home: r.newHome(r.home.shared, settings.LentMax), name: name, policy: policy, settings: settings, seed: maphash.MakeSeed(),
		retired: retiredKeys{keys: map[string]*list.Element{}, order: list.New()},
	}
	// Those at work, and the overflow breaker.
	if no := k.home.slots.CheckRoom(policy.core, settings.LiveMax+1); no != nil {
		return nil, noRoom(name, settings.LiveMax+1, no)
	}
	conditions, err := k.conditions(name)
	if err != nil {
		return nil, err
	}
	k.meters = r.home.metrics.begin(name, true)
	k.overflow = k.newBreaker(name, name, conditions)
	cell, no := k.home.slots.Place(&k.overflow.who, nil)
	if no != nil {
		r.home.metrics.end(name)
		return nil, noRoom(name, settings.LiveMax+1, no)
	}
	k.overflow.cell = cell
	k.meters.appeared(Closed)
	shards := shardCount
	if settings.LiveMax < shardedFrom {
		shards = 1
	}
	k.shards = make([]shard, shards)
	for i := range k.shards {
		k.shards[i].breakers = map[string]*Breaker{}
	}
	r.families[name] = k
	return k, nil
}

func (k *Keyed) conditions(key string) ([]heldCondition, error) {
	var made Conditions
	if k.settings.Conditions != nil {
		made = k.settings.Conditions(key)
	}
	return hold(k.name+"/"+key, k.policy, made)
}

func (k *Keyed) newBreaker(key, name string, conditions []heldCondition) *Breaker {
	settings := &breakerSettings{classifier: k.settings.Classifier}
	if callback := k.settings.OnStateChange; callback != nil {
		settings.onChange = append(settings.onChange, func(change *StateChange) { callback(key, change) })
	}
	made := k.home.newBreaker(name, k.policy, k.meters, settings, conditions)
	made.family, made.key = k, key
	return made
}

// Name is the family's name.
func (k *Keyed) Name() string { return k.name }

// Overflow is the breaker that serves every key for which there is no room.
func (k *Keyed) Overflow() *Breaker { return k.overflow }

// Live is how many breakers are at work, the overflow breaker not among them.
func (k *Keyed) Live() int { return int(k.live.Load()) }

// Retired is how many breakers retired and are remembered.
func (k *Keyed) Retired() int {
	k.retired.lock.Lock()
	defer k.retired.lock.Unlock()
	return len(k.retired.keys)
}

func (k *Keyed) shard(key string) *shard {
	if len(k.shards) == 1 {
		return &k.shards[0]
	}
	return &k.shards[maphash.String(k.seed, key)%uint64(len(k.shards))]
}

// Get is the breaker of this key: the one at work, one that is brought back, or a new one. Who holds one that retires meanwhile is led
// to its successor. The error is for a key of more than 1,024 bytes, and where the host's own conditions for this key are not those
// that the policy names.
func (k *Keyed) Get(key string) (*Breaker, error) {
	if len(key) > keyBytesMax {
		return nil, fmt.Errorf("a key of `%s` has %d bytes, and may have %d: hash longer ones", k.name, len(key), keyBytesMax)
	}
	shard := k.shard(key)
	shard.lock.Lock()
	found := shard.breakers[key]
	shard.lock.Unlock()
	if found != nil {
		return found, nil
	}
	return k.bring(shard, key)
}

// current is the breaker of a key that its family has had.
func (k *Keyed) current(key string) *Breaker {
	found, err := k.Get(key)
	if err != nil {
		return k.overflow
	}
	return found
}

// bring makes the breaker of a key that isn't at work, or brings it back.
func (k *Keyed) bring(shard *shard, key string) (*Breaker, error) {
	// Made without the lock, since conditions are the host's own code. They are dropped where one comes back that has its own.
	conditions, err := k.conditions(key)
	if err != nil {
		return nil, err
	}
	defer k.home.hub.deliver()
	shard.lock.Lock()
	defer shard.lock.Unlock()
	if found := shard.breakers[key]; found != nil {
		return found, nil
	}
	// Taken out first, since the one that retires for it may push it out.
	back := k.retired.take(key)
	if !k.countIn() && !k.retireOne(shard) && !k.retireElsewhere(shard) {
		k.retired.put(back, &k.settings)
		return k.overflow, nil
	}
	made := k.newBreaker(key, k.name+"/"+key, conditions)
	var saved *core.Saved
	if back != nil {
		saved, made.conditions = back.saved, back.conditions
		// Before its snapshot was taken it can't be called.
		made.leased.see(back.saved.At)
		made.tripCount.Store(back.tripCount)
	}
	cell := k.place(shard, made, saved)
	if cell == nil {
		k.live.Add(-1)
		k.retired.put(back, &k.settings)
		return k.overflow, nil
	}
	made.cell = cell
	k.meters.appeared(Closed)
	shard.breakers[key] = made
	return made, nil
}

// List is every key at work, in order.
func (k *Keyed) List() []string {
	var keys []string
	k.each(func(b *Breaker) { keys = append(keys, b.key) })
	slices.Sort(keys)
	return keys
}

// each shows every breaker at work, the overflow breaker not among them. A shard is locked meanwhile.
func (k *Keyed) each(show func(*Breaker)) {
	for i := range k.shards {
		shard := &k.shards[i]
		shard.lock.Lock()
		for _, breaker := range shard.breakers {
			show(breaker)
		}
		shard.lock.Unlock()
	}
}

func (k *Keyed) catchUp() {
	waiting := []*Breaker{k.overflow}
	k.each(func(b *Breaker) {
		if b.leased.isWaiting() {
			waiting = append(waiting, b)
		}
	})
	for _, breaker := range waiting {
		breaker.catchUp()
	}
}
