// Hands events out: to callbacks, and to the log.
//
// They are queued under the breaker's lock, so that they keep their order, and handed out after it is released, by whichever
// goroutine comes first: one at a time, so a callback never runs twice at once, and may itself use the breaker. A goroutine that hands
// out is a caller's, so it goes on as soon as its own events are out. What others have queued meanwhile, and callbacks, is left to a
// goroutine that lives until nothing waits.

package softfuse

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// hub has a registry's callbacks.
type hub struct {
	lock     sync.Mutex
	events   []queued
	capacity int
	// taken counts the events that were taken out, ever.
	taken   uint64
	courier courier
	// until is where a caller that hands out stops: so many are to be taken out, ever.
	until     uint64
	callbacks []func(Event)
	// dropped counts events that nobody was told of, since too many waited.
	dropped atomic.Uint64
	logger  *slog.Logger
}

// queued is an event, and a breaker's own callback for it.
type queued struct {
	event Event
	own   func(*StateChange)
}

type courier uint8

const (
	nobody courier = iota
	// caller is a goroutine that has something else to do, up to its own last event.
	caller
	// own is one that stays until nothing waits.
	own
)

func (h *hub) onEvent(callback func(Event)) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.callbacks = append(h.callbacks, callback)
}

// queue takes events. The caller holds their breaker's lock, which gives them their order.
func (h *hub) queue(events []queued) {
	h.lock.Lock()
	defer h.lock.Unlock()
	for _, event := range events {
		if len(h.events) < h.capacity {
			h.events = append(h.events, event)
		} else {
			h.dropped.Add(1)
		}
	}
}

// deliver hands out what is queued, unless another goroutine is at it. The caller holds no lock.
func (h *hub) deliver() {
	h.lock.Lock()
	if len(h.events) == 0 || h.courier != nobody {
		h.lock.Unlock()
		return
	}
	h.courier, h.until = caller, h.taken+uint64(len(h.events))
	h.lock.Unlock()
	for range h.capacity {
		next, left := h.next()
		if next == nil {
			if left {
				break
			}
			return
		}
		h.handOut(next)
	}
	h.lock.Lock()
	h.courier = own
	h.lock.Unlock()
	go h.deliverAll()
}

func (h *hub) deliverAll() {
	for {
		next, _ := h.next()
		if next == nil {
			return
		}
		h.handOut(next)
	}
}

// next is the next event for whoever hands out; nil where none waits, and nobody hands out from now on, or where others' are left.
func (h *hub) next() (event *queued, left bool) {
	h.lock.Lock()
	defer h.lock.Unlock()
	if len(h.events) == 0 {
		h.courier = nobody
		return nil, false
	}
	if h.courier == caller && h.taken >= h.until {
		return nil, true
	}
	found := h.events[0]
	h.events[0] = queued{}
	h.events = h.events[1:]
	h.taken++
	return &found, false
}

// handOut tells everybody of an event. It doesn't panic, as whoever hands out would then never let go.
func (h *hub) handOut(next *queued) {
	if h.logger != nil {
		h.caught(func() { logEvent(h.logger, next.event) })
	}
	h.lock.Lock()
	callbacks := h.callbacks[:len(h.callbacks):len(h.callbacks)]
	h.lock.Unlock()
	if changed, ok := next.event.(*StateChanged); ok && next.own != nil {
		h.caught(func() { next.own(changed.Change) })
	}
	for _, callback := range callbacks {
		h.caught(func() { callback(next.event) })
	}
}

// caught runs code of the user's, whose panic reaches no guarded call.
func (h *hub) caught(run func()) {
	defer func() {
		if panicked := recover(); panicked != nil && h.logger != nil {
			defer func() { _ = recover() }()
			h.logger.Error("softfuse: a callback panicked", "panic", panicked)
		}
	}()
	run()
}

func logEvent(logger *slog.Logger, event Event) {
	ctx, name := context.Background(), slog.String("breaker", event.BreakerName())
	switch event := event.(type) {
	case *StateChanged:
		level := slog.LevelInfo
		if event.Change.New == Open || event.Change.By == WouldHaveTripped {
			level = slog.LevelWarn
		}
		logger.LogAttrs(ctx, level, "circuit", name, slog.String("old", event.Change.Old.String()),
			slog.String("new", event.Change.New.String()), slog.String("reason", event.Change.Reason()),
			slog.Uint64("trip_count", event.Change.TripCount))
	case *ComponentFailed:
		logger.LogAttrs(ctx, slog.LevelWarn, "a call went without its breaker", name, slog.String("failure", event.Failure.Text))
	case *BreakerRestored:
		logger.LogAttrs(ctx, slog.LevelWarn, "a breaker was brought back", name, slog.String("state", event.State.String()),
			slog.Uint64("records_lost", event.RecordsLost), slog.Bool("from_snapshot", event.FromSnapshot))
	case *ConditionPanicked:
		logger.LogAttrs(ctx, slog.LevelError, "a host's condition panicked, and counts as not holding", name,
			slog.String("condition", event.Condition))
	case *ScorerFailed:
		logger.LogAttrs(ctx, slog.LevelWarn, "no score", name, slog.String("scorer", event.Scorer), slog.String("failure", event.Failure.Text))
	}
}
