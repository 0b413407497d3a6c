// A registry's settings, each with its default and its bound.

package softfuse

import (
	_ "embed" // The breaker component is part of the package.
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"
	"weak"

	"softfuse.dev/softfuse/internal/core"
)

//go:embed internal/component/breaker.wasm
var breakerComponent []byte

const (
	// instancesMax is how many instances of the component a registry or a keyed family may have.
	instancesMax = 256
	// deadlineMax is the longest that a component of the user's own may take for one call.
	deadlineMax = 5 * time.Second
	// outputBytesMax is the longest answer of the component that is taken: a snapshot, of windows in full.
	outputBytesMax = 128 << 20
	// memoryBytesDefault is what one instance of the component may have.
	memoryBytesDefault = 256 << 20
)

// embedded is the component that comes with the package. It is known to end, so that it has no deadline: looking after one costs
// twenty times what a call does.
var embedded = core.CompileOnce("softfuse-breaker", breakerComponent, core.Bounds{MemoryBytesMax: memoryBytesDefault, OutputBytesMax: outputBytesMax})

// RestSettings say when a component that fails again and again is let rest: after FailuresMax failures within Within, for Rest at
// first and twice as long each time, up to RestMax. Meanwhile calls are admitted or refused as the failure mode says.
type RestSettings struct {
	FailuresMax           int
	Within, Rest, RestMax time.Duration
}

// Option is a setting of a [Registry].
type Option func(*options) error

type options struct {
	clock            Clock
	salt             *uint64
	failureMode      FailureMode
	snapshotEvery    uint64
	snapshotInterval time.Duration
	leaseAfter       uint32
	eventCapacity    int
	instances        int
	memoryBytesMax   int
	deadline         time.Duration
	rest             RestSettings
	callbacks        []func(Event)
	logger           *slog.Logger
	classifier       Classifier
	componentName    string
	component        []byte
	cacheDir         string
}

// WithClock sets the clock. Default: the system's monotonic clock.
func WithClock(clock Clock) Option {
	return func(o *options) error {
		o.clock = clock
		return nil
	}
}

// WithSalt seeds the jitter beside a policy's seed and a breaker's name, so that replicas differ. Default: a number of this registry's
// own, so that a run can be repeated only where it is set.
func WithSalt(salt uint64) Option {
	return func(o *options) error {
		o.salt = &salt
		return nil
	}
}

// WithFailureMode says what happens to calls while the component fails. Default: [FailOpen].
func WithFailureMode(mode FailureMode) Option {
	return func(o *options) error {
		o.failureMode = mode
		return nil
	}
}

// WithSnapshots says after how many records of a breaker a snapshot of it is taken, besides the one after each change of its state,
// and how long, at least, lies between two of them: what comes meanwhile can be lost when the component fails. Default: 256 records,
// at least 1; 1 s.
func WithSnapshots(records uint64, interval time.Duration) Option {
	return func(o *options) error {
		if interval < 0 {
			return fmt.Errorf("the interval of snapshots is %v, and may be 0 or more", interval)
		}
		o.snapshotEvery, o.snapshotInterval = max(records, 1), interval
		return nil
	}
}

// WithLeaseAfter says after how many calls a breaker is busy enough for a buffer of some KiB for each core, in which benign outcomes
// wait to be recorded together, where the component has said that no decision can depend on them. Default 16; 65,535: never.
func WithLeaseAfter(calls uint16) Option {
	return func(o *options) error {
		o.leaseAfter = uint32(calls)
		return nil
	}
}

// WithEventCapacity says how many events may wait while a callback is slow. Default 1,024; at least 1. Beyond, they are dropped and
// counted.
func WithEventCapacity(events int) Option {
	return func(o *options) error {
		o.eventCapacity = max(events, 1)
		return nil
	}
}

// WithInstances says over how many instances of the component the named breakers are spread, and as many for each keyed family:
// breakers of different instances are asked at the same time, and one that fails leaves the others alone. Default: as many as there
// are processors; 1 to 256. Each is made when its first breaker is used.
func WithInstances(instances int) Option {
	return func(o *options) error {
		if instances < 1 || instances > instancesMax {
			return fmt.Errorf("%d instances of the component, and there may be 1 to %d", instances, instancesMax)
		}
		o.instances = instances
		return nil
	}
}

// WithRest says when a component that fails again and again is let rest. Default: 5 failures within 60 s, for 1 s at first, up to
// 5 min.
func WithRest(rest RestSettings) Option {
	return func(o *options) error {
		if rest.FailuresMax < 1 || rest.Within < 0 || rest.Rest <= 0 || rest.RestMax < rest.Rest {
			return fmt.Errorf("%+v: there must be 1 failure or more, a rest, and a longest rest that isn't shorter", rest)
		}
		o.rest = rest
		return nil
	}
}

// WithOnEvent calls back with every event; see [OnStateChange] for when and where.
func WithOnEvent(callback func(Event)) Option {
	return func(o *options) error {
		o.callbacks = append(o.callbacks, callback)
		return nil
	}
}

// WithLogger has every event logged. Default: nothing is.
func WithLogger(logger *slog.Logger) Option {
	return func(o *options) error {
		o.logger = logger
		return nil
	}
}

// WithDefaultClassifier says what the errors of calls count as, for breakers that have no classifier of their own.
func WithDefaultClassifier(classifier Classifier) Option {
	return func(o *options) error {
		o.classifier = classifier
		return nil
	}
}

// WithComponent has a breaker component in the place of the one that comes with the package: a newer build, one of your own. Since it
// may do anything, each call of it has a deadline (10 ms to 5 s) and its instances memory of their own, and it is slower by some
// microseconds a call.
func WithComponent(name string, component []byte, deadline time.Duration, memoryBytesMax int) Option {
	return func(o *options) error {
		o.componentName, o.component = name, component
		o.deadline = min(max(deadline, 10*time.Millisecond), deadlineMax)
		if memoryBytesMax < 1<<20 || memoryBytesMax > 4<<30-1 {
			return fmt.Errorf("%d bytes of memory for an instance of the component, and it may be 1 MiB to 4 GiB", memoryBytesMax)
		}
		o.memoryBytesMax = memoryBytesMax
		return nil
	}
}

// WithComponentFile is [WithComponent] from a file.
func WithComponentFile(path string, deadline time.Duration, memoryBytesMax int) Option {
	return func(o *options) error {
		bytes, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return WithComponent(path, bytes, deadline, memoryBytesMax)(o)
	}
}

// WithCacheDir keeps compiled code in a folder, which is made where it isn't there: the first process takes some 0.2 s to compile the
// component, those after it some ms. Who may write there may run code in this process. Default: nothing is kept.
func WithCacheDir(path string) Option {
	return func(o *options) error {
		if path == "" {
			return errors.New("the folder for compiled code has an empty path")
		}
		o.cacheDir = path
		return nil
	}
}

// New makes a registry.
func New(settings ...Option) (*Registry, error) {
	o := &options{
		snapshotEvery: 256, snapshotInterval: time.Second, leaseAfter: 16, eventCapacity: 1024,
		instances: min(runtime.GOMAXPROCS(0), instancesMax),
		rest:      RestSettings{FailuresMax: 5, Within: time.Minute, Rest: time.Second, RestMax: 5 * time.Minute},
	}
	for _, setting := range settings {
		if err := setting(o); err != nil {
			return nil, fmt.Errorf("a registry's settings: %w", err)
		}
	}
	component, err := o.compile()
	if err != nil {
		return nil, err
	}
	cores := runtime.GOMAXPROCS(0)
	s := &shared{
		clock: o.clock, failureMode: o.failureMode, snapshotEvery: o.snapshotEvery, snapshotInterval: o.snapshotInterval,
		leaseAfter: o.leaseAfter, stripes: 1, classifier: o.classifier, salt: rand.Uint64(),
	}
	if o.clock == nil {
		s.system = &systemClock{origin: time.Now().Add(-1)}
		// By a clock that may run backwards all goroutines of a breaker must see the latest time of each other.
		s.stripes = cores
	}
	if o.salt != nil {
		s.salt = *o.salt
	}
	s.hub.capacity, s.hub.callbacks, s.hub.logger = o.eventCapacity, o.callbacks, o.logger
	s.metrics.cores = cores
	r := &Registry{
		instances: o.instances, rest: o.rest, component: component, cacheDir: o.cacheDir, owned: o.component != nil || o.cacheDir != "",
		breakers: map[string]*Breaker{}, families: map[string]*Keyed{},
	}
	r.home = r.newHome(s, breakersMax)
	return r, nil
}

func (o *options) compile() (*core.Compiled, error) {
	if o.component == nil && o.cacheDir == "" {
		return embedded()
	}
	bounds := core.Bounds{Deadline: o.deadline, MemoryBytesMax: o.memoryBytesMax, OutputBytesMax: outputBytesMax, CacheDir: o.cacheDir}
	if o.component == nil {
		bounds.MemoryBytesMax = memoryBytesDefault
		return core.Compile("softfuse-breaker", breakerComponent, bounds)
	}
	return core.Compile(o.componentName, o.component, bounds)
}

// newHome is one with instances of its own, that lends so many buffers at once. The caller holds the registry's lock, or made it.
func (r *Registry) newHome(s *shared, lentMax int) *home {
	made := &home{shared: s, slots: core.NewSlots(r.component, r.instances, s.caughtNow, core.RestSettings(r.rest), &s.metrics.component)}
	made.lendings.max = int64(lentMax)
	r.homes = slices.DeleteFunc(r.homes, func(held weak.Pointer[home]) bool { return held.Value() == nil })
	r.homes = append(r.homes, weak.Make(made))
	return made
}
