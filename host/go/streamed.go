// Responses that come in pieces: how long the first may take, and the next; failures inside of a stream that began well; and streams
// that end before their end.

package softfuse

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// eventBytesMax is what is looked at of one event's data. The rest can't be an error's, nor an end mark.
	eventBytesMax = 16 << 10
	// lineBytesMax is what is kept of a line.
	lineBytesMax = eventBytesMax
)

// StreamSettings say how a response's body is watched while it is read. The zero value watches nothing. Time that the reader takes for
// itself counts nowhere.
type StreamSettings struct {
	// FirstPiece is how long the response's header and the first piece of its body may take together. 0 or less: as long as they like.
	FirstPiece time.Duration
	// Stall is how long each further piece may take. 0 or less: as long as it likes.
	Stall time.Duration
	// EndMarks are those with one of which a stream of events (`text/event-stream`) ends: an event's data, or its name. One that ends without
	// any has broken off. Empty: it may end anywhere.
	EndMarks []string
	// ErrorOf says what an event of a stream counts as, where it is an error's. If it panics, that event is taken for none. Nil: no event is.
	ErrorOf func(event, data string) (kind Kind, text string, isError bool)
}

// ModelStream is for services for language models: a minute for the first piece, half a minute for each further one, the end marks of
// OpenAI's and Anthropic's streams, and their errors, by [ModelError].
func ModelStream() *StreamSettings {
	return &StreamSettings{
		FirstPiece: time.Minute, Stall: 30 * time.Second,
		EndMarks: []string{"[DONE]", "message_stop", "response.completed", "response.incomplete"},
		ErrorOf:  ModelError,
	}
}

// StreamError is why a streamed response counts as a failure. Its reader gets it from Read, but for an error inside of the stream: that
// stands in what the reader reads, which ends as it would without a breaker.
type StreamError struct {
	// Kind is what it counts as: [Timeout] for a piece that doesn't come; [Failed] for a stream that ends without its end mark; of an
	// error inside of it, what that is.
	Kind Kind
	// Text says it to people.
	Text string
}

func (e *StreamError) Error() string { return e.Text }

// Outcome is what it counts as.
func (e *StreamError) Outcome() Outcome { return OutcomeOf(e.Kind) }

// modelSigns are what the words mean that services for language models put into an error's type and code. The more telling come first.
var modelSigns = []struct {
	word string
	kind Kind
}{
	{"rate_limit", RateLimited}, {"insufficient_quota", RateLimited},
	{"overloaded", Overloaded}, {"unavailable", Overloaded}, {"slow_down", Overloaded}, {"timeout", Timeout},
	{"content_filter", ContentPolicy}, {"_policy", ContentPolicy}, {"moderation", ContentPolicy},
	// What is wrong with the request's own images, whatever isn't found of them.
	{"invalid_image", BadRequest}, {"invalid_base64", BadRequest}, {"image_file", BadRequest}, {"image_too", BadRequest},
	{"image_parse", BadRequest}, {"image_media_type", BadRequest}, {"download_image", BadRequest},
	// The provider, as it is set up, serves nobody, though it may call the request invalid.
	{"api_key", Failed}, {"not_found", Failed}, {"billing", Failed},
	{"invalid_request", BadRequest}, {"invalid_prompt", BadRequest}, {"context_length", BadRequest}, {"too_large", BadRequest}, {"conflict", BadRequest},
}

// kindOfModelError is what an error counts as by its type and its code, where it has no status of its own: by the words in them, or by a
// code that is an HTTP status.
func kindOfModelError(kind, code any) Kind {
	word := func(value any) string {
		switch value.(type) {
		case string, float64:
			return strings.ToLower(fmt.Sprint(value))
		}
		return ""
	}
	words := word(kind) + " " + word(code)
	for _, sign := range modelSigns {
		if strings.Contains(words, sign.word) {
			return sign.kind
		}
	}
	if digits := word(code); len(digits) == 3 {
		if status, err := strconv.Atoi(digits); err == nil && status >= 400 && status < 600 {
			return KindOfStatus(status)
		}
	}
	return Failed
}

// ModelError finds the errors that services for language models send in streams that began with 200: an event `error` or
// `response.failed`, or data with an `error` in it. The words in its type and its code say what it counts as, or its code where that is an
// HTTP status.
func ModelError(event, data string) (kind Kind, text string, isError bool) {
	named := event == "error" || event == "response.failed"
	if !named && !strings.Contains(data, `"error"`) {
		return Success, "", false
	}
	var whole any
	if err := json.Unmarshal([]byte(data), &whole); err != nil && !named {
		return Success, "", false
	}
	inside := field(whole, "error")
	switch inside {
	case nil, false, "", 0.0:
		if !named && field(whole, "type") != "error" {
			return Success, "", false
		}
	}
	said := whole
	for _, found := range []any{inside, field(field(whole, "response"), "error")} {
		if found != nil {
			said = found
			break
		}
	}
	text, _ = said.(string)
	if message, isText := field(said, "message").(string); isText {
		text = message
	}
	if text == "" {
		text = data
	}
	return kindOfModelError(field(said, "type"), field(said, "code")), text, true
}

// field is one of an object; nil where there is none.
func field(value any, key string) any {
	object, _ := value.(map[string]any)
	return object[key]
}

// streamWatch watches one response. Nil watches none.
type streamWatch struct {
	settings *StreamSettings
	cancel   context.CancelCauseFunc
	// events reads the body's, where it is a stream of events.
	events *eventReader
	// pieces have come.
	pieces bool
	// waited is for how long the service was waited for so far, until the first piece.
	waited time.Duration

	lock  sync.Mutex
	began time.Time
	timer *time.Timer
	// turn tells a timer of now from one of before.
	turn int
	late *StreamError
}

// watch begins to watch a call, whose request is to be made with the context that comes back.
func (s *StreamSettings) watch(ctx context.Context) (*streamWatch, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	return &streamWatch{settings: s, cancel: cancel}, ctx
}

// isEvents says that the body is a stream of events.
func (w *streamWatch) isEvents() {
	if w != nil && (w.settings.ErrorOf != nil || len(w.settings.EndMarks) > 0) {
		w.events = &eventReader{}
	}
}

// wait begins to wait for the service.
func (w *streamWatch) wait() {
	if w == nil {
		return
	}
	span, what := w.settings.Stall, "no further piece"
	if !w.pieces {
		span, what = w.settings.FirstPiece, "no first piece"
	}
	if span <= 0 {
		return
	}
	left := span
	if !w.pieces {
		left = max(span-w.waited, 0)
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	w.turn++
	turn := w.turn
	w.began = time.Now()
	w.timer = time.AfterFunc(left, func() {
		w.lock.Lock()
		defer w.lock.Unlock()
		if w.turn != turn || w.late != nil {
			return
		}
		w.late = &StreamError{Kind: Timeout, Text: fmt.Sprintf("%s of the response within %v", what, span)}
		w.cancel(w.late)
	})
}

// came says that the service has said something, or ended: whether that took too long.
func (w *streamWatch) came() *StreamError {
	if w == nil {
		return nil
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	w.turn++
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
		w.waited += time.Since(w.began)
	}
	return w.late
}

// see looks at a piece, the last one where the body has ended: the error that stands in it.
func (w *streamWatch) see(piece []byte, last bool) *StreamError {
	if w == nil {
		return nil
	}
	if len(piece) > 0 {
		w.pieces = true
	}
	if w.events == nil {
		return nil
	}
	var found *StreamError
	told := func(event, data string) {
		if w.settings.ErrorOf != nil && found == nil {
			if kind, text, isError := w.caughtErrorOf(event, data); isError {
				found = &StreamError{Kind: kind, Text: "an error in the stream: " + text}
			}
		}
		w.events.marked = w.events.marked || slices.Contains(w.settings.EndMarks, data) || event != "" && slices.Contains(w.settings.EndMarks, event)
	}
	w.events.read(piece, told)
	if last {
		// The last event may lack the empty line after it.
		w.events.read([]byte("\n\n"), told)
	}
	w.events.failed = w.events.failed || found != nil
	return found
}

// caughtErrorOf asks the user's code, whose panic must not cost the reader the stream.
func (w *streamWatch) caughtErrorOf(event, data string) (kind Kind, text string, isError bool) {
	defer func() {
		if recover() != nil {
			isError = false
		}
	}()
	return w.settings.ErrorOf(event, data)
}

// broken says of a body that has ended whether it has broken off. One with an error inside hasn't: that was its end.
func (w *streamWatch) broken() *StreamError {
	if w == nil || w.events == nil || w.events.marked || w.events.failed || len(w.settings.EndMarks) == 0 {
		return nil
	}
	return &StreamError{Kind: Failed, Text: "the stream ended without its end mark"}
}

// release lets go of the request's context, when nobody needs it any more.
func (w *streamWatch) release() {
	if w != nil {
		w.cancel(nil)
	}
}

// eventReader reads a stream of events (https://html.spec.whatwg.org/multipage/server-sent-events.html) as far as it takes to see errors
// and ends.
type eventReader struct {
	line, data []byte
	event      string
	hasData    bool
	// afterCR: the line's end may have another byte.
	afterCR bool
	// marked: an end mark has come; failed: an error has.
	marked, failed bool
}

func (r *eventReader) read(piece []byte, told func(event, data string)) {
	for len(piece) > 0 {
		if r.afterCR && piece[0] == '\n' {
			piece = piece[1:]
		}
		r.afterCR = false
		end := bytes.IndexAny(piece, "\r\n")
		if end < 0 {
			r.keep(piece)
			return
		}
		r.keep(piece[:end])
		r.afterCR = piece[end] == '\r'
		piece = piece[end+1:]
		r.endLine(told)
	}
}

func (r *eventReader) keep(part []byte) {
	r.line = append(r.line, part[:min(len(part), lineBytesMax-len(r.line))]...)
}

func (r *eventReader) endLine(told func(event, data string)) {
	line := r.line
	r.line = r.line[:0]
	if len(line) == 0 {
		if r.hasData || r.event != "" {
			told(r.event, string(r.data))
		}
		r.event, r.data, r.hasData = "", r.data[:0], false
		return
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "event":
		r.event = string(value)
	case "data":
		if r.hasData && len(r.data) < eventBytesMax {
			r.data = append(r.data, '\n')
		}
		r.data = append(r.data, value[:min(len(value), eventBytesMax-len(r.data))]...)
		r.hasData = true
	}
}
