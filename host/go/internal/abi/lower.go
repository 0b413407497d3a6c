// Writes values into a component's memory, which it is asked to make room in.

package abi

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// CoreType is a value's type in core WebAssembly.
type CoreType byte

// The types that the canonical ABI flattens to.
const (
	I32 CoreType = 0x7f
	I64 CoreType = 0x7e
	F32 CoreType = 0x7d
	F64 CoreType = 0x7c
)

func (t CoreType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	}
	return fmt.Sprintf("type %#x", byte(t))
}

// Func is a function that a component's core module exports. It takes its parameters from the stack, and leaves its results
// there.
type Func interface {
	Call(stack []uint64) error
}

// Module is an instance of a component's core module.
type Module interface {
	// Export finds a function of this type; nil where there is none and it needn't be there.
	Export(name string, params, results []CoreType, optional bool) (Func, error)
	// Memory is its memory as it is now. The component's next call may move it.
	Memory() []byte
	// Realloc has the component make room, by its own allocator.
	Realloc(align, bytes uint32) (uint32, error)
	// OutputBytesMax bounds what is copied out of it in one call.
	OutputBytesMax() uint64
}

// Option is what may be there or not.
type Option[T any] struct {
	Value T
	Some  bool
}

// Some is what is there.
func Some[T any](value T) Option[T] { return Option[T]{Value: value, Some: true} }

// Result is one of two.
type Result[T, E any] struct {
	Value T
	Err   E
	OK    bool
}

// Unit is the payload of a case that has none.
type Unit struct{}

// Lower writes values. The first error stays, and nothing is written after it.
type Lower struct {
	module Module
	err    error
}

// NewLower writes into a module's memory.
func NewLower(module Module) Lower { return Lower{module: module} }

// Err is the first error.
func (l *Lower) Err() error { return l.err }

// Alloc has room made. Nothing lies at an address that is aligned and not 0, as an allocator would say: no call is needed for it.
func (l *Lower) Alloc(bytes uint64, align uint32) uint64 {
	if l.err != nil || bytes == 0 {
		return uint64(align)
	}
	if bytes > math.MaxUint32 {
		l.err = fmt.Errorf("%d bytes to hand in: more than a component's memory holds", bytes)
		return 0
	}
	at, err := l.module.Realloc(align, uint32(bytes))
	if err != nil {
		l.err = err
		return 0
	}
	if at%align != 0 || uint64(at)+bytes > uint64(len(l.module.Memory())) {
		l.err = fmt.Errorf("%w: room for %d bytes at %d, aligned to %d, of a memory of %d",
			ErrNonsense, bytes, at, align, len(l.module.Memory()))
		return 0
	}
	return uint64(at)
}

// span is what lies in the memory from at on; nil after an error.
func (l *Lower) span(at, bytes uint64) []byte {
	if l.err != nil {
		return nil
	}
	mem := l.module.Memory()
	if size := uint64(len(mem)); at > size || bytes > size-at {
		l.err = fmt.Errorf("%w: %d bytes at %d, of a memory of %d", ErrNonsense, bytes, at, size)
		return nil
	}
	return mem[at : at+bytes]
}

// PutU8 writes a byte.
func (l *Lower) PutU8(at uint64, value uint8) {
	if to := l.span(at, 1); to != nil {
		to[0] = value
	}
}

// PutU16 writes two bytes.
func (l *Lower) PutU16(at uint64, value uint16) {
	if to := l.span(at, 2); to != nil {
		binary.LittleEndian.PutUint16(to, value)
	}
}

// PutU32 writes four bytes.
func (l *Lower) PutU32(at uint64, value uint32) {
	if to := l.span(at, 4); to != nil {
		binary.LittleEndian.PutUint32(to, value)
	}
}

// PutU64 writes eight bytes.
func (l *Lower) PutU64(at uint64, value uint64) {
	if to := l.span(at, 8); to != nil {
		binary.LittleEndian.PutUint64(to, value)
	}
}

// PutF32 writes a float of four bytes.
func (l *Lower) PutF32(at uint64, value float32) { l.PutU32(at, math.Float32bits(value)) }

// PutF64 writes a float of eight bytes.
func (l *Lower) PutF64(at uint64, value float64) { l.PutU64(at, math.Float64bits(value)) }

// PutBool writes a truth.
func (l *Lower) PutBool(at uint64, value bool) { l.PutU8(at, uint8(Flag(value))) }

// Flag is 1 for what is true.
func Flag(value bool) uint64 {
	if value {
		return 1
	}
	return 0
}

// PutString writes a string: its bytes where there is room, and where that is.
func (l *Lower) PutString(at uint64, value string) {
	from, bytes := l.String(value)
	l.PutU32(at, uint32(from))
	l.PutU32(at+4, uint32(bytes))
}

// String copies a string in: where it lies, and its length. What isn't UTF-8 in it becomes U+FFFD, since a component relies on
// that.
func (l *Lower) String(value string) (from, bytes uint64) {
	if !utf8.ValidString(value) {
		value = strings.ToValidUTF8(value, "\uFFFD")
	}
	bytes = uint64(len(value))
	from = l.Alloc(bytes, 1)
	copy(l.span(from, bytes), value)
	return from, bytes
}

// Bytes copies a list of bytes in: where it lies, and its length.
func (l *Lower) Bytes(value []byte) (from, bytes uint64) {
	bytes = uint64(len(value))
	from = l.Alloc(bytes, 1)
	copy(l.span(from, bytes), value)
	return from, bytes
}

// U64s copies a list of numbers in: where it lies, and its length.
func (l *Lower) U64s(value []uint64) (from, count uint64) {
	count = uint64(len(value))
	from = l.Alloc(8*count, 8)
	if to := l.span(from, 8*count); to != nil {
		for i, number := range value {
			binary.LittleEndian.PutUint64(to[8*i:], number)
		}
	}
	return from, count
}

// S64s copies a list of signed numbers in: where it lies, and its length.
func (l *Lower) S64s(value []int64) (from, count uint64) {
	count = uint64(len(value))
	from = l.Alloc(8*count, 8)
	if to := l.span(from, 8*count); to != nil {
		for i, number := range value {
			binary.LittleEndian.PutUint64(to[8*i:], uint64(number))
		}
	}
	return from, count
}

// LowerList copies a list in, element by element: where it lies, and how many there are.
func LowerList[T any](l *Lower, values []T, elemBytes, elemAlign uint32, store func(*Lower, uint64, T)) (from, count uint64) {
	count = uint64(len(values))
	from = l.Alloc(count*uint64(elemBytes), elemAlign)
	for i, value := range values {
		store(l, from+uint64(i)*uint64(elemBytes), value)
	}
	return from, count
}
