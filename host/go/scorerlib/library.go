// Opens Softfuse's C library, and gives its functions Go's face.

// Package scorerlib runs scorers in any language that makes components: those that need a component runtime, as Python's do, and those
// that are large, as JavaScript's are, by that of Softfuse's C library, opened without cgo. A scorer that one small core module makes up
// (Rust's, C's, Go's) needs none of this: see [softfuse.NewScorer].
//
//	library, err := scorerlib.Open("") // libsoftfuse.so.0, where the system's loader finds it
//	scorer, err := library.ScorerFile("schema.wasm", softfuse.ScorerSettings{Deadline: 200 * time.Millisecond})
//	scoring, err := softfuse.NewScoring(scorer, softfuse.ScoringSettings{})
//
// The library's scorers are sandboxed: without files, network, environment or clock, within bounds of time, memory and output.
//
// A program that imports this package is linked to the system's C library, as purego needs it, though no C compiler is.
package scorerlib

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Variable is the environment's, which names the library's file where [Open] is given none.
const Variable = "SOFTFUSE_LIBRARY"

// Library is the C library, opened. It stays open as long as the process lives: threads of its own may run.
type Library struct {
	path string

	fromBytes     func(name *byte, component *byte, length uintptr, settings *scorerSettings, scorer *handle, error *handle) int32
	scorerFree    func(scorer handle)
	score         func(scorer handle, exchange *exchange, verdict *verdict) int32
	streaming     func(scorer handle) int32
	streamBegin   func(scorer handle, exchange *exchange, stream *handle) int32
	streamPush    func(stream handle, piece *byte, length uintptr, verdict *verdict) int32
	streamFinish  func(stream handle, complete int32, verdict *verdict) int32
	streamFree    func(stream handle)
	errorCode     func(error handle) int32
	errorMessage  func(error handle) unsafe.Pointer
	errorFree     func(error handle)
	codeText      func(code int32) unsafe.Pointer
	errorProblems func(error handle) uintptr
}

// handle is a pointer to what the library keeps. It is never Go's.
type handle uintptr

var (
	opening sync.Mutex
	// opened are the libraries by their path: functions are looked up once.
	opened = map[string]*Library{}
)

// Open opens the library: this file; or, where the path is empty, the one that the environment's SOFTFUSE_LIBRARY names; or libsoftfuse.so.0
// where the system's loader looks for libraries. host/c/install.sh in Softfuse's repository builds it.
func Open(path string) (*Library, error) {
	if path == "" {
		path = os.Getenv(Variable)
	}
	if path == "" {
		path = "libsoftfuse.so.0"
		if runtime.GOOS == "darwin" {
			path = "libsoftfuse.0.dylib"
		}
	}
	opening.Lock()
	defer opening.Unlock()
	if found := opened[path]; found != nil {
		return found, nil
	}
	made := &Library{path: path}
	if err := made.open(); err != nil {
		return nil, fmt.Errorf("softfuse's C library: %w; name its file, set %s to it, or build it by host/c/install.sh", err, Variable)
	}
	opened[path] = made
	return made, nil
}

// Path is the file that was opened.
func (l *Library) Path() string { return l.path }

func (l *Library) open() error {
	loaded, err := purego.Dlopen(l.path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return err
	}
	for _, one := range []struct {
		function any
		name     string
	}{
		{&l.fromBytes, "sf_scorer_from_bytes"}, {&l.scorerFree, "sf_scorer_free"}, {&l.score, "sf_scorer_score"},
		{&l.streaming, "sf_scorer_is_streaming"}, {&l.streamBegin, "sf_stream_begin"}, {&l.streamPush, "sf_stream_push"},
		{&l.streamFinish, "sf_stream_finish"}, {&l.streamFree, "sf_stream_free"}, {&l.errorCode, "sf_error_code"},
		{&l.errorMessage, "sf_error_message"}, {&l.errorFree, "sf_error_free"}, {&l.codeText, "sf_code_text"},
		{&l.errorProblems, "sf_error_problem_count"},
	} {
		symbol, err := purego.Dlsym(loaded, one.name)
		if err != nil {
			return fmt.Errorf("%s is no such library, or an older one: %w", l.path, err)
		}
		purego.RegisterFunc(one.function, symbol)
	}
	return nil
}
