// The shared vectors: timelines of a policy, steps, and what is expected. `tests/vectors/README.md` explains the format.

// Package tests holds the Go host to what all hosts share: the vectors, the contracts, the README, and its installation. It is a
// module of its own, so that the package's users needn't know what its tests need.
package tests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/BurntSushi/toml"
)

// repo is the repository's root: where this module lies in it, or where it is said to be.
func repo(t testing.TB) string {
	t.Helper()
	root := os.Getenv("SOFTFUSE_REPO")
	if root == "" {
		root = filepath.Join("..", "..", "..")
	}
	if _, err := os.Stat(filepath.Join(root, "wit", "breaker", "breaker.wit")); err != nil {
		t.Fatalf("these tests need the repository, and it isn't at %s: set SOFTFUSE_REPO to its root", root)
	}
	return root
}

type vectorFile struct {
	Vector []*vector `toml:"vector"`
}

type vector struct {
	Name   string `toml:"name"`
	Holds  string `toml:"holds"`
	Policy string `toml:"policy"`
	Steps  []step `toml:"steps"`
	file   string
}

type step struct {
	Do           string         `toml:"do"`
	AtMs         *uint64        `toml:"at_ms"`
	AtNs         uint64         `toml:"at_ns"`
	Times        *uint32        `toml:"times"`
	EveryMs      uint64         `toml:"every_ms"`
	Permit       string         `toml:"permit"`
	PermitBits   *uint64        `toml:"permit_bits"`
	Outcome      string         `toml:"outcome"`
	LatencyMs    *uint64        `toml:"latency_ms"`
	LatencyNs    uint64         `toml:"latency_ns"`
	Score        *float64       `toml:"score"`
	Pending      bool           `toml:"pending"`
	RetryAfterMs *uint64        `toml:"retry_after_ms"`
	Verdicts     []string       `toml:"verdicts"`
	Operator     string         `toml:"operator"`
	Reason       *string        `toml:"reason"`
	OpenForMs    *uint64        `toml:"open_for_ms"`
	AwayMs       uint64         `toml:"away_ms"`
	ClockMs      *uint64        `toml:"clock_ms"`
	Expect       map[string]any `toml:"expect"`
	State        string         `toml:"state"`
}

// ending is how a call ends, for a subject to record.
type ending struct {
	kind       string
	latency    uint64
	score      *float64
	pending    bool
	retryAfter *uint64
	verdicts   []string
}

// seen is what an operation answered, by the vectors' names: nil where it isn't there.
type seen map[string]any

// subject is one breaker of one host, behind the operations of the contract. Times are nanoseconds of its clock.
type subject interface {
	before(now uint64) seen
	settle(permit uint64, ending *ending, now uint64) seen
	report(permit uint64, score *float64, now uint64) seen
	wouldRefuse(now uint64) seen
	status(now uint64) seen
	reset(now uint64) seen
	operator(state string, now uint64) seen
	trip(reason string, openFor *uint64, now uint64) seen
	reincarnate(now, then, away uint64)
}

const ms = 1_000_000

// free are keys whose tables are read by whoever uses them.
var free = []string{"expect", "answer", "request", "score"}

// decode reads a file whose every key is known.
func decode(t testing.TB, path string, into any) {
	t.Helper()
	meta, err := toml.DecodeFile(path, into)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, key := range meta.Undecoded() {
		// What may be a table or not, and what is expected, is looked at key by key when it is used; the library takes its keys for unknown.
		if slices.ContainsFunc(key[:len(key)-1], func(part string) bool { return slices.Contains(free, part) }) {
			continue
		}
		t.Fatalf("%s: unknown key `%s`", path, key)
	}
}

// sharedVectorFiles are the repository's.
func sharedVectorFiles(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repo(t), "tests", "vectors", "*.toml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	return slices.DeleteFunc(paths, func(path string) bool { return filepath.Base(path) == "policies.toml" })
}

// vectorFiles are the repository's, and those that SOFTFUSE_VECTORS names, which hold what a host answers its users.
func vectorFiles(t testing.TB) []string {
	t.Helper()
	paths := sharedVectorFiles(t)
	if more := os.Getenv("SOFTFUSE_VECTORS"); more != "" {
		paths = append(paths, filepath.SplitList(more)...)
	}
	return paths
}

func loadVectors(t testing.TB, paths []string) []*vector {
	t.Helper()
	var all []*vector
	names := map[string]string{}
	for _, path := range paths {
		var file vectorFile
		decode(t, path, &file)
		for _, one := range file.Vector {
			one.file = filepath.Base(path)
			if before, twice := names[one.Name]; twice {
				t.Fatalf("two vectors are named `%s`, in %s and %s", one.Name, before, one.file)
			}
			names[one.Name] = one.file
			if err := one.check(); err != nil {
				t.Fatalf("%s: `%s`: %v", one.file, one.Name, err)
			}
			all = append(all, one)
		}
	}
	return all
}

// check refuses what would check nothing.
func (v *vector) check() error {
	checks := false
	for i, one := range v.Steps {
		if one.Times != nil && *one.Times == 0 {
			return fmt.Errorf("step %d: `times` is 0: nothing would happen", i+1)
		}
		if one.Expect != nil && one.Do == "" {
			return fmt.Errorf("step %d: `expect` without `do`: there is no answer to look at", i+1)
		}
		checks = checks || one.Expect != nil || one.State != ""
	}
	if !checks {
		return fmt.Errorf("it expects nothing")
	}
	return nil
}

// isRaw says whether it speaks the contract itself, which hosts whose permits are values can't.
func (v *vector) isRaw() bool { return v.file == "contract.toml" }

type timeline struct {
	now     uint64
	permits map[string]uint64
	subject subject
}

func (v *vector) run(of subject) error {
	line := &timeline{permits: map[string]uint64{}, subject: of}
	for i := range v.Steps {
		if err := line.step(&v.Steps[i]); err != nil {
			return fmt.Errorf("%s: `%s`, step %d (holds: %s): %w", v.file, v.Name, i+1, v.Holds, err)
		}
	}
	return nil
}

func (l *timeline) step(s *step) error {
	if s.AtMs != nil {
		l.now = *s.AtMs * ms
	}
	l.now += s.AtNs
	times := uint32(1)
	if s.Times != nil {
		times = *s.Times
	}
	for turn := range times {
		if turn > 0 {
			l.now += s.EveryMs * ms
		}
		if s.Do != "" {
			if err := l.act(s); err != nil {
				return fmt.Errorf("turn %d: %w", turn+1, err)
			}
		}
	}
	if s.State != "" {
		if found := l.subject.status(l.now)["state"]; found != s.State {
			return fmt.Errorf("expected the state %s, found %v", s.State, found)
		}
	}
	return nil
}

func (s *step) ending() *ending {
	made := &ending{kind: s.Outcome, score: s.Score, pending: s.Pending && s.Score == nil, verdicts: s.Verdicts, latency: s.LatencyNs}
	if made.kind == "" {
		made.kind = "success"
	}
	switch {
	case s.LatencyMs != nil:
		made.latency += *s.LatencyMs * ms
	case s.LatencyNs == 0:
		made.latency = 10 * ms
	}
	if s.RetryAfterMs != nil {
		span := *s.RetryAfterMs * ms
		made.retryAfter = &span
	}
	return made
}

func (l *timeline) permit(s *step) (uint64, error) {
	if s.Permit != "" {
		if found, ok := l.permits[s.Permit]; ok {
			return found, nil
		}
		return 0, fmt.Errorf("no permit `%s` was given", s.Permit)
	}
	if s.PermitBits != nil {
		return *s.PermitBits, nil
	}
	return 0, fmt.Errorf("the step names no permit")
}

func (l *timeline) act(s *step) error {
	now := l.now
	var found seen
	switch s.Do {
	case "before":
		found = l.subject.before(now)
		if permit, ok := found["permit"].(uint64); ok && s.Permit != "" {
			l.permits[s.Permit] = permit
		}
	case "settle", "report", "missing":
		permit, err := l.permit(s)
		if err != nil {
			return err
		}
		switch {
		case s.Do == "settle":
			found = l.subject.settle(permit, s.ending(), now)
		case s.Do == "missing":
			found = l.subject.report(permit, nil, now)
		case s.Score == nil:
			return fmt.Errorf("`report` needs a score")
		default:
			found = l.subject.report(permit, s.Score, now)
		}
	case "call":
		before := l.subject.before(now)
		permit, ok := before["permit"].(uint64)
		if !ok {
			return fmt.Errorf("the call was refused: %v", before)
		}
		found = l.subject.settle(permit, s.ending(), now)
	case "would-refuse":
		found = l.subject.wouldRefuse(now)
	case "status":
		return expect(s, l.subject.status(now))
	case "reset":
		found = l.subject.reset(now)
	case "operator":
		found = l.subject.operator(s.Operator, now)
	case "trip":
		reason := "why"
		if s.Reason != nil {
			reason = *s.Reason
		}
		var openFor *uint64
		if s.OpenForMs != nil {
			span := *s.OpenForMs * ms
			openFor = &span
		}
		found = l.subject.trip(reason, openFor, now)
	case "reincarnate":
		if s.ClockMs != nil {
			l.now = *s.ClockMs * ms
		}
		l.subject.reincarnate(now, l.now, s.AwayMs*ms)
		found = seen{}
	default:
		return fmt.Errorf("there is no action `%s`", s.Do)
	}
	for _, key := range []string{"admitted", "permit", "state", "retry_after_ns", "trip_count", "reason", "effect", "error", "event"} {
		if _, there := found[key]; !there {
			found[key] = nil
		}
	}
	// The contract refuses a stale score as an error; a host's user is told of an effect, since it is no mistake.
	found["late"] = found["error"]
	if found["error"] == nil {
		found["late"] = found["effect"]
	}
	return expect(s, found)
}

func expect(s *step, found seen) error {
	if s.Expect == nil {
		return nil
	}
	if err := sameKeys(s.Expect, found); err != nil {
		return fmt.Errorf("%w, of %v", err, found)
	}
	return nil
}

func sameKeys(expected map[string]any, found seen) error {
	for key, value := range expected {
		of, there := found[key]
		if !there {
			return fmt.Errorf("there is no key `%s` to expect; the keys are %v", key, slices.Sorted(maps.Keys(found)))
		}
		if err := same(value, of); err != nil {
			return fmt.Errorf("`%s`: %w", key, err)
		}
	}
	return nil
}

// same says whether what was found has all that is expected. `false` stands for what isn't there, too.
func same(expected, found any) error {
	ok := false
	switch expected := expected.(type) {
	case map[string]any:
		if table, is := found.(seen); is {
			return sameKeys(expected, table)
		}
	case []map[string]any:
		if list, is := found.([]any); is && len(list) == len(expected) {
			for i := range expected {
				if err := same(expected[i], list[i]); err != nil {
					return err
				}
			}
			return nil
		}
	case []any:
		if list, is := found.([]any); is && len(list) == len(expected) {
			for i := range expected {
				if err := same(expected[i], list[i]); err != nil {
					return err
				}
			}
			return nil
		}
	case bool:
		ok = found == expected || found == nil && !expected
	case string:
		ok = found == expected
	case int64:
		switch found := found.(type) {
		case int64:
			ok = found == expected
		case uint64:
			ok = expected >= 0 && found == uint64(expected)
		}
	case float64:
		ok = found == expected
	}
	if !ok {
		return fmt.Errorf("expected %v (%T), found %v (%T)", expected, expected, found, found)
	}
	return nil
}

func TestEveryVectorLeasedAndEager(t *testing.T) {
	vectors := loadVectors(t, vectorFiles(t))
	for _, leased := range []bool{true, false} {
		made := newHosts(t, leased)
		ran := 0
		for _, one := range vectors {
			if one.isRaw() {
				continue
			}
			ran++
			if err := one.run(made.subject(t, one.Policy)); err != nil {
				t.Errorf("leased: %v: %v", leased, err)
			}
		}
		if ran < 60 {
			t.Errorf("%d vectors: is this the folder?", ran)
		}
		t.Logf("leased: %v: %d vectors ran", leased, ran)
	}
}

func TestEveryVectorByTheContract(t *testing.T) {
	component := newComponent(t)
	ran := 0
	for _, one := range loadVectors(t, sharedVectorFiles(t)) {
		// What a host does before it asks the component, which can't know it.
		if one.file == "hosts.toml" {
			continue
		}
		ran++
		if err := one.run(component.subject(t, one.Policy)); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d vectors ran", ran)
}

// badPolicies are those of policies.toml.
type badPolicies struct {
	Policy []struct {
		Name     string `toml:"name"`
		Text     string `toml:"text"`
		Problems []struct {
			Line    uint32 `toml:"line"`
			Column  uint32 `toml:"column"`
			Key     string `toml:"key"`
			Message string `toml:"message"`
			Nearest string `toml:"nearest"`
		} `toml:"problems"`
	} `toml:"policy"`
}
