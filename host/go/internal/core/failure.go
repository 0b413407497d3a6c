// Why a component gave no answer, by cause.

// Package core runs components: it compiles them, makes instances, bounds what they may use, seats breakers in them, and brings
// those back whose instance has failed. It is the only package that knows the WebAssembly runtime.
package core

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"softfuse.dev/softfuse/internal/abi"
)

// Reasons why a component gave no answer: words, as in the metric `softfuse_component_failures_total`.
const (
	Trapped        = "trapped"
	Deadline       = "deadline"
	Memory         = "memory"
	Stack          = "stack"
	Output         = "output"
	Nonsense       = "nonsense"
	NotStarting    = "not-starting"
	PolicyRefused  = "policy-refused"
	BreakerRefused = "breaker-refused"
	Resting        = "resting"
	ContractBroken = "contract-broken"
)

// Failure is why a component gave no answer to a call.
type Failure struct {
	// Reason is one of the words above.
	Reason string
	// Text says it to people.
	Text string
	// Rest is what is left of a rest; 0 unless it rests.
	Rest time.Duration
}

func (f *Failure) Error() string { return f.Text }

func failed(reason, format string, args ...any) *Failure {
	return &Failure{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// textBytesMax is what is kept of a text that a component or a user's code hands over; the breaker component keeps no more.
const textBytesMax = 1024

// Shortened is a text as the breaker component would cut it: with dots where something is missing, and nothing that isn't UTF-8.
func Shortened(text string) string {
	const dots = "..."
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= textBytesMax {
		return text
	}
	return beginning(text, textBytesMax-len(dots)) + dots
}

// beginning is a text's first bytes, cut where a character begins.
func beginning(text string, bytesMax int) string {
	if len(text) <= bytesMax {
		return text
	}
	end := bytesMax
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end]
}

// failure finds the bound that a call ran into.
func (i *Instance) failure(err error) *Failure {
	var exit *sys.ExitError
	bounds := i.compiled.bounds
	switch {
	case errors.As(err, &exit) && (exit.ExitCode() == sys.ExitCodeDeadlineExceeded || exit.ExitCode() == sys.ExitCodeContextCanceled):
		return failed(Deadline, "no answer within %v", bounds.Deadline)
	case errors.As(err, &exit):
		return failed(Trapped, "it ended itself with the code %d", exit.ExitCode())
	case errors.Is(err, abi.ErrOutputTooLarge):
		return failed(Output, "an answer of more than %d bytes", bounds.OutputBytesMax)
	case errors.Is(err, abi.ErrNonsense):
		return failed(Nonsense, "%v", err)
	// A guest that is refused memory aborts, which is a trap like any other.
	case i.memory.refused:
		return failed(Memory, "it asked for more than its %d bytes of memory", bounds.MemoryBytesMax)
	}
	// The runtime adds the guest's stack, a line each; its type for this error is its own.
	text, _, _ := strings.Cut(err.Error(), "\n")
	if strings.Contains(text, "stack overflow") {
		return failed(Stack, "its stack overflowed")
	}
	return failed(Trapped, "it trapped: %s", beginning(strings.TrimPrefix(text, "wasm error: "), textBytesMax))
}
