// Breakers by name: made once, shared by everyone who names them.

package softfuse

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"weak"

	"softfuse.dev/softfuse/internal/core"
)

// breakersMax bounds the named breakers of a registry. More would be one per tenant, for which there is [Registry.Keyed].
const breakersMax = 10_000

// Registry makes breakers and keeps them by name. Any number of goroutines may use it.
type Registry struct {
	home      *home
	instances int
	rest      RestSettings
	cacheDir  string

	lock sync.Mutex
	// owned: the component was handed in, and is freed with the registry.
	owned     bool
	component *core.Compiled
	// homes are the registry's own, and those of families that are still held by anybody.
	homes    []weak.Pointer[home]
	breakers map[string]*Breaker
	families map[string]*Keyed
}

// BreakerOption is a setting of one breaker.
type BreakerOption func(*breakerSettings)

type breakerSettings struct {
	conditions Conditions
	onChange   []func(*StateChange)
	classifier Classifier
}

// WithConditions hands in the host's own conditions that the policy names.
func WithConditions(conditions Conditions) BreakerOption {
	return func(s *breakerSettings) { s.conditions = conditions }
}

// OnStateChange calls back with each change of this breaker's state: after the locks are released, in order, one at a time. On the
// goroutine that made the change, or on one of the registry's own where several make some at the same time. A panic of it reaches no
// guarded call.
func OnStateChange(callback func(*StateChange)) BreakerOption {
	return func(s *breakerSettings) { s.onChange = append(s.onChange, callback) }
}

// WithClassifier says what the errors of this breaker's calls count as, in the place of [Classify].
func WithClassifier(classifier Classifier) BreakerOption {
	return func(s *breakerSettings) { s.classifier = classifier }
}

func settingsOf(options []BreakerOption) *breakerSettings {
	made := &breakerSettings{}
	for _, option := range options {
		option(made)
	}
	return made
}

func (s *breakerSettings) callback() func(*StateChange) {
	callbacks := s.onChange
	switch len(callbacks) {
	case 0:
		return nil
	case 1:
		return callbacks[0]
	}
	return func(change *StateChange) {
		for _, callback := range callbacks {
			callback(change)
		}
	}
}

// Breaker is the breaker of this name: the one that exists, or a new one. Two users of one name share one breaker. Where it exists
// already it has its options, and these are dropped. The error is a [*PolicyDiffersError] where it exists with a policy of another
// meaning.
func (r *Registry) Breaker(name string, policy *Policy, options ...BreakerOption) (*Breaker, error) {
	if found, err := r.existing(name, policy); found != nil || err != nil {
		return found, err
	}
	settings := settingsOf(options)
	// Matched without the lock, since conditions are the host's own code.
	conditions, err := hold(name, policy, settings.conditions)
	if err != nil {
		return nil, err
	}
	return r.insert(name, policy, settings, conditions, nil)
}

func (r *Registry) existing(name string, policy *Policy) (*Breaker, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.existingLocked(name, policy)
}

func (r *Registry) existingLocked(name string, policy *Policy) (*Breaker, error) {
	if r.families[name] != nil {
		return nil, fmt.Errorf("the keyed family `%s`: %w", name, ErrNameTaken)
	}
	found := r.breakers[name]
	if found != nil && found.policy.Fingerprint() != policy.Fingerprint() {
		return nil, &PolicyDiffersError{Breaker: name, Existing: found.policy.Source(), Requested: policy.Source()}
	}
	return found, nil
}

// insert makes a breaker, unless another goroutine was first.
func (r *Registry) insert(name string, policy *Policy, settings *breakerSettings, conditions []heldCondition, saved *core.Saved) (*Breaker, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	switch found, err := r.existingLocked(name, policy); {
	case err != nil:
		return nil, err
	case found != nil && saved != nil:
		return nil, fmt.Errorf("the breaker `%s`: %w", name, ErrNameTaken)
	case found != nil:
		return found, nil
	}
	if len(r.breakers) >= breakersMax {
		return nil, fmt.Errorf("no breaker `%s`: %d named breakers exist, and no more can (for one per tenant, use Registry.Keyed)",
			name, breakersMax)
	}
	made := r.home.newBreaker(name, policy, r.home.metrics.begin(name, false), settings, conditions)
	cell, no := r.home.slots.Place(&made.who, saved)
	if no != nil {
		r.home.metrics.end(name)
		return nil, noRoom(name, len(r.breakers)+1, no)
	}
	made.cell = cell
	made.meters.appeared(Closed)
	r.breakers[name] = made
	return made, nil
}

// newBreaker is one without a place in the component yet.
func (h *home) newBreaker(name string, policy *Policy, meters *meters, settings *breakerSettings, conditions []heldCondition) *Breaker {
	made := &Breaker{
		home: h, system: h.system, meters: meters, policy: policy, name: name, conditions: conditions, onChange: settings.callback(), classifier: h.classifier,
		who: core.Who{Policy: policy.core, Name: name, Salt: h.salt},
	}
	if settings.classifier != nil {
		made.classifier = settings.classifier
	}
	made.unscored = !policy.UsesScores() && !policy.RequiresQualitySignal() && len(policy.core.Info.HostConditions) == 0
	return made
}

// Restore makes a breaker from the snapshot of one, of another process perhaps. `away` is the time since the snapshot was taken, by
// the wall clock. The snapshot is tried in an instance of the component of its own, so that it harms no breaker. The error is a
// [*RestoreError] where it is refused, and is [ErrNameTaken] where the name is taken.
func (r *Registry) Restore(name string, policy *Policy, snapshot []byte, away time.Duration, options ...BreakerOption) (*Breaker, error) {
	if found, err := r.existing(name, policy); err != nil || found != nil {
		return nil, fmt.Errorf("the breaker `%s`: %w", name, ErrNameTaken)
	}
	if most := r.home.slots.SnapshotBytesMax(policy.core); uint64(len(snapshot)) > most {
		return nil, &RestoreError{Breaker: name, Reason: "too-long",
			Text: fmt.Sprintf("it has %d bytes, and what Breaker.Snapshot gives under this policy has at most %d", len(snapshot), most)}
	}
	settings := settingsOf(options)
	conditions, err := hold(name, policy, settings.conditions)
	if err != nil {
		return nil, err
	}
	now := r.home.now()
	saved := &core.Saved{Bytes: slices.Clone(snapshot), At: now - int64(min(max(away, 0), 1<<62))}
	refused, failure := r.home.slots.TryRestore(&core.Who{Policy: policy.core, Name: name, Salt: r.home.salt}, saved, now)
	if failure != nil {
		return nil, &RestoreError{Breaker: name, Reason: "failed", Text: failure.Text + "; hand in the bytes that Breaker.Snapshot gave, unchanged"}
	}
	if refused != nil {
		return nil, restoreError(name, refused)
	}
	made, err := r.insert(name, policy, settings, conditions, saved)
	if err != nil {
		return nil, err
	}
	// Without the lock, since a callback may want it.
	if failure := made.learn(now); failure != nil {
		r.Remove(name)
		return nil, asError(failure)
	}
	return made, nil
}

// Get is the breaker of this name; nil where there is none.
func (r *Registry) Get(name string) *Breaker {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.breakers[name]
}

// List is every named breaker, by name; those of keyed families not among them.
func (r *Registry) List() []*Breaker {
	r.lock.Lock()
	defer r.lock.Unlock()
	var all []*Breaker
	for _, name := range slices.Sorted(maps.Keys(r.breakers)) {
		all = append(all, r.breakers[name])
	}
	return all
}

// ListKeyed is every keyed family, by name.
func (r *Registry) ListKeyed() []*Keyed {
	r.lock.Lock()
	defer r.lock.Unlock()
	var all []*Keyed
	for _, name := range slices.Sorted(maps.Keys(r.families)) {
		all = append(all, r.families[name])
	}
	return all
}

// Remove forgets a breaker or a family: its name is free, and its metrics end. Who holds it goes on using it. Whether there was one.
func (r *Registry) Remove(name string) bool {
	r.lock.Lock()
	breaker, family := r.breakers[name], r.families[name]
	delete(r.breakers, name)
	delete(r.families, name)
	if breaker != nil || family != nil {
		r.home.metrics.end(name)
	}
	r.lock.Unlock()
	if breaker != nil {
		// Without the lock, since a callback may want it.
		breaker.forget()
	}
	return breaker != nil || family != nil
}

// ResetAll resets every named breaker. The error is the first of a component's failures; the breakers before it are reset.
func (r *Registry) ResetAll() error {
	for _, breaker := range r.List() {
		if _, err := breaker.Reset(); err != nil {
			return err
		}
	}
	return nil
}

// OnEvent calls back with every event; see [OnStateChange] for when and where.
func (r *Registry) OnEvent(callback func(Event)) { r.home.hub.onEvent(callback) }

// Now is the registry's clock.
func (r *Registry) Now() time.Duration { return time.Duration(r.home.now()) }

// catchUp hands the component what it doesn't know of yet.
func (r *Registry) catchUp() {
	for _, breaker := range r.List() {
		breaker.catchUp()
	}
	for _, family := range r.ListKeyed() {
		family.catchUp()
	}
}

// Close frees the instances of the component. Breakers that are used after it come back from their last snapshots.
func (r *Registry) Close() error {
	r.catchUp()
	r.home.slots.Close()
	for _, family := range r.ListKeyed() {
		family.home.slots.Close()
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.owned {
		return r.component.Close()
	}
	return nil
}

// forget gives up the room that the breaker has. Who holds it goes on using it: it comes back as after a failure, from its last
// snapshot, but takes up no room that is accounted for.
func (b *Breaker) forget() {
	b.lock.Lock()
	defer b.publish()
	now := b.leased.with(b.home.now())
	// Nothing is lost where the component answers.
	_, _ = b.operateLocked(asked{}, now, saveOperation)
	b.loseLeased()
	b.cell.Slot().Leave(b.cell)
}
