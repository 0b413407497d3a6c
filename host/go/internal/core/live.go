// An instance at work: takes policies and breakers in, from snapshots where there are some.

package core

import (
	"fmt"

	wit "softfuse.dev/softfuse/internal/breakerwit"
)

// policiesMax is how many compiled policies an instance keeps; beyond, the one that was compiled first is compiled again when it is
// needed.
const policiesMax = 256

type live struct {
	instance *Instance
	guest    *wit.Guest
	policies map[uint64]known
	// order is in which they were compiled.
	order []uint64
	// seated are those who sit here, for a hot upgrade.
	seated map[*chair]struct{}
}

// known is a policy that the instance has compiled.
type known struct {
	id wit.PolicyID
	// breakerBytes is what this component says that a breaker of it takes.
	breakerBytes uint64
}

func newLive(component *Compiled) (*live, *Failure) {
	instance, failure := component.Instantiate(component.bounds.Deadline)
	if failure != nil {
		return nil, failed(failure.Reason, "the breaker component: %s", failure.Text)
	}
	guest, err := wit.Bind(instance)
	if err != nil {
		instance.Close()
		return nil, failed(NotStarting, "the breaker component: %v", err)
	}
	return &live{instance: instance, guest: guest, policies: map[uint64]known{}, seated: map[*chair]struct{}{}}, nil
}

// taking is why a breaker got no seat.
type taking struct {
	failure *Failure
	// refused: the component said no, and is at work still.
	refused bool
	// atSnapshot: it failed at the snapshot.
	atSnapshot bool
}

func (l *live) loadPolicy(uid uint64, text string) (wit.PolicyInfo, []wit.PolicyProblem, *Failure) {
	loaded, err := l.guest.LoadPolicy(text)
	if err != nil {
		return wit.PolicyInfo{}, nil, l.instance.Fault(err)
	}
	if !loaded.OK {
		return wit.PolicyInfo{}, loaded.Err, nil
	}
	if _, known := l.policies[uid]; !known {
		if len(l.order) == policiesMax {
			oldest := l.order[0]
			l.order = append(l.order[:0], l.order[1:]...)
			dropped := l.policies[oldest]
			delete(l.policies, oldest)
			if err := l.guest.DropPolicy(dropped.id); err != nil {
				return wit.PolicyInfo{}, nil, l.instance.Fault(err)
			}
		}
		l.order = append(l.order, uid)
	}
	l.policies[uid] = known{id: loaded.Value.ID, breakerBytes: loaded.Value.BreakerBytes}
	return loaded.Value, nil, nil
}

// policy is one that this instance has compiled, for a breaker of this name.
func (l *live) policy(policy *Policy, name string) (known, taking) {
	if found, isKnown := l.policies[policy.UID]; isKnown {
		return found, taking{}
	}
	info, problems, failure := l.loadPolicy(policy.UID, policy.Text)
	if failure != nil {
		return known{}, taking{failure: failure}
	}
	if len(problems) > 0 {
		text := fmt.Sprintf("the breaker component refuses the policy of `%s`: %s", name, problems[0].Message)
		return known{}, taking{failure: failed(PolicyRefused, "%s", text), refused: true}
	}
	return known{id: info.ID, breakerBytes: info.BreakerBytes}, taking{}
}

// take seats a breaker, from its snapshot where there is one that the component takes: its handle, and whether it was.
func (l *live) take(cell *Cell, who *Who, now int64) (id uint32, fromSnapshot bool, why taking) {
	policy, why := l.policy(who.Policy, who.Name)
	if why.failure != nil {
		return 0, false, why
	}
	if cell.saved != nil {
		id, refused, failure := l.restore(policy, cell.saved, now)
		if failure != nil {
			return 0, false, taking{failure: failure, atSnapshot: true}
		}
		if refused == nil {
			return id, true, taking{}
		}
	}
	made, err := l.guest.Create(policy.id, beginning(who.Name, textBytesMax), who.Salt, Nanos(now))
	switch {
	case err != nil:
		return 0, false, taking{failure: l.instance.Fault(err)}
	case made.OK:
		return made.Value, false, taking{}
	case made.Err.Case == wit.CreateErrorUnknownPolicy:
		return 0, false, taking{failure: failed(Nonsense, "the breaker component: a policy that it has just taken is unknown to it")}
	}
	text := made.Err.Other
	if made.Err.Case == wit.CreateErrorTooMany {
		text = fmt.Sprintf("%d exist, and no more can", made.Err.TooMany)
	}
	failure := failed(BreakerRefused, "the breaker component makes no breaker `%s`: %s", who.Name, text)
	return 0, false, taking{failure: failure, refused: true}
}

func (l *live) restore(policy known, saved *Saved, now int64) (uint32, *wit.RestoreError, *Failure) {
	made, err := l.guest.Restore(policy.id, saved.Bytes, Nanos(now), Since(now, saved.At))
	if err != nil {
		return 0, nil, l.instance.Fault(err)
	}
	if !made.OK {
		return 0, &made.Err, nil
	}
	return made.Value, nil, nil
}
