// Policies written in Go: they become TOML, which the component reads, so that every policy has the same messages and meaning.

package softfuse

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// PolicySpec is a policy written in Go. A field that is zero has the policy's default.
type PolicySpec struct {
	// TripOn is what opens the circuit. It must be there.
	TripOn TripCondition
	// HalfOpenAfter is how long the circuit stays open. Default 60 s.
	HalfOpenAfter time.Duration
	// HalfOpenMaxCalls is how many probes may be under way at once. Default 3.
	HalfOpenMaxCalls int
	// RecoveryThreshold is how many probes in a row must pass. Default 2.
	RecoveryThreshold int
	// ProbeTimeout is after how long a probe that isn't settled frees its slot.
	ProbeTimeout time.Duration
	// RequireQualitySignal counts a success without a score as MissingScore, which is 0 where it is nil.
	RequireQualitySignal bool
	MissingScore         *float64
	// RetryAfterMax caps what a service's Retry-After does. Nil: the default; 0: it does nothing.
	RetryAfterMax *time.Duration
	// Backoff makes open periods longer, attempt by attempt. Nil: it doesn't.
	Backoff *Backoff
	// Adaptive makes the policy stricter under load.
	Adaptive []Tier
}

// Backoff says how open periods grow. A field that is zero has the policy's default.
type Backoff struct {
	// Multiplier is by what each period is longer than the last, 1 at least.
	Multiplier float64
	// Max caps it.
	Max time.Duration
	// Jitter is by what part a period varies, 0 to 1.
	Jitter float64
	// Seed is the jitter's.
	Seed uint64
}

// Tier is what changes under load. A field that is zero doesn't.
type Tier struct {
	// CallsPerMinuteAbove is from where on the tier applies.
	CallsPerMinuteAbove int
	ConsecutiveFailures int
	HalfOpenAfter       time.Duration
}

// TripCondition is what a policy trips on. The functions below make it.
type TripCondition struct{ toml string }

// WindowOption says over which calls a condition looks. Without one it has the last 20.
type WindowOption func(*[]string)

// OverCalls looks at the last so many calls.
func OverCalls(calls int) WindowOption {
	return func(keys *[]string) { *keys = append(*keys, "window = "+strconv.Itoa(calls)) }
}

// OverTime looks at the calls of the last so long.
func OverTime(span time.Duration) WindowOption {
	return func(keys *[]string) { *keys = append(*keys, "window = "+spanTOML(span)) }
}

// Slices cuts a window by time into so many.
func Slices(count int) WindowOption {
	return func(keys *[]string) { *keys = append(*keys, "slices = "+strconv.Itoa(count)) }
}

// MinimumCalls lets the condition hold once the window has so many.
func MinimumCalls(calls int) WindowOption {
	return func(keys *[]string) { *keys = append(*keys, "minimum_calls = "+strconv.Itoa(calls)) }
}

func windowed(name string, options []WindowOption, keys ...string) TripCondition {
	for _, option := range options {
		option(&keys)
	}
	return TripCondition{toml: fmt.Sprintf("{ %s = { %s } }", name, strings.Join(keys, ", "))}
}

// QualityBelow holds while the mean score of a full window is below the threshold.
func QualityBelow(threshold float64, options ...WindowOption) TripCondition {
	return windowed("quality_below", options, "threshold = "+floatTOML(threshold))
}

// LatencyAbove holds while every call of a full window took longer.
func LatencyAbove(threshold time.Duration, options ...WindowOption) TripCondition {
	return windowed("latency_above", options, "threshold_ms = "+millisTOML(threshold))
}

// ErrorRateAbove holds while more than this part of a full window failed.
func ErrorRateAbove(rate float64, options ...WindowOption) TripCondition {
	return windowed("error_rate_above", options, "rate = "+floatTOML(rate))
}

// SlowCallRateAbove holds while more than this part of a full window took longer than the threshold.
func SlowCallRateAbove(rate float64, threshold time.Duration, options ...WindowOption) TripCondition {
	return windowed("slow_call_rate_above", options, "rate = "+floatTOML(rate), "threshold_ms = "+millisTOML(threshold))
}

// ConsecutiveFailures holds after so many failures in a row.
func ConsecutiveFailures(failures int) TripCondition {
	return TripCondition{toml: fmt.Sprintf("{ consecutive_failures = %d }", failures)}
}

// HostCondition is a condition of the host's own, handed in by [WithConditions].
func HostCondition(name string) TripCondition {
	return TripCondition{toml: "{ host_condition = " + textTOML(name) + " }"}
}

// AnyOf holds while one of them does.
func AnyOf(conditions ...TripCondition) TripCondition { return composed("any_of", conditions) }

// AllOf holds while all of them do.
func AllOf(conditions ...TripCondition) TripCondition { return composed("all_of", conditions) }

func composed(name string, conditions []TripCondition) TripCondition {
	parts := make([]string, len(conditions))
	for i, condition := range conditions {
		parts[i] = condition.toml
		if parts[i] == "" {
			// One that nobody made: the component says what is missing.
			parts[i] = "{}"
		}
	}
	return TripCondition{toml: fmt.Sprintf("{ %s = [%s] }", name, strings.Join(parts, ", "))}
}

func floatTOML(value float64) string {
	switch {
	case math.IsNaN(value):
		return "nan"
	case math.IsInf(value, 0):
		return strings.TrimPrefix(strings.ToLower(fmt.Sprint(value)), "+")
	}
	text := strconv.FormatFloat(value, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func millisTOML(span time.Duration) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%06d", span/time.Millisecond, max(span%time.Millisecond, -span%time.Millisecond)), "0"), ".")
}

func spanTOML(span time.Duration) string {
	for _, unit := range []struct {
		span time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}} {
		if span%unit.span == 0 {
			return fmt.Sprintf("\"%d%s\"", span/unit.span, unit.name)
		}
	}
	return fmt.Sprintf("\"%dns\"", span)
}

// textTOML is a text in TOML's basic form.
func textTOML(text string) string {
	var made strings.Builder
	made.WriteByte('"')
	for _, char := range text {
		switch {
		case char == '"' || char == '\\':
			made.WriteString(`\` + string(char))
		case char < ' ' || char == 0x7F:
			fmt.Fprintf(&made, `\u%04X`, char)
		default:
			made.WriteRune(char)
		}
	}
	made.WriteByte('"')
	return made.String()
}

// TOML is the policy's text.
func (s *PolicySpec) TOML() string {
	var made strings.Builder
	key := func(wanted bool, name, value string) {
		if wanted {
			made.WriteString(name + " = " + value + "\n")
		}
	}
	key(s.TripOn.toml != "", "trip_on", s.TripOn.toml)
	key(s.HalfOpenAfter != 0, "half_open_after", spanTOML(s.HalfOpenAfter))
	key(s.HalfOpenMaxCalls != 0, "half_open_max_calls", strconv.Itoa(s.HalfOpenMaxCalls))
	key(s.RecoveryThreshold != 0, "recovery_threshold", strconv.Itoa(s.RecoveryThreshold))
	key(s.ProbeTimeout != 0, "probe_timeout", spanTOML(s.ProbeTimeout))
	key(s.RequireQualitySignal, "require_quality_signal", "true")
	if s.MissingScore != nil {
		key(true, "missing_score", floatTOML(*s.MissingScore))
	}
	if s.RetryAfterMax != nil {
		key(true, "retry_after_max", spanTOML(*s.RetryAfterMax))
	}
	if s.Backoff != nil {
		made.WriteString("\n[backoff]\n")
		key(s.Backoff.Multiplier != 0, "multiplier", floatTOML(s.Backoff.Multiplier))
		key(s.Backoff.Max != 0, "max", spanTOML(s.Backoff.Max))
		key(s.Backoff.Jitter != 0, "jitter", floatTOML(s.Backoff.Jitter))
		key(s.Backoff.Seed != 0, "seed", strconv.FormatUint(s.Backoff.Seed, 10))
	}
	for _, tier := range s.Adaptive {
		made.WriteString("\n[[adaptive]]\n")
		key(true, "calls_per_minute_above", strconv.Itoa(tier.CallsPerMinuteAbove))
		key(tier.ConsecutiveFailures != 0, "consecutive_failures", strconv.Itoa(tier.ConsecutiveFailures))
		key(tier.HalfOpenAfter != 0, "half_open_after", spanTOML(tier.HalfOpenAfter))
	}
	return made.String()
}

// BuildPolicy loads a policy that is written in Go. The error is as [Registry.Policy]'s, with lines of [PolicySpec.TOML].
func (r *Registry) BuildPolicy(source string, spec PolicySpec) (*Policy, error) {
	return r.Policy(source, spec.TOML())
}
