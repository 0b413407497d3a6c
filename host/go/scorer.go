// Scorers: components that say how good an answer is, each in a sandbox. One that loops, traps, eats memory or returns nonsense gives
// no score, and harms nothing else.

package softfuse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"softfuse.dev/softfuse/internal/core"
	wit "softfuse.dev/softfuse/internal/scorerwit"
	"softfuse.dev/softfuse/internal/wasm"
)

// Body is a request's or an answer's content.
type Body struct {
	// ContentType is a media type, as in `application/json`; empty where it is not known.
	ContentType string
	// Bytes are the content.
	Bytes []byte
	// Truncated says whether it was cut at a bound.
	Truncated bool
}

// Exchange is one call and its answer, as a scorer is shown it.
type Exchange struct {
	// Operation is what was asked for, in the host's terms: `chat`, `embeddings`, `classify`.
	Operation string
	// Model is its name, empty where it is not known.
	Model string
	// Request is what was asked, Answer what came.
	Request, Answer Body
	// Metadata is whatever else the host knows, by name, in order: headers, a tenant, a reference answer.
	Metadata [][2]string
}

func (e *Exchange) wit(bytesMax int) wit.Exchange {
	body := func(b Body) wit.Body {
		kept := b.Bytes[:min(len(b.Bytes), bytesMax)]
		return wit.Body{ContentType: b.ContentType, Bytes: kept, Truncated: b.Truncated || len(kept) < len(b.Bytes)}
	}
	made := wit.Exchange{
		Head:   wit.ExchangeHead{Operation: e.Operation, Model: e.Model, Request: body(e.Request)},
		Answer: body(e.Answer),
	}
	for _, one := range e.Metadata {
		made.Head.Metadata = append(made.Head.Metadata, wit.TupleStringString{F0: one[0], F1: one[1]})
	}
	return made
}

// ScorerSettings say how a scorer is run. The zero value means the defaults.
type ScorerSettings struct {
	// Config is its configuration, in a format of its own, TOML in those that come with Softfuse. Empty: its defaults.
	Config string
	// Deadline is how long it may take for one answer. Default 1 s, at most an hour.
	Deadline time.Duration
	// StartDeadline is how long it may take to start and to read its configuration. Default 10 s, at most an hour.
	StartDeadline time.Duration
	// MemoryBytesMax is what one instance may have. Default 256 MiB; whole pages of 64 KiB. Its stack, up to 400 MB while it recurses
	// without an end, comes on top.
	MemoryBytesMax int
	// OutputBytesMax is what it may hand over in one call: its verdict's text, say. Default 1 MiB.
	OutputBytesMax int
	// InputBytesMax is what it is shown of a request, and of an answer. Default 1 MiB. The rest is cut, and the scorer is told so.
	InputBytesMax int
	// InstancesMax is how many answers are scored at once. Default: as many as there are processors, at most 4. Further callers wait,
	// as long as Deadline.
	InstancesMax int
	// Fresh says whether every answer gets an instance of its own, so that nothing can be carried over from one to the next.
	Fresh bool
	// CacheDir is where compiled code is kept for the next process, as [WithCacheDir] does it. Empty: it isn't.
	CacheDir string
}

// WithDefaults are the same, the defaults filled in. The error names the setting that is out of its range.
func (s ScorerSettings) WithDefaults() (ScorerSettings, error) {
	for _, span := range []struct {
		value *time.Duration
		or    time.Duration
		key   string
	}{{&s.Deadline, time.Second, "Deadline"}, {&s.StartDeadline, 10 * time.Second, "StartDeadline"}} {
		if *span.value < 0 || *span.value > time.Hour {
			return s, fmt.Errorf("%s is %v, and may be up to an hour", span.key, *span.value)
		}
		if *span.value == 0 {
			*span.value = span.or
		}
	}
	for _, bound := range []struct {
		value   *int
		or, max int
		key     string
	}{
		{&s.MemoryBytesMax, 256 << 20, 4<<30 - 1, "MemoryBytesMax"}, {&s.OutputBytesMax, 1 << 20, 1 << 30, "OutputBytesMax"},
		{&s.InputBytesMax, 1 << 20, 1 << 30, "InputBytesMax"}, {&s.InstancesMax, min(runtime.GOMAXPROCS(0), 4), 256, "InstancesMax"},
	} {
		if *bound.value < 0 || *bound.value > bound.max {
			return s, fmt.Errorf("%s is %d, and may be 1 to %d, or 0 for the default", bound.key, *bound.value, bound.max)
		}
		if *bound.value == 0 {
			*bound.value = bound.or
		}
	}
	return s, nil
}

// Verdict is what a scorer says of an answer.
type Verdict struct {
	// Score is how good it is, where Scored says so.
	Score  float64
	Scored bool
	// Abstained is why this exchange is none of the scorer's business. It is no score, and no failure.
	Abstained string
}

// ScorerFailure is why a scorer gave no score.
type ScorerFailure struct {
	// Reason is a word, as in the metric `softfuse_scorer_failures_total`: `deadline`, `memory`, `stack`, `trapped`, `invalid-score`,
	// `output`, `nonsense`, `malformed`, `refused`, `config`, `not-starting`, `contract-broken`, `busy`; `panicked` and `other` of a
	// scorer that is none of this package's.
	Reason string
	// Text says it to people.
	Text string
}

func (f *ScorerFailure) Error() string { return f.Text }

// AnswerScorer says how good answers are: a [Scorer]; one that Softfuse's C library runs (softfuse.dev/softfuse/scorerlib), whatever
// language it is written in; or code of one's own.
type AnswerScorer interface {
	// Name is what events and metrics call it.
	Name() string
	// Score scores one exchange, in bounded time, for any goroutine. An error means that there is no score; a [*ScorerFailure] says why in
	// a word, too.
	Score(exchange *Exchange) (Verdict, error)
}

// ErrNeedsComponentRuntime is for a scorer that this host can't run: one whose core modules need each other, or WASI 0.2, as those
// written in JavaScript and Python do.
var ErrNeedsComponentRuntime = errors.New("this host runs components of which one core module does all the work, as Rust, C and Go make " +
	"them; others, as Python's are, need a component runtime, which Softfuse's C library brings along: see " +
	"softfuse.dev/softfuse/scorerlib")

// Scorer is ready to be asked from any goroutine.
type Scorer struct {
	name     string
	settings ScorerSettings
	compiled *core.Compiled
	// places are as many as there may be instances; idle are those that wait.
	places chan struct{}
	idle   chan *scorerInstance
}

type scorerInstance struct {
	instance *core.Instance
	guest    *wit.Guest
}

// ScorerFile loads a scorer from a component's file, and names it by the file's stem.
func ScorerFile(path string, settings ScorerSettings) (*Scorer, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return NewScorer(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), bytes, settings)
}

// NewScorer loads a scorer from a component's bytes. The error is [ErrNeedsComponentRuntime] for one that this host can't run, and a
// [*ScorerFailure] for one that doesn't start, or refuses its configuration.
func NewScorer(name string, component []byte, settings ScorerSettings) (*Scorer, error) {
	settings, err := settings.WithDefaults()
	if err != nil {
		return nil, fmt.Errorf("the scorer `%s`: %w", name, err)
	}
	compiled, err := core.Compile(name, component,
		core.Bounds{Deadline: settings.Deadline, MemoryBytesMax: settings.MemoryBytesMax, OutputBytesMax: settings.OutputBytesMax,
			WASI: true, CacheDir: settings.CacheDir})
	if errors.Is(err, wasm.ErrNotSingle) {
		return nil, fmt.Errorf("the scorer %w: %w", err, ErrNeedsComponentRuntime)
	}
	if err != nil {
		return nil, fmt.Errorf("the scorer %w", err)
	}
	made := &Scorer{
		name: name, settings: settings, compiled: compiled,
		places: make(chan struct{}, settings.InstancesMax), idle: make(chan *scorerInstance, settings.InstancesMax),
	}
	// The first instance is made now, so that a bad configuration is told to whoever wrote it.
	first, failure := made.start()
	if failure != nil {
		_ = compiled.Close()
		return nil, fmt.Errorf("the scorer `%s`: %w", name, failure)
	}
	made.idle <- first
	return made, nil
}

// Name is its name.
func (s *Scorer) Name() string { return s.name }

// Settings are how it is run, the defaults filled in.
func (s *Scorer) Settings() ScorerSettings { return s.settings }

// Close frees it. Whoever is being scored gets no score.
func (s *Scorer) Close() error { return s.compiled.Close() }

// failure reads a core failure.
func scorerFailure(failure *core.Failure) *ScorerFailure {
	return &ScorerFailure{Reason: failure.Reason, Text: failure.Text}
}

func (s *Scorer) start() (*scorerInstance, *ScorerFailure) {
	instance, failure := s.compiled.Instantiate(s.settings.StartDeadline)
	if failure != nil {
		return nil, scorerFailure(failure)
	}
	guest, err := wit.Bind(instance)
	if err != nil {
		instance.Close()
		return nil, scorerFailure(instance.Fault(err))
	}
	end := instance.Begin(s.settings.StartDeadline)
	configured, err := guest.Configure(s.settings.Config)
	end()
	if err != nil {
		instance.Close()
		return nil, scorerFailure(instance.Fault(err))
	}
	if !configured.OK {
		instance.Close()
		// Problems of one configuration that are told.
		const problemsMax = 100
		var lines []string
		for _, problem := range configured.Err[:min(len(configured.Err), problemsMax)] {
			line := core.Shortened(problem.Message)
			if problem.Key != "" {
				line = core.Shortened(problem.Key) + ": " + line
			}
			lines = append(lines, line)
		}
		return nil, &ScorerFailure{Reason: "config", Text: "it refuses its configuration: " + strings.Join(lines, "; ")}
	}
	return &scorerInstance{instance: instance, guest: guest}, nil
}

// take gets an instance, waited for where all are at work.
func (s *Scorer) take() (*scorerInstance, *ScorerFailure) {
	select {
	case s.places <- struct{}{}:
	default:
		timer := time.NewTimer(s.settings.Deadline)
		defer timer.Stop()
		select {
		case s.places <- struct{}{}:
		case <-timer.C:
			return nil, &ScorerFailure{Reason: "busy", Text: fmt.Sprintf("all its instances were at work for %v", s.settings.Deadline)}
		}
	}
	select {
	case found := <-s.idle:
		return found, nil
	default:
	}
	made, failure := s.start()
	if failure != nil {
		<-s.places
	}
	return made, failure
}

// giveBack takes an instance back; one that is broken or was to be used once is closed.
func (s *Scorer) giveBack(instance *scorerInstance, broken bool) {
	if broken || s.settings.Fresh {
		instance.instance.Close()
	} else {
		s.idle <- instance
	}
	<-s.places
}

// Score scores one exchange. The error is a [*ScorerFailure].
func (s *Scorer) Score(exchange *Exchange) (Verdict, error) {
	verdict, failure := s.score(exchange)
	if failure != nil {
		return verdict, failure
	}
	return verdict, nil
}

func invalidScore(score float64) *ScorerFailure {
	return &ScorerFailure{Reason: "invalid-score", Text: fmt.Sprintf("it returned %v, which is no score", score)}
}

func (s *Scorer) score(exchange *Exchange) (verdict Verdict, failure *ScorerFailure) {
	instance, failure := s.take()
	if failure != nil {
		return verdict, failure
	}
	end := instance.instance.Begin(s.settings.Deadline)
	answer, err := instance.guest.Score(exchange.wit(s.settings.InputBytesMax))
	end()
	if err != nil {
		failure = scorerFailure(instance.instance.Fault(err))
	}
	s.giveBack(instance, err != nil)
	switch {
	case err != nil:
		return verdict, failure
	case !answer.OK && answer.Err.Case == wit.ScoreErrorMalformed:
		return verdict, &ScorerFailure{Reason: "malformed", Text: "the answer is malformed: " + core.Shortened(answer.Err.Malformed)}
	case !answer.OK:
		return verdict, &ScorerFailure{Reason: "refused", Text: "it can't say: " + core.Shortened(answer.Err.Other)}
	case answer.Value.Case == wit.VerdictAbstain:
		return Verdict{Abstained: core.Shortened(answer.Value.Abstain)}, nil
	case checkScore(answer.Value.Score) != nil:
		return verdict, invalidScore(answer.Value.Score)
	}
	return Verdict{Score: answer.Value.Score, Scored: true}, nil
}
