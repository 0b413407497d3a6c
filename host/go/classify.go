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

// Outcome is what its status counts as; below 400 it is a failure, since who makes an error of it means one.
func (e *StatusError) Outcome() Outcome {
	outcome := OutcomeOf(kindOfErrorStatus(e.StatusCode))
	if e.RetryAfter != nil {
		outcome = outcome.WithRetryAfter(*e.RetryAfter)
	}
	return outcome
}

// Classify is what an error counts as by default:
//
//   - no error: a success;
//   - an [OutcomeError]: what it says; an error with a method `StatusCode() int` or `HTTPStatusCode() int`: what [KindOfStatus] says, and a
//     failure where that is a success;
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
		return OutcomeOf(kindOfErrorStatus(coded.StatusCode()))
	}
	if coded, ok := find[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return OutcomeOf(kindOfErrorStatus(coded.HTTPStatusCode()))
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

// KindOfStatus is what a response with this HTTP status counts as, in every host of Softfuse. Below 400: [Success]. 408 and 504 are
// timeouts, 429 is a rate limit, 503 and 529 are load, 499 is a caller that went away, 451 is the content policy. 401, 402, 403, 404
// and 407 are failures: as it is set up, the provider serves nobody (a key revoked, an account unpaid, a deployment gone). Every other
// 4xx is a request that is bad by itself, which is neutral. All else is a failure.
func KindOfStatus(status int) Kind {
	switch {
	case status < 400:
		return Success
	case status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout:
		return Timeout
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status == http.StatusServiceUnavailable || status == 529:
		return Overloaded
	case status == http.StatusUnavailableForLegalReasons:
		return ContentPolicy
	case status == 499:
		return Cancelled
	case status >= http.StatusUnauthorized && status <= http.StatusNotFound || status == http.StatusProxyAuthRequired:
		return Failed
	case status < 500:
		return BadRequest
	}
	return Failed
}

// kindOfErrorStatus is what an error with this HTTP status counts as: who makes an error of a status below 400 means a failure.
func kindOfErrorStatus(status int) Kind {
	if kind := KindOfStatus(status); kind != Success {
		return kind
	}
	return Failed
}

// retryAfterMax bounds what a Retry-After may ask for; the policy's `retry_after_max` bounds what it does.
const retryAfterMax = 365 * 24 * time.Hour

// RetryAfterOf reads how long a response asks not to call again, 365 days at most: `Retry-After-Ms`, as services for models send it,
// or `Retry-After` in seconds (fractions too) or as a date. Not ok where there is nothing that can be read.
func RetryAfterOf(header http.Header) (span time.Duration, ok bool) {
	return RetryAfterAt(header, time.Now())
}

// RetryAfterAt is [RetryAfterOf] at a time by the wall clock.
func RetryAfterAt(header http.Header, now time.Time) (span time.Duration, ok bool) {
	if span, ok = spanOf(header.Get("Retry-After-Ms"), time.Millisecond); ok {
		return span, true
	}
	text := header.Get("Retry-After")
	if span, ok = spanOf(text, time.Second); ok {
		return span, true
	}
	at, err := http.ParseTime(strings.TrimSpace(text))
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), retryAfterMax), true
}

// spanOf reads digits, with a fraction perhaps, and nothing else that Go takes for a number.
func spanOf(text string, unit time.Duration) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	whole, fraction, hasPoint := strings.Cut(text, ".")
	if !isDigits(whole) || hasPoint && !isDigits(fraction) {
		return 0, false
	}
	// One that is too large for a float64 is an infinity.
	number, _ := strconv.ParseFloat(text, 64)
	return time.Duration(min(number*float64(unit), float64(retryAfterMax))), true
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
