// A registry's health, as a load balancer or a person asks for it: how many circuits would admit a call now.

package softfuse

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Health is a registry's health at a moment. It is healthy while fewer than half of its circuits are open; exactly half is unhealthy,
// and an empty registry is healthy.
//
// A circuit is open here if it would refuse a call now. One whose open period has passed is available, or nobody would ever probe it.
// A keyed family counts as one circuit, available by the same rule applied to its own breakers at work.
type Health struct {
	// Status is `healthy` or `unhealthy`, Summary as in `3/4 circuits healthy`.
	Status  string `json:"status"`
	Summary string `json:"summary"`
	// Available are those of Total circuits and families that are available.
	Available int `json:"available"`
	Total     int `json:"total"`
	// Circuits are the named ones, Families the keyed ones, by name.
	Circuits []CircuitHealth `json:"circuits"`
	Families []FamilyHealth  `json:"families"`
}

// CircuitHealth is a named circuit's part.
type CircuitHealth struct {
	Name string `json:"name"`
	// State is `open` until somebody calls, though it may be available.
	State     State `json:"state"`
	Available bool  `json:"available"`
	// FailureRate is failed calls by those that succeeded or failed, since the breaker was made; nil where no call counts yet, or the
	// component failed.
	FailureRate *float64 `json:"failure_rate"`
	// TripCount is nil where the component failed.
	TripCount *uint64 `json:"trip_count"`
	// RetryAfterSeconds is what is left of the open period; nil unless it is open.
	RetryAfterSeconds *float64 `json:"retry_after_seconds"`
	// Reason is why it last opened, in words; nil where it is closed.
	Reason *string `json:"reason"`
	// ComponentFailure is how the breaker component failed; nil where it didn't.
	ComponentFailure *string `json:"component_failure"`
}

// FamilyHealth is a keyed family's part. Keys are named nowhere, since they may be tenants, and health pages are public.
type FamilyHealth struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	// AtWork counts breakers, the overflow breaker among them once it has been called; Refusing those that would refuse a call now.
	AtWork   int `json:"at_work"`
	Refusing int `json:"refusing"`
}

// fewerThanHalf is the rule, for circuits and for a family's breakers.
func fewerThanHalf(open, total int) bool { return total == 0 || open < total-open }

// Health is the registry's health. Asking changes nothing, and takes no probe. The component is asked for each named breaker, and for
// those of keyed families that aren't closed.
func (r *Registry) Health() *Health {
	made := &Health{Status: "unhealthy", Circuits: []CircuitHealth{}, Families: []FamilyHealth{}}
	for _, breaker := range r.List() {
		circuit := breaker.health()
		made.Circuits = append(made.Circuits, circuit)
		made.Available += int(truth(circuit.Available))
	}
	for _, family := range r.ListKeyed() {
		health := family.health()
		made.Families = append(made.Families, health)
		made.Available += int(truth(health.Available))
	}
	made.Total = len(made.Circuits) + len(made.Families)
	if made.IsHealthy() {
		made.Status = "healthy"
	}
	made.Summary = fmt.Sprintf("%d/%d circuits healthy", made.Available, made.Total)
	return made
}

func truth(is bool) uint8 {
	if is {
		return 1
	}
	return 0
}

// IsHealthy says whether fewer than half of the circuits are open, or there are none.
func (h *Health) IsHealthy() bool { return fewerThanHalf(h.Total-h.Available, h.Total) }

// StatusCode is the HTTP status for it: 200 where it is healthy, else 503.
func (h *Health) StatusCode() int {
	if h.IsHealthy() {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

func (b *Breaker) health() CircuitHealth {
	status, err := b.Status()
	if err != nil {
		text := err.Error()
		return CircuitHealth{Name: b.name, State: b.State(), Available: !b.IsOpen(), ComponentFailure: &text}
	}
	made := CircuitHealth{Name: b.name, State: status.State, Available: !status.WouldRefuse, TripCount: &status.TripCount}
	if counted := status.Totals.Successes + status.Totals.Failures; counted > 0 {
		rate := float64(status.Totals.Failures) / float64(counted)
		made.FailureRate = &rate
	}
	if status.RetryAfter != nil {
		seconds := status.RetryAfter.Seconds()
		made.RetryAfterSeconds = &seconds
	}
	if status.LastTrip != nil && status.State != Closed {
		made.Reason = &status.LastTrip.Text
	}
	return made
}

func (k *Keyed) health() FamilyHealth {
	made := FamilyHealth{Name: k.name}
	var notClosed []*Breaker
	k.each(func(b *Breaker) {
		made.AtWork++
		if b.State() != Closed {
			notClosed = append(notClosed, b)
		}
	})
	for _, breaker := range notClosed {
		made.Refusing += int(truth(breaker.IsOpen()))
	}
	if status, err := k.overflow.Status(); err == nil && (status.Totals.Calls > 0 || status.Totals.Rejections > 0 || status.State != Closed) {
		made.AtWork++
		made.Refusing += int(truth(k.overflow.IsOpen()))
	}
	made.Available = fewerThanHalf(made.Refusing, made.AtWork)
	return made
}

// HealthHandler answers with [Registry.Health] as JSON, with 200 or 503.
func (r *Registry) HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		health := r.Health()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(health.StatusCode())
		_ = json.NewEncoder(w).Encode(health)
	})
}
