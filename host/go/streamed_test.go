// Responses that come in pieces: late ones, broken ones, errors inside of a 200, and their scores.

package softfuse_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"softfuse.dev/softfuse"
)

// streams is a client whose server answers as it is told.
func streams(t *testing.T, policy string, settings *softfuse.StreamSettings) (
	*http.Client, *softfuse.Breaker, *softfuse.Transport, func(func(io.Writer, *http.Request)),
) {
	t.Helper()
	var answer func(io.Writer, *http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		answer(flushing{w}, request)
	}))
	t.Cleanup(server.Close)
	_, breaker := made(t, policy)
	transport := softfuse.NewTransport(breaker, rewriting{server.URL})
	transport.Stream = settings
	return &http.Client{Transport: transport}, breaker, transport, func(next func(io.Writer, *http.Request)) { answer = next }
}

// rewriting sends all requests to one server.
type rewriting struct{ url string }

func (r rewriting) RoundTrip(request *http.Request) (*http.Response, error) {
	there, err := http.NewRequestWithContext(request.Context(), request.Method, r.url, request.Body)
	if err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(there)
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(bytes []byte) (int, error) {
	count, err := f.ResponseWriter.Write(bytes)
	if flusher, ok := f.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
	return count, err
}

func read(t *testing.T, client *http.Client) (string, error) {
	t.Helper()
	response, err := client.Get("http://model.test/")
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func says(lines ...string) func(io.Writer, *http.Request) {
	return func(w io.Writer, _ *http.Request) {
		for _, line := range lines {
			_, _ = io.WriteString(w, line)
		}
	}
}

func hangs(lines ...string) func(io.Writer, *http.Request) {
	return func(w io.Writer, request *http.Request) {
		says(lines...)(w, request)
		<-request.Context().Done()
	}
}

const whole = "data: {\"choices\":[{\"delta\":{\"content\":\"Paris\"}}]}\n\ndata: [DONE]\n\n"

func TestAStreamEndsWithItsEndMark(t *testing.T) {
	client, breaker, _, answer := streams(t, threeFailures, softfuse.ModelStream())
	for _, ending := range []string{whole, strings.TrimRight(whole, "\n"), strings.ReplaceAll(whole, "\n", "\r\n"), strings.ReplaceAll(whole, "\n", "\r"),
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", ": a comment\n\ndata:[DONE]\n\n"} {
		answer(says(ending))
		if body, err := read(t, client); body != ending || err != nil {
			t.Errorf("%q %v", body, err)
		}
	}
	if totals := status(t, breaker).Totals; totals.Successes != 6 || totals.Calls != 6 {
		t.Errorf("%+v", totals)
	}
	answer(says("data: {\"choices\":[{\"delta\":{\"content\":\"Par\"}}]}\n\n"))
	body, err := read(t, client)
	var broken *softfuse.StreamError
	if !errors.As(err, &broken) || broken.Kind != softfuse.Failed || !strings.Contains(body, "Par") || err.Error() != "the stream ended without its end mark" {
		t.Errorf("%q %v", body, err)
	}
	if totals := status(t, breaker).Totals; totals.Failures != 1 {
		t.Errorf("%+v", totals)
	}
	// A reader who has had enough is no failure.
	answer(hangs("data: 1\n\n"))
	response, err := client.Get("http://model.test/")
	must(t, err)
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	must(t, err)
	must(t, response.Body.Close())
	if totals := status(t, breaker).Totals; totals.Failures != 1 || totals.Successes != 7 || line != "data: 1\n" {
		t.Errorf("%+v %q", totals, line)
	}
}

func TestAnErrorInsideAStreamIsAFailureAtOnce(t *testing.T) {
	for said, kind := range map[string]softfuse.Kind{
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n":                   softfuse.Overloaded,
		"data: {\"error\":{\"message\":\"slow down\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}\n\n":                            softfuse.RateLimited,
		"data: {\"error\":\"the model has crashed\"}\n\n":                                                                                     softfuse.Failed,
		"event: response.failed\ndata: {\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"no\"}}}\n\n":                         softfuse.Failed,
		"event: error\ndata: gone\ndata: wrong\n\n":                                                                                           softfuse.Failed,
		"data: {\"error\":{\"code\":\"content_filter\",\"message\":\"no\"}}\n\n":                                                              softfuse.ContentPolicy,
		"data: {\"type\":\"error\",\"code\":\"invalid_request_error\",\"message\":\"\\\"error\\\"\"}\n\n":                                     softfuse.BadRequest,
		"event: error\r\ndata: {\"error\":{\"type\":\"timeout_error\"}}\r\n\r\n":                                                              softfuse.Timeout,
		"data: {\"error\":{\"type\":\"" + strings.Repeat("x", 20_000) + "\"}}\n\nevent: error\ndata: " + strings.Repeat("y", 20_000) + "\n\n": softfuse.Failed,
	} {
		client, breaker, _, answer := streams(t, "trip_on = { consecutive_failures = 9 }", softfuse.ModelStream())
		answer(hangs("data: {\"choices\":[],\"error\":null}\n\n", said))
		response, err := client.Get("http://model.test/")
		must(t, err)
		var body strings.Builder
		for piece := make([]byte, 512); status(t, breaker).Totals.Calls == 0; {
			count, err := response.Body.Read(piece)
			must(t, err)
			_, _ = body.Write(piece[:count])
		}
		must(t, response.Body.Close())
		found := status(t, breaker)
		if kind.IsFailure() && (found.LastFailure == nil || found.LastFailure.Kind != kind) || !kind.IsFailure() && found.Totals.Neutral != 1 {
			t.Errorf("%.60q: %+v", said, found)
		}
		if !strings.HasPrefix("data: {\"choices\":[],\"error\":null}\n\n"+said, body.String()) {
			t.Errorf("it is passed on as it came: %.80q", body.String())
		}
	}
}

func TestAnErrorInsideAStreamIsToldByTheStreamAlone(t *testing.T) {
	for _, said := range []string{
		"data: {\"error\":\"the model has crashed\"}\n\n", "data: {\"error\":\"the model has crashed\"}",
		"data: {\"error\":{\"type\":\"overloaded\"}}\n\nevent: error\ndata: gone\n\n",
	} {
		client, breaker, _, answer := streams(t, threeFailures, softfuse.ModelStream())
		answer(says("data: 1\n\n", said))
		// It ends as the service ended it: nothing else is wrong.
		if body, err := read(t, client); err != nil || body != "data: 1\n\n"+said {
			t.Errorf("%q %v", body, err)
		}
		if totals := status(t, breaker).Totals; totals.Failures != 1 || totals.Calls != 1 {
			t.Errorf("%q: %+v", said, totals)
		}
		// The end may come by itself, too.
		transport := softfuse.NewTransport(breaker, roundTripper(func(request *http.Request) (*http.Response, error) {
			body := io.NopCloser(iotest.OneByteReader(strings.NewReader(said)))
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, Request: request}, nil
		}))
		transport.Stream = softfuse.ModelStream()
		if body, err := read(t, &http.Client{Transport: transport}); err != nil || body != said {
			t.Errorf("%q %v", body, err)
		}
	}
}

func TestACompressedStreamIsPassedOnAsItIs(t *testing.T) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err := io.WriteString(writer, whole)
	must(t, err)
	must(t, writer.Close())
	scorer := &ends{shown: make(chan string, 10)}
	scoring, err := softfuse.NewScoring(scorer, softfuse.ScoringSettings{})
	must(t, err)
	get := func(encoding, accepts string, answer []byte) (string, softfuse.Totals) {
		_, breaker := made(t, "trip_on = { quality_below = { threshold = 0.05, window = 100 } }")
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			if encoding == "identity" {
				w.Header().Set("Content-Type", "Text/Event-Stream ; charset=utf-8")
			}
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(answer)
		}))
		defer server.Close()
		transport := softfuse.NewTransport(breaker, nil)
		transport.Stream, transport.Scoring = softfuse.ModelStream(), scoring
		transport.ExchangeOf = func(*http.Request, *http.Response) *softfuse.Exchange { return &softfuse.Exchange{} }
		request, err := http.NewRequest(http.MethodGet, server.URL, nil)
		must(t, err)
		if accepts != "" {
			request.Header.Set("Accept-Encoding", accepts)
		}
		response, err := transport.RoundTrip(request)
		must(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		return string(body), status(t, breaker).Totals
	}
	const broken = "the stream ended without its end mark"
	half := []byte("data: 1\n\n")
	for _, test := range []struct {
		encoding, accepts string
		answer            []byte
		body              string
		failures          uint64
		shown             int
	}{
		// Whoever has asked for it gets it, and unpacks it.
		{"gzip", "gzip", packed.Bytes(), packed.String(), 0, 0}, {"gzip, br", "gzip, br", half, string(half), 0, 0},
		// What net/http has asked for it unpacks, and the others are none.
		{"gzip", "", packed.Bytes(), whole, 0, 1}, {"identity", "gzip", half, broken, 1, 0}, {"", "gzip", []byte(whole), whole, 0, 1},
	} {
		body, totals := get(test.encoding, test.accepts, test.answer)
		if body != test.body || totals.Failures != test.failures || totals.Calls != 1 {
			t.Errorf("%q for %q: %q %+v", test.encoding, test.accepts, body, totals)
		}
		for range test.shown {
			<-scorer.shown
		}
	}
	scoring.Close()
	if len(scorer.shown) != 0 {
		t.Errorf("%q", <-scorer.shown)
	}
}

func TestAPanicOverAnEventCostsNobodyTheStream(t *testing.T) {
	settings := &softfuse.StreamSettings{EndMarks: []string{"[DONE]"}, ErrorOf: func(_, data string) (softfuse.Kind, string, bool) {
		if strings.Contains(data, "Paris") {
			panic("no such city")
		}
		return softfuse.Overloaded, "too much", strings.Contains(data, "error")
	}}
	client, breaker, _, answer := streams(t, threeFailures, settings)
	answer(says(whole))
	if body, err := read(t, client); body != whole || err != nil {
		t.Errorf("%q %v", body, err)
	}
	answer(says("data: Paris\n\ndata: an error\n\n", whole))
	if _, err := read(t, client); err != nil {
		t.Error(err)
	}
	if found := status(t, breaker); found.Totals.Successes != 1 || found.Totals.Failures != 1 || found.LastFailure.Kind != softfuse.Overloaded {
		t.Errorf("%+v", found)
	}
}

func TestAnEventIsReadInPiecesOfAnySize(t *testing.T) {
	settings := softfuse.ModelStream()
	_, breaker := made(t, threeFailures)
	transport := softfuse.NewTransport(breaker, roundTripper(func(request *http.Request) (*http.Response, error) {
		body := io.NopCloser(iotest.OneByteReader(strings.NewReader("event: x\r\ndata: a\r\rdata: [DO\ndata: NE]\n\ndata: [DONE]\r\n\r\n")))
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, Request: request}, nil
	}))
	transport.Stream = settings
	if _, err := read(t, &http.Client{Transport: transport}); err != nil || status(t, breaker).Totals.Successes != 1 {
		t.Errorf("%v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func TestAPieceThatDoesNotComeIsATimeout(t *testing.T) {
	short := 50 * time.Millisecond
	for said, test := range map[string]struct {
		settings softfuse.StreamSettings
		answer   func(io.Writer, *http.Request)
	}{
		"no first piece of the response within 50ms":   {softfuse.StreamSettings{FirstPiece: short}, hangs()},
		"no further piece of the response within 50ms": {softfuse.StreamSettings{Stall: short}, hangs("data: 1\n\n")},
	} {
		client, breaker, _, answer := streams(t, threeFailures, &test.settings)
		answer(test.answer)
		_, err := read(t, client)
		var late *softfuse.StreamError
		if !errors.As(err, &late) || late.Kind != softfuse.Timeout || late.Error() != said {
			t.Errorf("%s: %v", said, err)
		}
		if found := status(t, breaker); found.LastFailure == nil || found.LastFailure.Kind != softfuse.Timeout || found.Totals.Calls != 1 {
			t.Errorf("%s: %+v", said, found)
		}
	}
	// A header that doesn't come is a first piece that doesn't come.
	_, breaker := made(t, threeFailures)
	transport := softfuse.NewTransport(breaker, roundTripper(func(request *http.Request) (*http.Response, error) {
		<-request.Context().Done()
		return nil, request.Context().Err()
	}))
	transport.Stream = &softfuse.StreamSettings{FirstPiece: short}
	if _, err := read(t, &http.Client{Transport: transport}); err == nil || !strings.Contains(err.Error(), "no first piece") {
		t.Errorf("%v", err)
	}
	if found := status(t, breaker); found.LastFailure == nil || found.LastFailure.Kind != softfuse.Timeout {
		t.Errorf("%+v", found)
	}
}

func TestAReaderMayTakeItsTime(t *testing.T) {
	// It sleeps, mostly.
	t.Parallel()
	client, breaker, _, answer := streams(t, threeFailures, &softfuse.StreamSettings{FirstPiece: 2 * time.Second, Stall: 2 * time.Second})
	answer(says("data: 1\n\n", "data: 2\n\n"))
	response, err := client.Get("http://model.test/")
	must(t, err)
	time.Sleep(2500 * time.Millisecond)
	body, err := io.ReadAll(response.Body)
	must(t, response.Body.Close())
	if err != nil || string(body) != "data: 1\n\ndata: 2\n\n" || status(t, breaker).Totals.Successes != 1 {
		t.Errorf("%q %v", body, err)
	}
}

// ends scores by how an answer ends, and notes what it was shown.
type ends struct {
	streams bool
	shown   chan string
}

func (e *ends) Name() string  { return "ends" }
func (e *ends) Streams() bool { return e.streams }

func (e *ends) Score(exchange *softfuse.Exchange) (softfuse.Verdict, error) {
	e.shown <- fmt.Sprintf("%s %s %s truncated: %v", exchange.Operation, exchange.Answer.ContentType, exchange.Answer.Bytes, exchange.Answer.Truncated)
	if len(exchange.Answer.Bytes) == 0 {
		panic("there is nothing")
	}
	return softfuse.Verdict{Score: 0.1, Scored: true}, nil
}

func (e *ends) Stream(*softfuse.Exchange) (softfuse.ScoreStream, error) {
	return &endsStream{ends: e}, nil
}

type endsStream struct {
	ends *ends
	seen strings.Builder
}

func (s *endsStream) Push(piece []byte) (*softfuse.Verdict, error) {
	s.seen.Write(piece)
	if strings.Contains(s.seen.String(), "worthless") {
		return &softfuse.Verdict{Score: 0, Scored: true}, nil
	}
	if strings.Contains(s.seen.String(), "nonsense") {
		return &softfuse.Verdict{Score: math.NaN(), Scored: true}, nil
	}
	return nil, nil
}

func (s *endsStream) Finish(complete bool) (softfuse.Verdict, error) {
	s.ends.shown <- fmt.Sprintf("streamed %s complete: %v", s.seen.String(), complete)
	return softfuse.Verdict{Score: 0.1, Scored: true}, nil
}

func (s *endsStream) Discard() { s.ends.shown <- "discarded" }

func TestABodyIsScoredWhenItHasEnded(t *testing.T) {
	const policy = "trip_on = { quality_below = { threshold = 0.5, window = 2 } }\nhalf_open_after = \"1h\""
	for _, streaming := range []bool{false, true} {
		client, breaker, transport, answer := streams(t, policy, nil)
		scorer := &ends{streams: streaming, shown: make(chan string, 10)}
		scoring, err := softfuse.NewScoring(scorer, softfuse.ScoringSettings{AnswerBytesMax: 12, StreamsMax: 1, Workers: 1})
		must(t, err)
		transport.Scoring = scoring
		transport.ExchangeOf = func(request *http.Request, response *http.Response) *softfuse.Exchange {
			return &softfuse.Exchange{Operation: request.Method, Answer: softfuse.Body{ContentType: response.Header.Get("Content-Type")}}
		}
		answer(says("data: 1\n", "data: 2\n"))
		_, err = read(t, client)
		must(t, err)
		expected := "GET text/event-stream; charset=utf-8 data: 1\ndata truncated: true"
		if streaming {
			expected = "streamed data: 1\ndata: 2\n complete: true"
		}
		if shown := <-scorer.shown; shown != expected {
			t.Errorf("%q", shown)
		}
		// Known to be worthless before its end.
		answer(hangs("worthless"))
		response, err := client.Get("http://model.test/")
		must(t, err)
		_, err = response.Body.Read(make([]byte, 100))
		must(t, err)
		must(t, response.Body.Close())
		scoring.Close()
		if streaming {
			if shown := <-scorer.shown; shown != "discarded" {
				t.Errorf("%q", shown)
			}
		} else if shown := <-scorer.shown; !strings.HasSuffix(shown, "worthless truncated: true") {
			t.Errorf("%q", shown)
		}
		if found := status(t, breaker); found.State != softfuse.Open {
			t.Errorf("%v: %+v", streaming, found)
		}
	}
}

func TestAnAnswerStreamGivesItsScoreToItsCall(t *testing.T) {
	const policy = "trip_on = { quality_below = { threshold = 0.5, window = 1 } }\nhalf_open_after = \"1h\"\nrequire_quality_signal = true"
	scorer := &ends{streams: true, shown: make(chan string, 10)}
	scoring, err := softfuse.NewScoring(scorer, softfuse.ScoringSettings{StreamsMax: 1, Workers: 1})
	must(t, err)
	defer scoring.Close()
	_, breaker := made(t, policy)
	permit, err := breaker.Permit()
	must(t, err)
	first := scoring.Stream(permit.Reporter(), &softfuse.Exchange{})
	// The one instance is taken: this one is collected.
	second := scoring.Stream(permit.Reporter(), &softfuse.Exchange{Operation: "chat"})
	if first.Push([]byte("fine")) != nil || second.Push([]byte("fine")) != nil {
		t.Error("nobody has spoken")
	}
	if verdict := first.Push([]byte(" but worthless")); verdict == nil || verdict.Score != 0 || <-scorer.shown != "discarded" {
		t.Errorf("%+v", verdict)
	}
	if verdict, err := second.Finish(true); err != nil || verdict.Score != 0.1 || <-scorer.shown != "chat  fine truncated: false" {
		t.Errorf("%+v %v", verdict, err)
	}
	// A score that is there wins over a scorer's.
	if verdict, err := first.Finish(true); err != nil || verdict.Score != 0 {
		t.Errorf("%+v %v", verdict, err)
	}
	settled, err := permit.Success()
	must(t, err)
	if settled.Change == nil || !strings.Contains(settled.Change.String(), "0.1") {
		t.Errorf("%v", settled.Change)
	}
	// A scorer that panics gives no score, nor does one that says a number which is none.
	_, err = breaker.Reset()
	must(t, err)
	permit, err = breaker.Permit()
	must(t, err)
	third := scoring.Stream(permit.Reporter(), &softfuse.Exchange{})
	third.Discard()
	var failure *softfuse.ScorerFailure
	fourth := scoring.Stream(permit.Reporter(), &softfuse.Exchange{})
	if verdict := fourth.Push([]byte("nonsense")); verdict != nil {
		t.Errorf("%+v", verdict)
	}
	if verdict, err := fourth.Finish(true); !errors.As(err, &failure) || failure.Reason != "invalid-score" || verdict.Scored {
		t.Errorf("%+v %v", verdict, err)
	}
	scorer.streams = false
	empty := scoring.Stream(permit.Reporter(), &softfuse.Exchange{})
	if _, err := empty.Finish(true); !errors.As(err, &failure) || failure.Reason != "panicked" {
		t.Errorf("%v", err)
	}
	permit.Cancel()
}

// inFlight is a body of which one more piece comes when it is closed, as one may that was on its way.
type inFlight struct {
	closed chan struct{}
	pieces int
}

func (b *inFlight) Read(into []byte) (int, error) {
	<-b.closed
	if b.pieces++; b.pieces > 20 {
		return 0, io.EOF
	}
	return copy(into, "data: 1\n\n"), nil
}

func (b *inFlight) Close() error {
	close(b.closed)
	return nil
}

// alone scores as one that may be used by one goroutine at a time, and not after its end.
type alone struct {
	ends
	wrong atomic.Int32
	ended chan struct{}
}

type aloneStream struct {
	scorer *alone
	// uses is plain memory, for the race detector.
	uses int
	busy atomic.Bool
	over bool
}

func (s *alone) Stream(*softfuse.Exchange) (softfuse.ScoreStream, error) {
	return &aloneStream{scorer: s}, nil
}

func (s *aloneStream) use(last bool) {
	if !s.busy.CompareAndSwap(false, true) || s.over {
		s.scorer.wrong.Add(1)
	}
	s.uses++
	s.over = last
	time.Sleep(10 * time.Microsecond)
	s.busy.Store(false)
	if last {
		s.scorer.ended <- struct{}{}
	}
}

func (s *aloneStream) Push([]byte) (*softfuse.Verdict, error) { s.use(false); return nil, nil }

func (s *aloneStream) Finish(bool) (softfuse.Verdict, error) {
	s.use(true)
	return softfuse.Verdict{Score: 1, Scored: true}, nil
}

func (s *aloneStream) Discard() { s.use(true) }

func TestABodyMayBeClosedWhileItIsRead(t *testing.T) {
	const policy = "trip_on = { quality_below = { threshold = 0.5, window = 2 } }"
	_, breaker := made(t, policy)
	scorer := &alone{ends: ends{streams: true}, ended: make(chan struct{}, 1)}
	// One that has ended may hold its place for a moment longer.
	scoring, err := softfuse.NewScoring(scorer, softfuse.ScoringSettings{StreamsMax: 9})
	must(t, err)
	defer scoring.Close()
	transport := softfuse.NewTransport(breaker, roundTripper(func(request *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &inFlight{closed: make(chan struct{})}, Request: request}, nil
	}))
	transport.Scoring = scoring
	transport.ExchangeOf = func(*http.Request, *http.Response) *softfuse.Exchange { return &softfuse.Exchange{} }
	client := &http.Client{Transport: transport}
	for range 100 {
		response, err := client.Get("http://model.test/")
		must(t, err)
		var group sync.WaitGroup
		group.Go(func() { _, _ = io.Copy(io.Discard, response.Body) })
		must(t, response.Body.Close())
		<-scorer.ended
		group.Wait()
		// Nor does who reads on after the end harm anything.
		_, _ = response.Body.Read(make([]byte, 1))
	}
	if wrong := scorer.wrong.Load(); wrong != 0 {
		t.Errorf("%d times it was used by two, or after its end", wrong)
	}
	if totals := status(t, breaker).Totals; totals.Successes != 100 || totals.Calls != 100 {
		t.Errorf("%+v", totals)
	}
}
