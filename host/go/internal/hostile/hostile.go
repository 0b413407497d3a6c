// Makes components that misbehave, out of good ones: the body of one function is replaced.

// Package hostile is for tests: it breaks a component in a way that a plugin might be broken.
package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"softfuse.dev/softfuse/internal/wasm"
)

// Bodies of functions, without their length. Each begins with its locals, of which there are none.
var (
	// Traps ends in `unreachable`.
	Traps = []byte{0x00, 0x00, 0x0b}
	// Loops never ends.
	Loops = []byte{0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x00, 0x0b}
	// Eats takes memory, 1,000 pages at a time, until it gets none, and traps.
	Eats = []byte{0x00, 0x03, 0x40, 0x41, 0xe8, 0x07, 0x40, 0x00, 0x41, 0x7f, 0x47, 0x0d, 0x00, 0x0b, 0x00, 0x0b}
	// Lies returns an address, in i32, that lies beyond its memory.
	Lies = []byte{0x00, 0x41, 0x78, 0x0b}
	// Misaligns returns an address that isn't aligned.
	Misaligns = []byte{0x00, 0x41, 0x81, 0x08, 0x0b}
)

func uleb(value uint64) []byte { return binary.AppendUvarint(nil, value) }

// reader walks over a binary that is known to be good.
type reader struct {
	bytes []byte
	at    int
}

func (r *reader) u32() int {
	value, count := binary.Uvarint(r.bytes[r.at:])
	r.at += count
	return int(value)
}

func (r *reader) take(count int) []byte {
	r.at += count
	return r.bytes[r.at-count : r.at]
}

// section is one of a core module.
type section struct {
	id      byte
	content []byte
}

func sections(module []byte) []section {
	r := &reader{bytes: module, at: 8}
	var all []section
	for r.at < len(module) {
		id := r.take(1)[0]
		all = append(all, section{id: id, content: r.take(r.u32())})
	}
	return all
}

// exported is the index of an exported function.
func exported(content []byte, name string) (int, bool) {
	r := &reader{bytes: content}
	for range r.u32() {
		found := string(r.take(r.u32()))
		kind := r.take(1)[0]
		index := r.u32()
		if kind == 0 && found == name {
			return index, true
		}
	}
	return 0, false
}

// imported is how many functions a module imports: the first indices are theirs.
func imported(content []byte) int {
	r := &reader{bytes: content}
	functions := 0
	for range r.u32() {
		r.take(r.u32())
		r.take(r.u32())
		switch r.take(1)[0] {
		case 0:
			functions++
			r.u32()
		default:
			// Such modules import nothing else.
			return functions
		}
	}
	return functions
}

// Recurse has the function of this name, which takes so many parameters, call itself with them, for ever.
func Recurse(component []byte, export string, params int) ([]byte, error) {
	return breakBy(component, export, false, func(index, _ int) []byte {
		body := []byte{0x00}
		for param := range params {
			body = append(append(body, 0x20), uleb(uint64(param))...)
		}
		return append(append(append(body, 0x10), uleb(uint64(index))...), 0x0b)
	})
}

// Break gives the function of this name, as the core module exports it, another body.
func Break(component []byte, export string, body []byte) ([]byte, error) {
	return breakBy(component, export, false, func(int, int) []byte { return body })
}

// After has the function of this name, which takes so many parameters and answers with a number of 32 bits, an address mostly, do more
// before it answers. The instructions find that number in the local after the parameters.
func After(component []byte, export string, params int, instructions []byte) ([]byte, error) {
	return breakBy(component, export, true, func(_, kept int) []byte {
		// One local, of 32 bits.
		body := []byte{0x01, 0x01, 0x7f}
		for param := range params {
			body = append(append(body, 0x20), uleb(uint64(param))...)
		}
		body = append(append(body, 0x10), uleb(uint64(kept))...)
		body = append(append(body, 0x21), uleb(uint64(params))...)
		body = append(body, instructions...)
		return append(append(append(body, 0x20), uleb(uint64(params))...), 0x0b)
	})
}

// breakBy gives a function a body of one's own, which is told its index, and that of the function which has the old body from then on,
// where that is to be kept.
func breakBy(component []byte, export string, keep bool, body func(index, kept int) []byte) ([]byte, error) {
	module, err := wasm.CoreModule(component)
	if err != nil {
		return nil, err
	}
	all := sections(module)
	index, before, declared, found := 0, 0, 0, false
	for _, one := range all {
		switch one.id {
		case 2:
			before = imported(one.content)
		case 3:
			declared = (&reader{bytes: one.content}).u32()
		case 7:
			index, found = exported(one.content, export)
		}
	}
	if !found {
		return nil, fmt.Errorf("there is no export `%s`", export)
	}
	made := append([]byte(nil), module[:8]...)
	for _, one := range all {
		content := one.content
		switch {
		case one.id == 3 && keep:
			content = oneMoreLike(content, index-before)
		case one.id == 10:
			content = replaced(content, index-before, keep, body(index, before+declared))
		}
		made = append(append(append(made, one.id), uleb(uint64(len(content)))...), content...)
	}
	return component1(component, module, made), nil
}

// oneMoreLike is a section of functions' types, with one more at its end, that of the function in this place.
func oneMoreLike(content []byte, index int) []byte {
	r := &reader{bytes: content}
	made := uleb(uint64(r.u32() + 1))
	made = append(made, r.bytes[r.at:]...)
	for range index {
		r.u32()
	}
	return append(made, uleb(uint64(r.u32()))...)
}

// replaced is a code section with another body in one place; the one that was there is kept at its end, where that is wanted.
func replaced(content []byte, index int, keep bool, body []byte) []byte {
	r := &reader{bytes: content}
	count := r.u32()
	bodies := make([][]byte, count)
	for i := range bodies {
		bodies[i] = r.take(r.u32())
	}
	if keep {
		bodies = append(bodies, bodies[index])
	}
	bodies[index] = body
	made := uleb(uint64(len(bodies)))
	for _, one := range bodies {
		made = append(append(made, uleb(uint64(len(one)))...), one...)
	}
	return made
}

// component1 is the component with another core module.
func component1(component, module, made []byte) []byte {
	at := bytes.Index(component, module)
	// The section's length, just before it, is written as briefly as can be, or padded to five bytes.
	head := at
	for component[head-1] != 1 || !isLength(component[head:at], len(module)) {
		head--
	}
	whole := append([]byte(nil), component[:head]...)
	whole = append(append(whole, uleb(uint64(len(made)))...), made...)
	return append(whole, component[at+len(module):]...)
}

func isLength(bytes []byte, length int) bool {
	value, count := binary.Uvarint(bytes)
	return count == len(bytes) && count > 0 && int(value) == length
}
