// A scorer that the C library runs.

package scorerlib

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"softfuse.dev/softfuse"
)

// ErrClosed is for a scorer that was closed.
var ErrClosed = errors.New("the scorer was closed")

// Scorer is ready to be asked from any goroutine. It is a [softfuse.AnswerScorer], and a [softfuse.StreamScorer].
type Scorer struct {
	library  *Library
	name     string
	settings softfuse.ScorerSettings
	// lock is held, for reading, by whoever uses the handle: it isn't freed meanwhile.
	lock    sync.RWMutex
	handle  handle
	streams bool
}

// ScorerFile loads a scorer from a component's file, and names it by the file's stem.
func (l *Library) ScorerFile(path string, settings softfuse.ScorerSettings) (*Scorer, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return l.NewScorer(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), bytes, settings)
}

// NewScorer loads a scorer from a component's bytes. The settings are those of [softfuse.NewScorer], but for CacheDir: the library keeps
// compiled code in the user's cache folder. The error is a [*softfuse.ScorerFailure] for one that doesn't start, or refuses its
// configuration.
func (l *Library) NewScorer(name string, component []byte, settings softfuse.ScorerSettings) (*Scorer, error) {
	settings, err := settings.WithDefaults()
	if err != nil {
		return nil, fmt.Errorf("the scorer `%s`: %w", name, err)
	}
	if settings.CacheDir != "" {
		return nil, fmt.Errorf("the scorer `%s`: CacheDir is %q, and may only be empty: the C library keeps compiled code in the user's cache folder",
			name, settings.CacheDir)
	}
	var pins pins
	defer pins.Unpin()
	given := &scorerSettings{
		config: pins.text(settings.Config), deadlineNs: uint64(settings.Deadline), startDeadlineNs: uint64(settings.StartDeadline),
		memoryBytesMax: uintptr(settings.MemoryBytesMax), outputBytesMax: uintptr(settings.OutputBytesMax),
		answerBytesMax: uintptr(settings.InputBytesMax), instancesMax: uint32(settings.InstancesMax), fresh: flag(settings.Fresh),
	}
	given.size = unsafe.Sizeof(*given)
	pins.Pin(given)
	named := name
	if named == "" {
		named = "scorer"
	}
	var made, failed handle
	code := l.fromBytes(pins.text(named), pins.bytes(component), uintptr(len(component)), given, &made, &failed)
	if code != codeOK {
		return nil, fmt.Errorf("the scorer `%s`: %w", name, l.failure(code, failed))
	}
	return &Scorer{library: l, name: named, settings: settings, handle: made, streams: l.streaming(made) != 0}, nil
}

// failure reads an error of the library's, and frees it.
func (l *Library) failure(code int32, failed handle) error {
	text := said(l.codeText(code))
	problems := uintptr(0)
	if failed != 0 {
		text, problems = said(l.errorMessage(failed)), l.errorProblems(failed)
		l.errorFree(failed)
	}
	if code != codeScorerFailed {
		return errors.New(text)
	}
	reason := "not-starting"
	if problems > 0 {
		reason = "config"
	}
	return &softfuse.ScorerFailure{Reason: reason, Text: text}
}

// Name is its name.
func (s *Scorer) Name() string { return s.name }

// Settings are how it is run, the defaults filled in.
func (s *Scorer) Settings() softfuse.ScorerSettings { return s.settings }

// Streams says whether it takes answers in pieces, as they pass. Of another the pieces are collected.
func (s *Scorer) Streams() bool { return s.streams }

// Close frees it, when those that are being scored are.
func (s *Scorer) Close() error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.handle != 0 {
		s.library.scorerFree(s.handle)
		s.handle = 0
	}
	return nil
}

// Score scores one exchange. The error is a [*softfuse.ScorerFailure], or [ErrClosed].
func (s *Scorer) Score(exchange *softfuse.Exchange) (softfuse.Verdict, error) {
	s.lock.RLock()
	defer s.lock.RUnlock()
	if s.handle == 0 {
		return softfuse.Verdict{}, ErrClosed
	}
	var pins pins
	defer pins.Unpin()
	verdict := pins.verdict()
	if code := s.library.score(s.handle, pins.exchange(exchange, s.settings.InputBytesMax), verdict); code != codeOK {
		return softfuse.Verdict{}, s.library.failure(code, 0)
	}
	made, _, err := verdict.read()
	return made, err
}

// Stream begins to score an answer that comes in pieces, in an instance of its own from its first piece to its end. After that its methods
// say [ErrClosed].
func (s *Scorer) Stream(exchange *softfuse.Exchange) (softfuse.ScoreStream, error) {
	s.lock.RLock()
	defer s.lock.RUnlock()
	if s.handle == 0 {
		return nil, ErrClosed
	}
	var pins pins
	defer pins.Unpin()
	made := &stream{library: s.library}
	if code := s.library.streamBegin(s.handle, pins.exchange(exchange, s.settings.InputBytesMax), &made.handle); code != codeOK {
		return nil, s.library.failure(code, 0)
	}
	return made, nil
}

// stream is sf_stream. What it needs of its scorer lives as long as it does.
type stream struct {
	library *Library
	// lock is held by whoever uses the handle: it isn't freed meanwhile, and one thread at a time is in it.
	lock   sync.Mutex
	handle handle
}

// Push shows the next piece.
func (s *stream) Push(piece []byte) (*softfuse.Verdict, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.handle == 0 {
		return nil, ErrClosed
	}
	var pins pins
	defer pins.Unpin()
	verdict := pins.verdict()
	if code := s.library.streamPush(s.handle, pins.bytes(piece), uintptr(len(piece)), verdict); code != codeOK {
		return nil, s.library.failure(code, 0)
	}
	made, none, err := verdict.read()
	if none || err != nil {
		return nil, err
	}
	return &made, nil
}

// Finish ends it.
func (s *stream) Finish(complete bool) (softfuse.Verdict, error) {
	ended := s.take()
	if ended == 0 {
		return softfuse.Verdict{}, ErrClosed
	}
	var pins pins
	defer pins.Unpin()
	verdict := pins.verdict()
	if code := s.library.streamFinish(ended, int32(flag(complete)), verdict); code != codeOK {
		return softfuse.Verdict{}, s.library.failure(code, 0)
	}
	made, _, err := verdict.read()
	return made, err
}

// Discard gives it up.
func (s *stream) Discard() {
	if ended := s.take(); ended != 0 {
		s.library.streamFree(ended)
	}
}

// take takes the handle from whoever comes later: whoever has it frees it.
func (s *stream) take() handle {
	s.lock.Lock()
	defer s.lock.Unlock()
	taken := s.handle
	s.handle = 0
	return taken
}
