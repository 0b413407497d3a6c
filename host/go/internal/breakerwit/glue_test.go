// The glue meets a component that answers anything at all: no memory makes a lift panic, and none makes it copy more than its bound.

package breakerwit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"softfuse.dev/softfuse/internal/abi"
)

// liar is a module whose memory, addresses and answers are whatever it is made of.
type liar struct {
	memory []byte
	answer uint64
	room   uint32
	calls  int
}

func (l *liar) Export(string, []abi.CoreType, []abi.CoreType, bool) (abi.Func, error) { return l, nil }
func (l *liar) Memory() []byte                                                        { return l.memory }
func (l *liar) Realloc(uint32, uint32) (uint32, error)                                { return l.room, nil }
func (l *liar) OutputBytesMax() uint64                                                { return 1 << 16 }

func (l *liar) Call(stack []uint64) error {
	l.calls++
	stack[0] = l.answer
	return nil
}

// all calls every function of the interface.
func all(g *Guest) []error {
	var errs []error
	see := func(_ any, err error) { errs = append(errs, err) }
	see(g.LoadPolicy("trip_on = {}"))
	see(nil, g.DropPolicy(1))
	see(g.Create(1, "name", 2, 3))
	see(nil, g.DropBreaker(1))
	see(g.BeforeCall(1, 2))
	outcome := Outcome{Kind: OutcomeKindError, Signal: Signal{Case: SignalScore, Score: 0.5}, RetryAfter: abi.Some(uint64(7))}
	see(g.RecordOutcome(1, 2, outcome, 3))
	see(g.RecordJudgedOutcome(1, 2, outcome, []abi.Option[string]{abi.Some("it drifts"), {}}, 3))
	see(g.ReportQuality(1, 2, QualityReport{Case: QualityReportMissing}, 3))
	see(g.PermitStanding(1, 2, 3))
	see(g.WouldRefuse(1, 2))
	see(g.Status(1, 2))
	see(g.Reset(1, 2))
	see(g.SetOperatorState(1, OperatorStateDisabled, 2))
	see(g.Trip(1, "why", abi.Some(uint64(3)), 4))
	see(g.Snapshot(1, 2))
	see(g.Restore(1, []byte("snapshot"), 2, 3))
	see(g.GrantLease(1, 2))
	see(g.RecordLeased(1, 2, 3, 4, 5, true))
	see(g.RecordLeasedDetails(1, 2, 3, []uint64{4}, []uint64{5}, []int64{-6}, 7, 8, false))
	return errs
}

func FuzzLift(f *testing.F) {
	f.Add([]byte{}, uint64(0), uint32(0))
	f.Add(bytes.Repeat([]byte{0}, 256), uint64(0), uint32(8))
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0}, 128), uint64(8), uint32(16))
	f.Add(bytes.Repeat([]byte{8, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f}, 64), uint64(16), uint32(1))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 0, 8, 0, 0, 0}, 64), ^uint64(0), ^uint32(0))
	f.Fuzz(func(t *testing.T, memory []byte, answer uint64, room uint32) {
		module := &liar{memory: bytes.Clone(memory), answer: answer, room: room}
		guest, err := Bind(module)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range all(guest) {
			if err != nil && !errors.Is(err, abi.ErrNonsense) && !errors.Is(err, abi.ErrOutputTooLarge) {
				t.Errorf("an error of no kind: %v", err)
			}
		}
	})
}

// TestWhatIsForbiddenIsNamed holds each check of a lift by itself.
func TestWhatIsForbiddenIsNamed(t *testing.T) {
	memory := make([]byte, 512)
	module := &liar{memory: memory}
	guest, err := Bind(module)
	if err != nil {
		t.Fatal(err)
	}
	put := func(at int, value uint32) { binary.LittleEndian.PutUint32(memory[at:], value) }
	// A snapshot: some, at 100, of 5 bytes.
	memory[0] = 1
	put(4, 100)
	put(8, 5)
	copy(memory[100:], "bytes")
	if found, err := guest.Snapshot(1, 2); err != nil || string(found.Value) != "bytes" || module.calls != 2 {
		t.Errorf("%+v %v: read, and freed", found, err)
	}
	for _, test := range []struct {
		says string
		do   func()
	}{
		{"case 2 of an option", func() { memory[0] = 2 }},
		{"513 bytes at 0", func() { memory[0] = 1; put(4, 0); put(8, 513) }},
		{"1 bytes at 4294967295", func() { put(4, 1<<32-1); put(8, 1) }},
		{"isn't aligned to 4", func() { module.answer = 2 }},
		{"1 bytes at 4294967292", func() { module.answer = 1<<32 - 4 }},
	} {
		test.do()
		if _, err := guest.Snapshot(1, 2); !errors.Is(err, abi.ErrNonsense) || !bytes.Contains([]byte(err.Error()), []byte(test.says)) {
			t.Errorf("%s: %v", test.says, err)
		}
	}
	// More than may be copied.
	module.answer, module.memory = 0, make([]byte, 1<<17)
	module.memory[0] = 1
	binary.LittleEndian.PutUint32(module.memory[8:], 1<<16+1)
	if _, err := guest.Snapshot(1, 2); !errors.Is(err, abi.ErrOutputTooLarge) {
		t.Errorf("%v", err)
	}
}
