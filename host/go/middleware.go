// HTTP, inbound: middleware that guards a handler.

package softfuse

import (
	"bufio"
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
)

// ServedClassifier says what a response that a guarded handler has written counts as, by its request, its status and its header. It
// usually looks at what it knows, and leaves the rest to [ClassifyServed]. If it panics, that does.
type ServedClassifier func(request *http.Request, status int, header http.Header) Outcome

// MiddlewareOption is a setting of [Middleware].
type MiddlewareOption func(*middleware)

// WithServedClassifier says what responses count as. Default: [ClassifyServed].
func WithServedClassifier(classifier ServedClassifier) MiddlewareOption {
	return func(m *middleware) { m.classifier = classifier }
}

// Middleware guards a handler: a response counts as [ClassifyServed] says, unless an option says otherwise, and a panic as a failure. Where
// the circuit refuses, the answer is 503 with `Retry-After` in whole seconds, or what `refused` writes, where that isn't nil.
func Middleware(
	breaker *Breaker, refused func(http.ResponseWriter, *http.Request, *OpenError), options ...MiddlewareOption,
) func(http.Handler) http.Handler {
	guard := &middleware{breaker: breaker, refused: refused}
	for _, option := range options {
		option(guard)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) { guard.serve(next, w, request) })
	}
}

// ClassifyServed is what a response counts as by default that a guarded handler has written: what [KindOfStatus] says, with its
// `Retry-After`, but for two.
//
//   - 401, 402, 403, 404 and 407 are neutral ([BadRequest]), as other 4xx are: from a provider they say that it serves nobody, from one's
//     own handler that this client is to blame. 408 and 429 stay failures.
//   - What isn't a success is [Cancelled], which is neutral, where the client has gone meanwhile.
func ClassifyServed(request *http.Request, status int, header http.Header) Outcome {
	kind := KindOfStatus(status)
	switch {
	case kind != Success && errors.Is(request.Context().Err(), context.Canceled):
		kind = Cancelled
	case kind == Failed && status < 500:
		kind = BadRequest
	}
	return outcomeOfAnswer(kind, header)
}

// middleware guards handlers.
type middleware struct {
	breaker    *Breaker
	refused    func(http.ResponseWriter, *http.Request, *OpenError)
	classifier ServedClassifier
}

func (m *middleware) serve(next http.Handler, w http.ResponseWriter, request *http.Request) {
	// A client that has gone already is served all the same, as without a breaker: nobody is there to be told.
	c, err := m.breaker.begin(context.WithoutCancel(request.Context()))
	if err != nil {
		open, ok := err.(*OpenError) //nolint:errorlint // It is made here.
		switch {
		case ok && m.refused != nil:
			m.refused(w, request, open)
		case ok:
			Refuse(w, open)
		}
		return
	}
	c.Context = request.Context()
	defer func() {
		if !c.returned {
			c.permit.unwind(recover())
		}
	}()
	recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	next.ServeHTTP(recorder, request.WithContext(c))
	c.returned = true
	c.permit.settleOwed(m.classify(request, recorder.status, w.Header()))
}

func (m *middleware) classify(request *http.Request, status int, header http.Header) (outcome Outcome) {
	if m.classifier == nil {
		return ClassifyServed(request, status, header)
	}
	defer func() {
		if recover() != nil {
			outcome = ClassifyServed(request, status, header)
		}
	}()
	return m.classifier(request, status, header)
}

// Refuse writes a refusal: 503, with `Retry-After` in whole seconds where that is known.
func Refuse(w http.ResponseWriter, refused *OpenError) {
	if refused.RetryAfter != nil {
		seconds := int64(math.Ceil(refused.RetryAfter.Seconds()))
		w.Header().Set("Retry-After", strconv.FormatInt(max(seconds, 1), 10))
	}
	// Nothing of why, which is the operator's to know.
	http.Error(w, "the circuit `"+refused.Breaker+"` is "+refused.State.String(), http.StatusServiceUnavailable)
}

// statusRecorder sees a response's status.
type statusRecorder struct {
	http.ResponseWriter
	status  int
	written bool
}

// WriteHeader notes the status. Informational ones come before it.
func (r *statusRecorder) WriteHeader(status int) {
	if !r.written && status >= 200 {
		r.status, r.written = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write begins a response of 200, unless it has begun.
func (r *statusRecorder) Write(bytes []byte) (int, error) {
	r.written = true
	return r.ResponseWriter.Write(bytes)
}

// Unwrap lets [http.ResponseController] find what the server's writer can do.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush sends on what was written, for handlers that ask for an [http.Flusher]; nothing, where the server's writer can't.
func (r *statusRecorder) Flush() {
	// A response of 200 begins by it, unless one has begun.
	r.written = true
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack takes over the connection, for handlers that ask for an [http.Hijacker]. The error is [http.ErrNotSupported] where the server's
// writer can't.
func (r *statusRecorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}
