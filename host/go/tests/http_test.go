// What HTTP statuses count as, and what is read of Retry-After, by the vectors that every host runs.

package tests

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"softfuse.dev/softfuse"
)

func TestEveryStatusCountsAsInEveryHost(t *testing.T) {
	var file struct {
		Status []struct {
			Name string `toml:"name"`
			From int    `toml:"from"`
			To   int    `toml:"to"`
			Kind string `toml:"kind"`
		} `toml:"status"`
	}
	decode(t, filepath.Join(repo(t), "tests", "vectors", "http", "statuses.toml"), &file)
	next := 0
	for _, one := range file.Status {
		if one.From != next {
			t.Fatalf("%s: it begins at %d, and %d was to follow", one.Name, one.From, next)
		}
		for status := one.From; status <= max(one.From, one.To); status++ {
			next = status + 1
			if kind := softfuse.KindOfStatus(status); kind.String() != one.Kind {
				t.Errorf("%d is %v, and %s: %s", status, kind, one.Kind, one.Name)
			}
			want := one.Kind
			if want == softfuse.Success.String() {
				// Who makes an error of it means a failure.
				want = softfuse.Failed.String()
			}
			if kind := (&softfuse.StatusError{StatusCode: status}).Outcome().Kind(); kind.String() != want {
				t.Errorf("%d as an error is %v", status, kind)
			}
		}
	}
	if next != 1000 {
		t.Errorf("the last status is %d", next-1)
	}
}

func TestRetryAfterIsReadAsInEveryHost(t *testing.T) {
	var file struct {
		Now    string `toml:"now"`
		Header []struct {
			Name    string            `toml:"name"`
			Headers map[string]string `toml:"headers"`
			SpanMs  *float64          `toml:"span_ms"`
		} `toml:"header"`
	}
	decode(t, filepath.Join(repo(t), "tests", "vectors", "http", "retry_after.toml"), &file)
	now, err := time.Parse(time.RFC3339, file.Now)
	if err != nil || len(file.Header) < 25 {
		t.Fatalf("%v, %d headers", err, len(file.Header))
	}
	for _, one := range file.Header {
		header := http.Header{}
		for name, value := range one.Headers {
			header.Set(name, value)
		}
		span, ok := softfuse.RetryAfterAt(header, now)
		switch {
		case ok != (one.SpanMs != nil):
			t.Errorf("%s: read: %v", one.Name, ok)
		case ok && float64(span)/float64(time.Millisecond) != *one.SpanMs:
			t.Errorf("%s: %v, and %v ms", one.Name, span, *one.SpanMs)
		}
	}
}

func TestErrorsInsideStreamsCountAsInEveryHost(t *testing.T) {
	var file struct {
		Event []struct {
			Name  string `toml:"name"`
			Event string `toml:"event"`
			Data  string `toml:"data"`
			Kind  string `toml:"kind"`
		} `toml:"event"`
	}
	decode(t, filepath.Join(repo(t), "tests", "vectors", "http", "stream_errors.toml"), &file)
	if len(file.Event) < 45 {
		t.Fatalf("there are more events than %d", len(file.Event))
	}
	for _, one := range file.Event {
		kind, text, isError := softfuse.ModelError(one.Event, one.Data)
		if isError != (one.Kind != "") || isError && (kind.String() != one.Kind || text == "" && one.Data != "") {
			t.Errorf("%s: %v %q %v, and it is %q", one.Name, kind, text, isError, one.Kind)
		}
	}
}
