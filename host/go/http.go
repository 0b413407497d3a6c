// HTTP, outbound: a transport that guards a client's requests.

package softfuse

import (
	"io"
	"net/http"
	"strings"
)

// Transport guards an [http.Client]'s requests.
//
// A response's status says what it counts as ([KindOfStatus]), and its `Retry-After` is taken. The call has ended when the body was read
// to its end or closed, so that a body that breaks off counts as a failure, and its latency is all of it; a body that is closed before
// its end is the caller's doing, and counts as what its status says. So close it, as [net/http] asks: a call whose body is left open is never
// settled. A refusal is an [*OpenError]; no request is made then.
type Transport struct {
	// Base makes the requests. Nil: [http.DefaultTransport].
	Base http.RoundTripper
	// Breaker is the one for a request; nil for one that isn't guarded. The breaker of a keyed family by the request's host, say.
	Breaker func(*http.Request) *Breaker
	// Classify says what a response or an error counts as. Nil: by its status, or [Classify].
	Classify func(*http.Response, error) Outcome
	// Stream says how bodies are watched that come in pieces: [ModelStream], say. Base must heed its request's context, as [net/http]'s does.
	// Nil: they may take their time, and what is in them is the reader's matter.
	//
	// [net/http] decompresses what it has asked for by itself. A body that still has a Content-Encoding, since the request named an
	// Accept-Encoding, is passed on as it is: its pieces are timed, and its call is settled by its status and the body's end, but no events
	// are looked for in it, and no score is made of it.
	Stream *StreamSettings
	// Scoring has answers scored, as ExchangeOf shows them by the request and the response's header: the answer's content type, and no
	// bytes, which follow as they are read. Where it gives nil, there is nothing to score. The score comes when the body has ended, beside
	// the call. A score that is reported wins, and a policy without conditions on scores has none made.
	Scoring    *Scoring
	ExchangeOf func(*http.Request, *http.Response) *Exchange
}

// NewTransport guards all requests by one breaker.
func NewTransport(breaker *Breaker, base http.RoundTripper) *Transport {
	return &Transport{Base: base, Breaker: func(*http.Request) *Breaker { return breaker }}
}

// RoundTrip makes a guarded request. Its context is the call's, with which a body's reader may [ReportQuality].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	breaker := t.Breaker(request)
	if breaker == nil {
		return base.RoundTrip(request)
	}
	c, err := breaker.begin(request.Context())
	if err != nil {
		// As the contract of a transport asks.
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	defer func() {
		if !c.returned {
			c.permit.unwind(recover())
		}
	}()
	watch := t.watch(c)
	response, err := base.RoundTrip(request.WithContext(c))
	c.returned = true
	if late := watch.came(); late != nil && err != nil {
		err = late
	}
	outcome := t.classify(c, response, err)
	if err != nil || response.Body == nil || response.Body == http.NoBody {
		c.permit.settleOwed(outcome)
		watch.release()
		return response, err
	}
	body := &guardedBody{ReadCloser: response.Body, call: c, outcome: outcome, watch: watch}
	response.Body = body
	if outcome.kind.IsFailure() {
		// Known already, whatever the body says.
		body.once.Do(func() { c.permit.settleOwed(outcome) })
		return response, err
	}
	if !isEncoded(response.Header) {
		body.answer = t.answer(c, request, response, &outcome)
		if isEventStream(response.Header) {
			watch.isEvents()
		}
	}
	// A connection that was handed over is written to as well.
	if writer, ok := body.ReadCloser.(io.Writer); ok {
		response.Body = &guardedConnection{guardedBody: body, Writer: writer}
	}
	return response, nil
}

// isEncoded says whether the body's bytes are others than its content's: compressed, that is.
func isEncoded(header http.Header) bool {
	encoding := strings.TrimSpace(strings.Join(header.Values("Content-Encoding"), ","))
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}

func isEventStream(header http.Header) bool {
	mediaType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream")
}

// watch begins to watch a call; nil where that isn't wanted.
func (t *Transport) watch(c *callContext) (watch *streamWatch) {
	if t.Stream != nil {
		watch, c.Context = t.Stream.watch(c.Context)
		watch.wait()
	}
	return watch
}

// answer begins to score a response, where that is wanted.
func (t *Transport) answer(c *callContext, request *http.Request, response *http.Response, outcome *Outcome) (answer *AnswerStream) {
	permit := &c.permit
	wanted := t.Scoring != nil && t.ExchangeOf != nil && outcome.kind == Success && outcome.signal == signalNone && permit.IsGuarded() &&
		permit.breaker.policy.UsesScores()
	if !wanted {
		return nil
	}
	defer func() {
		if recover() != nil {
			answer = nil
		}
	}()
	if shown := t.ExchangeOf(request, response); shown != nil {
		answer = t.Scoring.Stream(Reporter{permit: permit}, shown)
	}
	return answer
}

func (t *Transport) classify(c *callContext, response *http.Response, err error) (outcome Outcome) {
	byDefault := func() Outcome {
		if err != nil {
			return c.permit.breaker.classify(c.Context, err)
		}
		return OutcomeOfResponse(response)
	}
	if t.Classify == nil {
		return byDefault()
	}
	defer func() {
		if recover() != nil {
			outcome = byDefault()
		}
	}()
	return t.Classify(response, err)
}

// OutcomeOfResponse is what a response counts as, by its status and its `Retry-After`.
func OutcomeOfResponse(response *http.Response) Outcome {
	return outcomeOfAnswer(KindOfStatus(response.StatusCode), response.Header)
}

func outcomeOfAnswer(kind Kind, header http.Header) Outcome {
	outcome := OutcomeOf(kind)
	if span, ok := RetryAfterOf(header); ok && outcome.kind.IsFailure() {
		outcome = outcome.WithRetryAfter(span)
	}
	return outcome
}
