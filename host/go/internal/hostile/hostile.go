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
	return breakBy(component, export, func(index int) []byte {
		body := []byte{0x00}
		for param := range params {
			body = append(append(body, 0x20), uleb(uint64(param))...)
		}
		return append(append(append(body, 0x10), uleb(uint64(index))...), 0x0b)
	})
}

// Break gives the function of this name, as the core module exports it, another body.
func Break(component []byte, export string, body []byte) ([]byte, error) {
	return breakBy(component, export, func(int) []byte { return body })
}

func breakBy(component []byte, export string, body func(index int) []byte) ([]byte, error) {
	module, err := wasm.CoreModule(component)
	if err != nil {
		return nil, err
	}
	all := sections(module)
	index, before, found := 0, 0, false
	for _, one := range all {
		switch one.id {
		case 2:
			before = imported(one.content)
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
		if one.id == 10 {
			content = replaced(content, index-before, body(index))
		}
		made = append(append(append(made, one.id), uleb(uint64(len(content)))...), content...)
	}
	return component1(component, module, made), nil
}

// replaced is a code section with another body in one place.
func replaced(content []byte, index int, body []byte) []byte {
	r := &reader{bytes: content}
	count := r.u32()
	made := uleb(uint64(count))
	for i := range count {
		old := r.take(r.u32())
		if i == index {
			old = body
		}
		made = append(append(made, uleb(uint64(len(old)))...), old...)
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
