// What a call's error counts as.

package softfuse

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Classifier says what the error of a guarded call counts as; err is nil for a call that succeeded. The context is the caller's. It
// usually looks at what it knows, and leaves the rest to [Classify]. If it panics, that does.
type Classifier func(ctx context.Context, err error) Outcome

// OutcomeError is an error that knows what it counts as.
type OutcomeError interface {
	error
	// Outcome is what it counts as.
	Outcome() Outcome
}

// StatusError is a response by its HTTP status, as an error: for clients that have none of their own.
type StatusError struct {
	// StatusCode is the response's.
	StatusCode int
	// RetryAfter is how long the service asked not to be called; nil where it didn't.
	RetryAfter *time.Duration
	// Text is what the service said, or whatever helps.
	Text string
}

func (e *StatusError) Error() string {
	text := strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Outcome is what its status counts as.
func (e *StatusError) Outcome() Outcome {
	outcome := OutcomeOf(KindOfStatus(e.StatusCode))
	if e.RetryAfter != nil {
		outcome = outcome.WithRetryAfter(*e.RetryAfter)
	}
	return outcome
}

// Classify is what an error counts as by default:
//
//   - no error: a success;
//   - an [OutcomeError]: what it says; an error with a method `StatusCode() int` or `HTTPStatusCode() int`: what [KindOfStatus] says;
//   - the caller has cancelled its context: [Cancelled], which is neutral, since it went away. If something else was cancelled, a
//     context of the function's own, that is the call's failure;
//   - a deadline, the caller's or any other, or another timeout: [Timeout], a failure. In Go a call's timeout is its context's deadline,
//     so a service that hangs shows in no other way; a caller that wants to give up early, whatever the service does, cancels;
//   - anything else: [Failed].
func Classify(ctx context.Context, err error) Outcome {
	if err == nil {
		return Succeeded()
	}
	if known, ok := find[OutcomeError](err); ok {
		return known.Outcome()
	}
	if ctx != nil && errors.Is(ctx.Err(), context.Canceled) {
		return OutcomeOf(Cancelled)
	}
	if isTimeout(err) {
		return OutcomeOf(Timeout)
	}
	if coded, ok := find[interface {
		error
		StatusCode() int
	}](err); ok {
		return OutcomeOf(KindOfStatus(coded.StatusCode()))
	}
	if coded, ok := find[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return OutcomeOf(KindOfStatus(coded.HTTPStatusCode()))
	}
	return OutcomeOf(Failed)
}

// find is the first error of the chain that is a T.
func find[T error](err error) (found T, ok bool) {
	ok = errors.As(err, &found)
	return found, ok
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	network, ok := find[net.Error](err)
	return ok && network.Timeout()
}

// panicOutcome is what a panic counts as: a failure, but for the one by which a handler says that its client has gone.
func panicOutcome(panicked any) Outcome {
	if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return OutcomeOf(Cancelled)
	}
	return OutcomeOf(Failed)
}

// KindOfStatus is what an HTTP status counts as: 408 and 504 are timeouts, 429 is a rate limit, 503 and 529 are load, every other 5xx
// is a failure; 401, 403, 404 and every other 4xx is a request that is bad by itself, which is neutral; 499 is a caller that went away;
// 451 is the content policy. All else is a success.
func KindOfStatus(status int) Kind {
	switch {
	case status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout:
		return Timeout
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status == http.StatusServiceUnavailable || status == 529:
		return Overloaded
	case status >= 500:
		return Failed
	case status == http.StatusUnavailableForLegalReasons:
		return ContentPolicy
	case status == 499:
		return Cancelled
	case status >= 400:
		return BadRequest
	}
	return Success
}

// retryAfterMax bounds what a Retry-After may ask for; the policy's `retry_after_max` bounds what it does.
const retryAfterMax = 365 * 24 * time.Hour

// RetryAfterOf reads a response's `Retry-After`: seconds, or a date. Not ok where there is none that can be read.
func RetryAfterOf(header http.Header) (span time.Duration, ok bool) {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds >= 0) {
			return 0, false
		}
		return time.Duration(min(seconds, retryAfterMax.Seconds()) * float64(time.Second)), true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return min(max(time.Until(at), 0), retryAfterMax), true
}
