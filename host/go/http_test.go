// HTTP: clients and handlers behind a breaker, health and metrics.

package softfuse_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

func TestATransportGuardsAClient(t *testing.T) {
	var answer func(http.ResponseWriter, *http.Request)
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		requests++
		answer(w, request)
	}))
	defer server.Close()
	_, breaker := made(t, "trip_on = { consecutive_failures = 2 }\nhalf_open_after = \"10s\"")
	client := &http.Client{Transport: softfuse.NewTransport(breaker, nil)}
	get := func() (string, error) {
		response, err := client.Get(server.URL)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Paris") }
	if body, err := get(); body != "Paris" || err != nil {
		t.Errorf("%q %v", body, err)
	}
	answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what?", http.StatusBadRequest) }
	_, err := get()
	must(t, err)
	// A body that breaks off is a failure, whatever its status was.
	answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "Par")
	}
	if _, err := get(); err == nil {
		t.Error("it broke off")
	}
	answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "40")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	_, err = get()
	must(t, err)
	before := requests
	_, err = get()
	var open *softfuse.OpenError
	if !errors.As(err, &open) || *open.RetryAfter < 39*time.Second || requests != before {
		t.Errorf("%v", err)
	}
	if totals := status(t, breaker).Totals; totals.Successes != 1 || totals.Neutral != 1 || totals.Failures != 2 {
		t.Errorf("%+v", totals)
	}
}

func TestMiddlewareGuardsAHandler(t *testing.T) {
	_, breaker := made(t, "trip_on = { consecutive_failures = 2 }\nhalf_open_after = \"1500ms\"")
	code, panics := http.StatusOK, false
	handler := softfuse.Middleware(breaker, nil)(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		must(t, softfuse.ReportQuality(request.Context(), 0.5))
		if panics {
			panic("gone wrong")
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "said")
	}))
	serve := func() *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
		return recorder
	}
	if found := serve(); found.Code != http.StatusOK || found.Body.String() != "said" {
		t.Errorf("%+v", found)
	}
	code = http.StatusInternalServerError
	_ = serve()
	panics = true
	func() {
		defer func() { _ = recover() }()
		_ = serve()
		t.Error("the panic goes on")
	}()
	found := serve()
	if found.Code != http.StatusServiceUnavailable || found.Header().Get("Retry-After") != "2" {
		t.Errorf("%d %v", found.Code, found.Header())
	}
	if totals := status(t, breaker).Totals; totals.Successes != 1 || totals.Failures != 2 || totals.Rejections != 1 {
		t.Errorf("%+v", totals)
	}
}

func TestWhatAHandlersResponsesCountAs(t *testing.T) {
	_, breaker := made(t, "trip_on = { consecutive_failures = 1000 }")
	count := func(code int, request *http.Request, options ...softfuse.MiddlewareOption) softfuse.Totals {
		before := status(t, breaker).Totals
		softfuse.Middleware(breaker, nil, options...)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
		})).ServeHTTP(httptest.NewRecorder(), request)
		after := status(t, breaker).Totals
		return softfuse.Totals{
			Successes: after.Successes - before.Successes, Failures: after.Failures - before.Failures, Neutral: after.Neutral - before.Neutral,
		}
	}
	success, failure, neutral := softfuse.Totals{Successes: 1}, softfuse.Totals{Failures: 1}, softfuse.Totals{Neutral: 1}
	get := httptest.NewRequest(http.MethodGet, "/", nil)
	for code := 200; code < 1000; code++ {
		want := success
		switch {
		case code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooManyRequests:
			want = failure
		case code >= 400:
			want = neutral
		}
		if found := count(code, get); found != want {
			t.Errorf("%d: %+v", code, found)
		}
		if kind := softfuse.ClassifyServed(get, code, nil).Kind(); !kind.IsNeutral() && kind != softfuse.KindOfStatus(code) {
			t.Errorf("%d is %v", code, kind)
		}
	}
	// A client that has gone counts for nobody; a deadline that was set for the handler is its failure.
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if found := count(500, get.WithContext(gone)); found != neutral {
		t.Errorf("%+v", found)
	}
	if found := count(504, get.WithContext(late)); found != failure {
		t.Errorf("%+v", found)
	}
	// Of users who see it otherwise the word counts, unless it doesn't come.
	own := softfuse.WithServedClassifier(func(request *http.Request, status int, header http.Header) softfuse.Outcome {
		if status == http.StatusTeapot {
			panic("what?")
		}
		if status == http.StatusNotFound && request.URL.Path == "/" {
			return softfuse.OutcomeOf(softfuse.Failed)
		}
		return softfuse.ClassifyServed(request, status, header)
	})
	for code, want := range map[int]softfuse.Totals{404: failure, 403: neutral, 418: neutral, 200: success} {
		if found := count(code, get, own); found != want {
			t.Errorf("%d: %+v", code, found)
		}
	}
}

func TestAGuardedHandlerMayStreamAndTakeOver(t *testing.T) {
	_, breaker := made(t, threeFailures)
	flushed := make(chan struct{})
	guarded := softfuse.Middleware(breaker, nil)(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/taken" {
			connection, _, err := w.(http.Hijacker).Hijack()
			must(t, err)
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntaken")
			must(t, connection.Close())
			return
		}
		_, _ = io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		// The client has the first piece before the last is written.
		<-flushed
	}))
	// A server doesn't wait for a handler that has taken its connection over.
	var serving sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		serving.Add(1)
		defer serving.Done()
		guarded.ServeHTTP(w, request)
	}))
	defer server.Close()
	response, err := http.Get(server.URL)
	must(t, err)
	_, err = io.ReadFull(response.Body, make([]byte, len("data: 1\n\n")))
	must(t, err)
	close(flushed)
	_, err = io.ReadAll(response.Body)
	must(t, err)
	must(t, response.Body.Close())
	response, err = http.Get(server.URL + "/taken")
	must(t, err)
	body, err := io.ReadAll(response.Body)
	must(t, response.Body.Close())
	if string(body) != "taken" || err != nil {
		t.Errorf("%q %v", body, err)
	}
	// Its server's writer can't.
	recorder := httptest.NewRecorder()
	softfuse.Middleware(breaker, nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("%v", err)
		}
	})).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	serving.Wait()
	if totals := status(t, breaker).Totals; totals.Successes != 3 || totals.Calls != 3 {
		t.Errorf("%+v", totals)
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	for text, want := range map[string]time.Duration{"7": 7 * time.Second, "0.5": 500 * time.Millisecond, " 1 ": time.Second} {
		if found, ok := softfuse.RetryAfterOf(http.Header{"Retry-After": {text}}); !ok || found != want {
			t.Errorf("%s: %v", text, found)
		}
	}
	for _, text := range []string{"", "soon", "-1", "NaN", "1e300"} {
		if found, ok := softfuse.RetryAfterOf(http.Header{"Retry-After": {text}}); ok {
			t.Errorf("%s: %v", text, found)
		}
	}
	at := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	if found, ok := softfuse.RetryAfterOf(http.Header{"Retry-After": {at}}); !ok || found > time.Minute || found < 58*time.Second {
		t.Errorf("%v", found)
	}
}

func TestHealth(t *testing.T) {
	clock := &softfuse.ManualClock{}
	registry, _ := made(t, threeFailures, softfuse.WithClock(clock))
	policy, err := registry.Policy("test.toml", threeFailures)
	must(t, err)
	for _, name := range []string{"chat", "embeddings", "rerank"} {
		_, err := registry.Breaker(name, policy)
		must(t, err)
	}
	keyed, err := registry.Keyed("tenants", policy, softfuse.KeyedSettings{LiveMax: 10})
	must(t, err)
	_, err = get(t, keyed, "a").Trip("maintenance")
	must(t, err)
	ask := func() (int, *softfuse.Health) {
		recorder := httptest.NewRecorder()
		registry.HealthHandler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/health", nil))
		var page struct {
			Summary  string
			Circuits []struct {
				Name, State string
				Available   bool
			}
		}
		must(t, json.Unmarshal(recorder.Body.Bytes(), &page))
		health := registry.Health()
		if page.Summary != health.Summary || page.Circuits[0].State != health.Circuits[0].State.String() {
			t.Errorf("%s", recorder.Body)
		}
		return recorder.Code, health
	}
	if code, health := ask(); code != http.StatusOK || health.Summary != "4/5 circuits healthy" || health.Families[0].Refusing != 1 {
		t.Errorf("%d %+v", code, health)
	}
	for _, name := range []string{"chat", "rerank"} {
		_, err := registry.Get(name).Trip("maintenance")
		must(t, err)
	}
	if code, health := ask(); code != http.StatusServiceUnavailable || health.Status != "unhealthy" || *health.Circuits[0].Reason != "maintenance" {
		t.Errorf("%d %+v", code, health)
	}
	// Their periods are over: they are available, though nobody has called yet.
	clock.Advance(time.Second)
	if code, health := ask(); code != http.StatusOK || health.Summary != "5/5 circuits healthy" || health.Circuits[0].State != softfuse.Open {
		t.Errorf("%d %+v", code, health)
	}
}

func TestMetricsAreInTheOpenMetricsFormat(t *testing.T) {
	registry, _ := made(t, threeFailures)
	recorder := httptest.NewRecorder()
	registry.MetricsHandler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := recorder.Body.String()
	if recorder.Header().Get("Content-Type") != softfuse.MetricsContentType || !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("%v", recorder.Header())
	}
	family := ""
	for line := range strings.Lines(text) {
		if name, isType := strings.CutPrefix(line, "# TYPE "); isType {
			family, _, _ = strings.Cut(name, " ")
			continue
		}
		if !strings.HasPrefix(line, "#") && (!strings.HasPrefix(line, family) || strings.Count(line, " ") != 1) {
			t.Errorf("%q stands under %s", line, family)
		}
	}
}
