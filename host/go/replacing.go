// Hot upgrades: another breaker component in the place of the one at work.

package softfuse

import (
	"cmp"
	"os"
	"slices"
	"time"

	"softfuse.dev/softfuse/internal/core"
)

// ReplaceReport is what a hot upgrade of the component did with the breakers that were at work, by their names, in order.
type ReplaceReport struct {
	// Restored came along with their state.
	Restored []string
	// Refused are those whose state the new component refuses. With its next call each comes back from the last snapshot that the registry
	// keeps of it, where the new component takes that; else it starts afresh.
	Refused []RefusedBreaker
	// Lost are those whose state the old component didn't give, since it failed at that. They too come back from their last snapshots; what
	// they have recorded since is lost.
	Lost []string
}

// RefusedBreaker is a breaker that a hot upgrade of the component didn't bring along.
type RefusedBreaker struct {
	// Name is its name, Reason what the new component says.
	Name, Reason string
}

// ReplaceComponent puts another breaker component in the place of the one at work, as [WithComponent] takes one: a newer build, one of your
// own. Every breaker comes along as it is, of keyed families too, and so do the permits of calls that are under way, but for those that the
// report names otherwise; events tell how those come back. Calls that want the component wait meanwhile. What breakers take of an
// instance is what the new one says: that of breakers which are there, and which come later. A keyed family for whose LiveMax it has no room
// any more has as many at work as there is room for: closed ones retire for those that come.
//
// The error is for one that can't be loaded, or a [*ComponentError] for one that doesn't start, has no room for the breakers (the error
// says what memoryBytesMax must be at least), or fails at taking them over. The old one is at work still then, in all instances.
func (r *Registry) ReplaceComponent(name string, component []byte, deadline time.Duration, memoryBytesMax int) (*ReplaceReport, error) {
	o := &options{cacheDir: r.cacheDir}
	if err := WithComponent(name, component, deadline, memoryBytesMax)(o); err != nil {
		return nil, err
	}
	compiled, err := o.compile()
	if err != nil {
		return nil, err
	}
	// Held meanwhile, so that no family is made of the old one while the others change over.
	r.lock.Lock()
	defer r.lock.Unlock()
	var all []*core.Slots
	for _, held := range r.homes {
		if found := held.Value(); found != nil {
			all = append(all, found.slots)
		}
	}
	replaced, failure := core.Replace(all, compiled)
	if failure != nil {
		_ = compiled.Close()
		return nil, asError(failure)
	}
	// No instance of it is left.
	if r.owned {
		_ = r.component.Close()
	}
	r.component, r.owned = compiled, true
	report := &ReplaceReport{Restored: replaced.Restored, Lost: replaced.Lost}
	for _, one := range replaced.Refused {
		refused := RefusedBreaker{Name: one.Name}
		if one.Snapshot != nil {
			refused.Reason = restoreError(one.Name, one.Snapshot).Text
		} else {
			refused.Reason = one.Policy.Text
		}
		report.Refused = append(report.Refused, refused)
	}
	slices.Sort(report.Restored)
	slices.Sort(report.Lost)
	slices.SortFunc(report.Refused, func(a, b RefusedBreaker) int { return cmp.Compare(a.Name, b.Name) })
	return report, nil
}

// ReplaceComponentFile is [Registry.ReplaceComponent] from a file.
func (r *Registry) ReplaceComponentFile(path string, deadline time.Duration, memoryBytesMax int) (*ReplaceReport, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return r.ReplaceComponent(path, bytes, deadline, memoryBytesMax)
}
