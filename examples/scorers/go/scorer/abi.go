// How the component model's canonical ABI passes the contract's types, by hand, since there are but two functions. `softfuse scorer
// componentize` refuses a module whose functions haven't the contract's types.

package scorer

import (
	"fmt"
	"unsafe"
)

// words is memory that a host writes to or reads from, aligned for every type of the contract.
type words []uint64

func newWords(bytes uint32) words { return make(words, (bytes+7)/8) }

func (w words) start() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(w)) }

var (
	// nothing is where what has no bytes begins.
	nothing uint64
	// passed is what the host has written for the call that comes.
	passed []words
	// returned is what it reads after a call; it stays until the next one.
	returned []any
)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldBytes, align, bytes uint32) unsafe.Pointer {
	if bytes == 0 {
		return unsafe.Pointer(&nothing)
	}
	made := newWords(bytes)
	passed = append(passed, made)
	if old != nil {
		copy(unsafe.Slice((*byte)(made.start()), bytes), unsafe.Slice((*byte)(old), oldBytes))
	}
	return made.start()
}

// address is a pointer as memory holds it: WebAssembly's have 32 bits, and Go's 64 there.
type address uint32

func addressOf(start unsafe.Pointer) address { return address(uintptr(start)) }

func (a address) pointer() unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), uintptr(a)) }

// list is a string or a list, as memory holds it.
type list struct {
	start address
	count uint32
}

func (l list) text() string { return text(l.start.pointer(), l.count) }

// content is what the host has written there. It shares that memory, which stays as long as somebody has it.
func content(start unsafe.Pointer, bytes uint32) []byte {
	if bytes == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(start), bytes)
}

func text(start unsafe.Pointer, bytes uint32) string {
	return unsafe.String(unsafe.SliceData(content(start, bytes)), int(bytes))
}

// lowered is a text for the host to read.
func lowered(text string) list {
	returned = append(returned, text)
	return list{addressOf(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

// handed is a result for the host to read.
func handed[T any](result *T) unsafe.Pointer {
	returned = append(returned, result)
	return unsafe.Pointer(result)
}

// problem is a `config-problem`.
type problem struct{ key, message list }

// configured is a `result<_, list<config-problem>>`.
type configured struct {
	failed   uint32
	problems list
}

//go:wasmexport softfuse:scorer/scorer@0.1.0#configure
func configure(config unsafe.Pointer, bytes uint32) unsafe.Pointer {
	passed, returned = nil, nil
	result := new(configured)
	if problems := tryConfigure(text(config, bytes)); len(problems) > 0 {
		found := make([]problem, len(problems))
		for index, one := range problems {
			found[index] = problem{lowered(one.Key), lowered(one.Message)}
		}
		result.failed, result.problems = 1, list{addressOf(handed(&found[0])), uint32(len(found))}
	}
	return handed(result)
}

// scored, abstained and failed are a `result<verdict, score-error>`: variants, whose contents begin where their alignment allows.
type (
	scored struct {
		_     [2]uint64
		score float64
	}
	abstained struct {
		_       uint64
		variant uint64
		why     list
	}
	failed struct {
		failed  uint64
		variant uint32
		text    list
		_       uint32
	}
)

//go:wasmexport softfuse:scorer/scorer@0.1.0#score
func score(
	operation unsafe.Pointer, operationBytes uint32, model unsafe.Pointer, modelBytes uint32,
	requestType unsafe.Pointer, requestTypeBytes uint32, request unsafe.Pointer, requestBytes, requestTruncated uint32,
	metadata unsafe.Pointer, metadataCount uint32,
	answerType unsafe.Pointer, answerTypeBytes uint32, answer unsafe.Pointer, answerBytes, answerTruncated uint32,
) unsafe.Pointer {
	exchange := &Exchange{
		Operation: text(operation, operationBytes),
		Model:     text(model, modelBytes),
		Request: Body{
			ContentType: text(requestType, requestTypeBytes), Bytes: content(request, requestBytes), Truncated: requestTruncated != 0,
		},
		Answer: Body{ContentType: text(answerType, answerTypeBytes), Bytes: content(answer, answerBytes), Truncated: answerTruncated != 0},
	}
	if metadataCount > 0 {
		for _, pair := range unsafe.Slice((*[2]list)(metadata), metadataCount) {
			exchange.Metadata = append(exchange.Metadata, [2]string{pair[0].text(), pair[1].text()})
		}
	}
	// Not before: the garbage collector doesn't see addresses within what was passed.
	passed, returned = nil, nil
	said, err := tryScore(exchange)
	switch found := err.(type) {
	case nil:
		if said.abstained != nil {
			return handed(&abstained{variant: 1, why: lowered(*said.abstained)})
		}
		return handed(&scored{score: said.score})
	case Malformed:
		return handed(&failed{failed: 1, text: lowered(string(found))})
	default:
		return handed(&failed{failed: 1, variant: 1, text: lowered(err.Error())})
	}
}

// tryConfigure turns a panic into a problem, since nobody sees what a panic prints.
func tryConfigure(config string) (problems []Problem) {
	defer func() {
		if reason := recover(); reason != nil {
			problems = []Problem{{Message: fmt.Sprint("panic: ", reason)}}
		}
	}()
	return onConfigure(config)
}

func tryScore(exchange *Exchange) (said Verdict, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return onScore(exchange)
}
