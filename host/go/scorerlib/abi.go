// The C library's structs, as include/softfuse.h lays them out, and texts on their way to and from it.

package scorerlib

import (
	"runtime"
	"strings"
	"unsafe"

	"softfuse.dev/softfuse"
)

// scorerSettings is sf_scorer_settings.
type scorerSettings struct {
	size            uintptr
	config          *byte
	_               handle // A registry, which there is none of here.
	deadlineNs      uint64
	startDeadlineNs uint64
	memoryBytesMax  uintptr
	outputBytesMax  uintptr
	answerBytesMax  uintptr
	instancesMax    uint32
	fresh           uint32
}

// exchange is sf_exchange.
type exchange struct {
	size               uintptr
	operation          *byte
	model              *byte
	requestContentType *byte
	request            *byte
	requestLength      uintptr
	answerContentType  *byte
	answer             *byte
	answerLength       uintptr
	metadataNames      **byte
	metadataValues     **byte
	metadataCount      uintptr
	requestTruncated   uint32
	answerTruncated    uint32
}

// verdict is sf_verdict.
type verdict struct {
	size         uintptr
	kind         int32
	failure      int32
	score        float64
	text         *byte
	textCapacity uintptr
	_            uintptr // How long the whole text is.
}

const (
	codeOK           = 0
	codeScorerFailed = 16

	verdictNoneYet   = 0
	verdictScore     = 1
	verdictAbstained = 2
	verdictFailed    = 3
)

// reasons are sf_scorer_failure's, in this package's words.
var reasons = [...]string{
	"other", "deadline", "memory", "stack", "trapped", "invalid-score", "output", "malformed", "refused", "config", "not-starting", "busy",
}

// verdictTextMax is what is kept of a verdict's text, its zero included.
const verdictTextMax = 1025

// pins keeps what the library reads during a call where it is.
type pins struct {
	runtime.Pinner
}

// text is a text as the library reads it: UTF-8, with a zero at its end and none before. Nil for an empty one.
func (p *pins) text(text string) *byte {
	if text == "" {
		return nil
	}
	bytes := append([]byte(strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")), 0)
	return p.bytes(bytes)
}

func (p *pins) bytes(bytes []byte) *byte {
	first := unsafe.SliceData(bytes)
	if len(bytes) > 0 {
		p.Pin(first)
	}
	return first
}

func (p *pins) texts(texts []string) **byte {
	all := make([]*byte, len(texts))
	for at, text := range texts {
		// NULL would be none, and an empty text is one.
		if all[at] = p.text(text); all[at] == nil {
			all[at] = p.bytes([]byte{0})
		}
	}
	p.Pin(unsafe.SliceData(all))
	return unsafe.SliceData(all)
}

// exchange is one as the library reads it, of at most so many bytes each.
func (p *pins) exchange(given *softfuse.Exchange, bytesMax int) *exchange {
	request := given.Request.Bytes[:min(len(given.Request.Bytes), bytesMax)]
	answer := given.Answer.Bytes[:min(len(given.Answer.Bytes), bytesMax)]
	made := &exchange{
		operation: p.text(given.Operation), model: p.text(given.Model),
		requestContentType: p.text(given.Request.ContentType), request: p.bytes(request), requestLength: uintptr(len(request)),
		answerContentType: p.text(given.Answer.ContentType), answer: p.bytes(answer), answerLength: uintptr(len(answer)),
		requestTruncated: flag(given.Request.Truncated || len(request) < len(given.Request.Bytes)),
		answerTruncated:  flag(given.Answer.Truncated || len(answer) < len(given.Answer.Bytes)),
	}
	made.size = unsafe.Sizeof(*made)
	if count := len(given.Metadata); count > 0 {
		names, values := make([]string, count), make([]string, count)
		for at, one := range given.Metadata {
			names[at], values[at] = one[0], one[1]
		}
		made.metadataNames, made.metadataValues, made.metadataCount = p.texts(names), p.texts(values), uintptr(count)
	}
	p.Pin(made)
	return made
}

// verdict is a place for one, with room for its words.
func (p *pins) verdict() *verdict {
	made := &verdict{text: p.bytes(make([]byte, verdictTextMax)), textCapacity: verdictTextMax}
	made.size = unsafe.Sizeof(*made)
	p.Pin(made)
	return made
}

func flag(set bool) uint32 {
	if set {
		return 1
	}
	return 0
}

// said is a text of the library's; empty for NULL.
func said(text unsafe.Pointer) string {
	if text == nil {
		return ""
	}
	length := 0
	for *(*byte)(unsafe.Add(text, length)) != 0 {
		length++
	}
	return string(unsafe.Slice((*byte)(text), length))
}

// read is what a verdict says; none where it says nothing yet.
func (v *verdict) read() (made softfuse.Verdict, none bool, err error) {
	switch v.kind {
	case verdictNoneYet:
		return made, true, nil
	case verdictScore:
		return softfuse.Verdict{Score: v.score, Scored: true}, false, nil
	case verdictAbstained:
		return softfuse.Verdict{Abstained: said(unsafe.Pointer(v.text))}, false, nil
	}
	reason := reasons[0]
	if v.kind == verdictFailed && int(v.failure) < len(reasons) && v.failure > 0 {
		reason = reasons[v.failure]
	}
	return made, false, &softfuse.ScorerFailure{Reason: reason, Text: said(unsafe.Pointer(v.text))}
}
