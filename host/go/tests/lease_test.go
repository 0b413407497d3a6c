// The shared vectors of the lease's host half, by the package that keeps leases.

package tests

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"softfuse.dev/softfuse/internal/lease"
)

type leaseFile struct {
	Vector []struct {
		Name  string      `toml:"name"`
		Holds string      `toml:"holds"`
		Steps []leaseStep `toml:"steps"`
	} `toml:"vector"`
}

type leaseStep struct {
	Do           string         `toml:"do"`
	AtNs         uint64         `toml:"at_ns"`
	BackNs       uint64         `toml:"back_ns"`
	Times        *uint32        `toml:"times"`
	EveryNs      uint64         `toml:"every_ns"`
	Permit       *uint64        `toml:"permit"`
	Outcome      string         `toml:"outcome"`
	LatencyNs    uint64         `toml:"latency_ns"`
	Score        *int64         `toml:"score"`
	Pending      bool           `toml:"pending"`
	RetryAfterNs *uint64        `toml:"retry_after_ns"`
	UntilNs      *uint64        `toml:"until_ns"`
	Terms        *leaseTerms    `toml:"terms"`
	Expect       map[string]any `toml:"expect"`
}

type leaseTerms struct {
	Permit       uint64   `toml:"permit"`
	OutcomesMax  uint32   `toml:"outcomes_max"`
	UntilNs      *uint64  `toml:"until_ns"`
	LatencyMaxNs *uint64  `toml:"latency_max_ns"`
	MissingScore *int64   `toml:"missing_score"`
	ScoreSumsMin *[]int64 `toml:"score_sums_min"`
	ScoresRoll   bool     `toml:"scores_roll"`
	ScoresLast   uint32   `toml:"scores_last"`
	Details      []string `toml:"details"`
}

type leaseRun struct {
	lease   *lease.Lease
	now     uint64
	until   *uint64
	details []string
	open    bool
}

func or(value *uint64) uint64 {
	if value == nil {
		return lease.Never
	}
	return *value
}

func (r *leaseRun) step(s *leaseStep) error {
	r.now += s.AtNs - s.BackNs
	times := uint32(1)
	if s.Times != nil {
		times = *s.Times
	}
	for turn := range times {
		if turn > 0 {
			r.now += s.EveryNs
		}
		found, err := r.act(s)
		if err != nil {
			return err
		}
		for key, expected := range s.Expect {
			value, there := found[key]
			if !there {
				return fmt.Errorf("such an answer never has the key `%s`", key)
			}
			if err := sameOf(key, expected, value, r.details); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameOf compares an answer's key. A column that isn't asked for may be handed in whole; of scores the last must be as expected.
func sameOf(key string, expected, found any, details []string) error {
	list, isList := expected.([]any)
	if !isList {
		if err := same(expected, found); err != nil {
			return fmt.Errorf("`%s`: %w", key, err)
		}
		return nil
	}
	values := reflect.ValueOf(found)
	columns := map[string]string{"settled_at_ns": "settled-at", "latencies_ns": "latency"}
	if column, is := columns[key]; is && !slices.Contains(details, column) && values.Len() > 0 {
		return nil
	}
	from := 0
	if key == "scores" && len(list) > 0 && values.Len() > len(list) {
		from = values.Len() - len(list)
	}
	if values.Len()-from != len(list) {
		return fmt.Errorf("`%s`: expected %v, found %v", key, expected, found)
	}
	for i := range list {
		if fmt.Sprint(list[i]) != fmt.Sprint(values.Index(from+i).Interface()) {
			return fmt.Errorf("`%s`: expected %v, found %v", key, expected, found)
		}
	}
	return nil
}

func (r *leaseRun) act(s *leaseStep) (seen, error) {
	switch s.Do {
	case "grant":
		return r.grant(s.Terms), nil
	case "refuse":
		r.until = s.UntilNs
		r.lease.Refuse(or(s.UntilNs))
	case "ask":
		r.lease.Ask()
	case "note":
		r.lease.Note(r.now)
	case "admit":
		answer, permit, at := r.lease.Admit(r.now)
		found := seen{"admit": "ask", "permit": nil, "retry_after_ns": nil}
		switch answer {
		case lease.Admitted:
			found["admit"], found["permit"] = "admitted", permit
		case lease.Refused:
			found["admit"] = "refused"
			if r.until != nil {
				found["retry_after_ns"] = *r.until - at
			}
		}
		return found, nil
	case "settle", "late":
		return r.keep(s)
	case "drain":
		waiting := r.lease.IsWaiting()
		var batch lease.Batch
		r.lease.Take(&batch)
		r.open = false
		return seen{
			"waiting": waiting, "successes": uint64(batch.Successes), "lates": uint64(batch.Lates), "refused": batch.Refused,
			"scores": batch.Scores, "settled_at_ns": batch.SettledAt, "latencies_ns": batch.Latencies, "latest_ns": r.lease.Latest(),
		}, nil
	default:
		return nil, fmt.Errorf("there is no action `%s`", s.Do)
	}
	return seen{}, nil
}

func (r *leaseRun) grant(given *leaseTerms) seen {
	terms := &lease.Terms{
		Permit: given.Permit, OutcomesMax: given.OutcomesMax, Until: or(given.UntilNs), LatencyMax: or(given.LatencyMaxNs),
		ScoresRoll: given.ScoresRoll, ScoresLast: given.ScoresLast, Details: len(given.Details) > 0,
	}
	if given.MissingScore != nil {
		terms.MissingScore, terms.HasMissing = *given.MissingScore, true
	}
	if given.ScoreSumsMin != nil {
		terms.ScoreSumsMin, terms.HasSums = *given.ScoreSumsMin, true
	}
	r.details, r.open = given.Details, given.OutcomesMax > 0
	r.lease.Open(terms)
	return seen{}
}

func (r *leaseRun) keep(s *leaseStep) (seen, error) {
	entry := lease.Entry{Latency: s.LatencyNs, Pending: s.Pending, Late: s.Do == "late"}
	if s.Score != nil {
		entry.Score, entry.HasScore = *s.Score, true
	}
	if entry.Late {
		entry.Latency = 0
	}
	if s.Outcome != "" && s.Outcome != "success" || s.RetryAfterNs != nil {
		// Who keeps outcomes leaves those to the component, since none of them is benign.
		return seen{"kept": false, "together": false}, nil
	}
	_, kept := r.lease.Keep(*s.Permit, r.now, entry)
	together := !kept && !entry.Late && r.open && r.lease.GoesTogether(*s.Permit, max(r.now, r.lease.Latest()), entry.Latency)
	return seen{"kept": kept, "together": together}, nil
}

func TestEveryVectorOfTheLease(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(repo(t), "tests", "vectors", "lease", "*.toml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	names := map[string]bool{}
	for _, path := range paths {
		var file leaseFile
		decode(t, path, &file)
		for _, one := range file.Vector {
			if names[one.Name] {
				t.Errorf("two vectors are named `%s`", one.Name)
			}
			names[one.Name] = true
			if !slices.ContainsFunc(one.Steps, func(s leaseStep) bool { return s.Expect != nil }) {
				t.Errorf("`%s` expects nothing", one.Name)
			}
			// One stripe, as where the clock may run backwards.
			run := &leaseRun{lease: lease.New(1)}
			for i := range one.Steps {
				if err := run.step(&one.Steps[i]); err != nil {
					t.Errorf("`%s`, step %d (holds: %s): %v", one.Name, i+1, one.Holds, err)
					break
				}
			}
		}
	}
	if len(names) < 30 {
		t.Errorf("%d vectors: is this the folder?", len(names))
	}
	t.Logf("%d vectors ran", len(names))
}
