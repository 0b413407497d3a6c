// Reads values out of a component's memory. What lies there is the component's word: nothing in it is believed, so that no
// bytes whatsoever make a host panic, read outside of the memory, or copy more than its bound.

// Package abi has what the generated glue of a component's interface is made of: the canonical ABI's way of laying values out
// in memory, reading and writing.
package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"
)

// ErrOutputTooLarge is what a lift ends with that would copy more than its bound.
var ErrOutputTooLarge = errors.New("more output than the host takes")

// ErrNonsense is what a lift ends with that finds what the canonical ABI forbids.
var ErrNonsense = errors.New("an answer that the canonical ABI forbids")

// Lift reads values. The first error stays, and all that is read after it is zero.
type Lift struct {
	mem    []byte
	budget uint64
	err    error
}

// NewLift reads from mem, which is looked at only while the component doesn't run. At most bytesMax bytes are copied.
func NewLift(mem []byte, bytesMax uint64) Lift {
	return Lift{mem: mem, budget: bytesMax}
}

// Err is the first error.
func (l *Lift) Err() error { return l.err }

// Fail notes that what was found is forbidden.
func (l *Lift) Fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s", ErrNonsense, fmt.Sprintf(format, args...))
	}
}

// span is so many bytes from at on; nil where there aren't as many.
func (l *Lift) span(at, bytes uint64) []byte {
	if l.err != nil {
		return nil
	}
	size := uint64(len(l.mem))
	if at > size || bytes > size-at {
		l.Fail("%d bytes at %d, of a memory of %d", bytes, at, size)
		return nil
	}
	return l.mem[at : at+bytes]
}

// spend counts what is copied. Lists may overlap, so that a small memory may tell of much.
func (l *Lift) spend(bytes uint64) bool {
	if l.err != nil {
		return false
	}
	if bytes > l.budget {
		l.err = ErrOutputTooLarge
		return false
	}
	l.budget -= bytes
	return true
}

// Aligned says whether an address is right for a value of this alignment.
func (l *Lift) Aligned(at uint64, align uint32) bool {
	if at%uint64(align) != 0 {
		l.Fail("the address %d isn't aligned to %d", at, align)
		return false
	}
	return l.err == nil
}

// U8 reads a byte.
func (l *Lift) U8(at uint64) uint8 {
	if bytes := l.span(at, 1); bytes != nil {
		return bytes[0]
	}
	return 0
}

// U16 reads two bytes.
func (l *Lift) U16(at uint64) uint16 {
	if bytes := l.span(at, 2); bytes != nil {
		return binary.LittleEndian.Uint16(bytes)
	}
	return 0
}

// U32 reads four bytes.
func (l *Lift) U32(at uint64) uint32 {
	if bytes := l.span(at, 4); bytes != nil {
		return binary.LittleEndian.Uint32(bytes)
	}
	return 0
}

// U64 reads eight bytes.
func (l *Lift) U64(at uint64) uint64 {
	if bytes := l.span(at, 8); bytes != nil {
		return binary.LittleEndian.Uint64(bytes)
	}
	return 0
}

// F32 reads a float of four bytes.
func (l *Lift) F32(at uint64) float32 { return math.Float32frombits(l.U32(at)) }

// F64 reads a float of eight bytes.
func (l *Lift) F64(at uint64) float64 { return math.Float64frombits(l.U64(at)) }

// Bool reads a byte as a truth: all but 0 is true.
func (l *Lift) Bool(at uint64) bool { return l.U8(at) != 0 }

// Char reads a Unicode scalar value.
func (l *Lift) Char(at uint64) rune {
	value := l.U32(at)
	if value > utf8.MaxRune || (value >= 0xD800 && value < 0xE000) {
		l.Fail("%#x is no character", value)
		return 0
	}
	return rune(value)
}

// Case checks a discriminant: one of so many cases.
func (l *Lift) Case(found uint32, cases uint32, of string) uint32 {
	if found >= cases {
		l.Fail("case %d of %s, which has %d", found, of, cases)
		return 0
	}
	return found
}

// String reads a string: where it lies, and how many bytes it has.
func (l *Lift) String(at uint64) string {
	from, bytes := uint64(l.U32(at)), uint64(l.U32(at+4))
	if bytes == 0 || !l.spend(bytes) {
		return ""
	}
	found := l.span(from, bytes)
	if found == nil {
		return ""
	}
	if !utf8.Valid(found) {
		l.Fail("a string that isn't UTF-8")
		return ""
	}
	return string(found)
}

// Bytes reads a list of bytes. An empty one is nil.
func (l *Lift) Bytes(at uint64) []byte {
	from, bytes := uint64(l.U32(at)), uint64(l.U32(at+4))
	if bytes == 0 || !l.spend(bytes) {
		return nil
	}
	return append([]byte(nil), l.span(from, bytes)...)
}

// LiftList reads a list of elements that take elemBytes each. What they take in the host is counted as copied. An empty one is
// nil.
func LiftList[T any](l *Lift, at uint64, elemBytes, elemAlign uint32, lift func(*Lift, uint64) T) []T {
	from, length := uint64(l.U32(at)), uint64(l.U32(at+4))
	if length == 0 || !l.Aligned(from, elemAlign) {
		return nil
	}
	var zero T
	// Neither product overflows: both factors have 32 bits at most.
	if l.span(from, length*uint64(elemBytes)) == nil || !l.spend(length*uint64(max(unsafe.Sizeof(zero), 1))) {
		return nil
	}
	values := make([]T, length)
	for i := range values {
		values[i] = lift(l, from+uint64(i)*uint64(elemBytes))
		if l.err != nil {
			return nil
		}
	}
	return values
}
