// Metrics in the OpenMetrics text format, which Prometheus reads: names and labels as in every host of Softfuse. Nothing but this
// package is needed for it.

package softfuse

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"softfuse.dev/softfuse/internal/core"
)

// MetricsContentType is the content type of [Registry.MetricsText].
const MetricsContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// metrics are all of a registry.
type metrics struct {
	lock      sync.Mutex
	series    map[string]*meters
	component core.Meters
	cores     int
}

// meters are what one breaker counts, or the breakers of one keyed family together.
type meters struct {
	name    string
	tallies *tallies
	// state is a named breaker's.
	state atomic.Uint32
	// keyed is nil for a named breaker; else breakers in each state.
	keyed *[states]atomic.Int64
	lock  sync.Mutex
	// scorers are counts by scorer and, for failures, reason; an empty reason stands for answers that were dropped.
	scorers map[[2]string]uint64
}

func (m *metrics) begin(name string, keyed bool) *meters {
	made := &meters{name: name, tallies: newTallies(m.cores)}
	if keyed {
		made.keyed = new([states]atomic.Int64)
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.series == nil {
		m.series = map[string]*meters{}
	}
	m.series[name] = made
	return made
}

func (m *metrics) end(name string) {
	m.lock.Lock()
	defer m.lock.Unlock()
	delete(m.series, name)
}

func (m *meters) appeared(state State) {
	if m.keyed != nil {
		m.keyed[state].Add(1)
	}
}

func (m *meters) vanished(state State) {
	if m.keyed != nil {
		m.keyed[state].Add(-1)
	}
}

func (m *meters) changed(old, now State, trip bool) {
	if m.keyed != nil {
		m.keyed[old].Add(-1)
		m.keyed[now].Add(1)
	}
	m.state.Store(uint32(now))
	if trip {
		m.tallies.count(countTrips, 1)
	}
}

// scorer counts a failure, or an answer that was dropped, where the reason is empty.
func (m *meters) scorer(scorer, reason string) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.scorers == nil {
		m.scorers = map[[2]string]uint64{}
	}
	m.scorers[[2]string{scorer, reason}]++
}

// exposition writes the text.
type exposition struct {
	out    strings.Builder
	series []*meters
}

var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func (e *exposition) family(name, help, kind string) {
	fmt.Fprintf(&e.out, "# HELP softfuse_%s %s\n# TYPE softfuse_%s %s\n", name, help, name, kind)
}

// sample writes one: labels are names and values in turn.
func (e *exposition) sample(name string, value string, labels ...string) {
	e.out.WriteString("softfuse_" + name)
	for i := 0; i+1 < len(labels); i += 2 {
		open := ","
		if i == 0 {
			open = "{"
		}
		e.out.WriteString(open + labels[i] + `="` + escape.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		e.out.WriteByte('}')
	}
	e.out.WriteString(" " + value + "\n")
}

func number(value uint64) string { return strconv.FormatUint(value, 10) }

func float(value float64) string {
	text := strconv.FormatFloat(value, 'g', -1, 64)
	if !strings.ContainsAny(text, ".eNI") {
		text += ".0"
	}
	return text
}

func (e *exposition) counter(name, help string, of func(*tallies) uint64) {
	e.family(name, help, "counter")
	for _, one := range e.series {
		e.sample(name+"_total", number(of(one.tallies)), "breaker", one.name)
	}
}

func (e *exposition) histogram(name, help string, bounds []float64, of func(*tallies) sampled) {
	e.family(name, help, "histogram")
	for _, one := range e.series {
		samples := of(one.tallies)
		e.sample(name+"_sum", float(samples.sum), "breaker", one.name)
		e.sample(name+"_count", number(samples.count()), "breaker", one.name)
		for i, bound := range bounds {
			e.sample(name+"_bucket", number(samples.buckets[i]), "le", float(bound), "breaker", one.name)
		}
		e.sample(name+"_bucket", number(samples.count()), "le", "+Inf", "breaker", one.name)
	}
}

// MetricsText is all metrics, in the OpenMetrics text format, as [MetricsContentType] says. A keyed family's breakers share one
// `breaker` label, the family's name: a label per tenant would have no bound.
func (r *Registry) MetricsText() string {
	r.catchUp()
	m := &r.home.metrics
	m.lock.Lock()
	names := slices.Sorted(maps.Keys(m.series))
	e := &exposition{}
	for _, name := range names {
		e.series = append(e.series, m.series[name])
	}
	m.lock.Unlock()
	e.family("state", "Where the circuit stands: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics-only.", "gauge")
	for _, one := range e.series {
		if one.keyed == nil {
			e.sample("state", number(uint64(one.state.Load())), "breaker", one.name)
		}
	}
	e.family("keyed_breakers", "Breakers of a keyed family that are in this state.", "gauge")
	for _, one := range e.series {
		for state := range states {
			if one.keyed != nil {
				e.sample("keyed_breakers", strconv.FormatInt(one.keyed[state].Load(), 10), "breaker", one.name, "state", State(state).String())
			}
		}
	}
	e.counter("trip", "Openings, re-openings included.", func(t *tallies) uint64 { return t.counted(countTrips) })
	e.family("call", "Calls by how they ended.", "counter")
	for _, one := range e.series {
		e.sample("call_total", number(one.tallies.successes()), "breaker", one.name, "outcome", "success")
		e.sample("call_total", number(one.tallies.counted(countFailures)), "breaker", one.name, "outcome", "failure")
		e.sample("call_total", number(one.tallies.counted(countNeutral)), "breaker", one.name, "outcome", "neutral")
		e.sample("call_total", number(one.tallies.counted(countRejected)), "breaker", one.name, "outcome", "rejected")
	}
	e.counter("unguarded", "Calls that were admitted without a breaker, since its component had failed.",
		func(t *tallies) uint64 { return t.counted(countUnguarded) })
	e.counter("leased", "Outcomes and late scores that were recorded together, under a lease.",
		func(t *tallies) uint64 { return t.counted(countLeased) })
	e.histogram("quality_score", "Scores of answers.", ScoreBuckets[:], (*tallies).scoreHistogram)
	e.histogram("latency_seconds", "Latencies of settled calls.", LatencyBuckets[:], (*tallies).latencyHistogram)
	e.family("component_failures", "Failures of the breaker component.", "counter")
	failures := m.component.Failures()
	for _, reason := range slices.Sorted(maps.Keys(failures)) {
		e.sample("component_failures_total", number(failures[reason]), "reason", reason)
	}
	e.family("component_restarts", "Restarts of the breaker component.", "counter")
	e.sample("component_restarts_total", number(m.component.Restarts.Load()))
	e.family("records_lost", "Records that a failure of the breaker component lost.", "counter")
	e.sample("records_lost_total", number(m.component.RecordsLost.Load()))
	e.family("events_dropped", "Events that nobody was told of.", "counter")
	e.sample("events_dropped_total", number(r.home.hub.dropped.Load()))
	e.scorers()
	e.out.WriteString("# EOF\n")
	return e.out.String()
}

func (e *exposition) scorers() {
	write := func(name, help string, wanted func(reason string) bool) {
		e.family(name, help, "counter")
		for _, one := range e.series {
			one.lock.Lock()
			found := maps.Clone(one.scorers)
			one.lock.Unlock()
			keys := slices.SortedFunc(maps.Keys(found), func(x, y [2]string) int { return strings.Compare(x[0]+"\x00"+x[1], y[0]+"\x00"+y[1]) })
			for _, key := range keys {
				labels := []string{"breaker", one.name, "scorer", key[0]}
				if key[1] != "" {
					labels = append(labels, "reason", key[1])
				}
				if wanted(key[1]) {
					e.sample(name+"_total", number(found[key]), labels...)
				}
			}
		}
	}
	write("scorer_failures", "Scorers that gave no score.", func(reason string) bool { return reason != "" })
	write("scorer_dropped", "Answers that were not scored.", func(reason string) bool { return reason == "" })
}

// MetricsHandler answers with [Registry.MetricsText].
func (r *Registry) MetricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", MetricsContentType)
		_, _ = w.Write([]byte(r.MetricsText()))
	})
}
