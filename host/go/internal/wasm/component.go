// Finds the core module in a WebAssembly component's file: components of which one module does all the work need no more of a
// component runtime than that.

// Package wasm reads WebAssembly binaries, as far as it takes to run a component's core module by itself.
package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kinds of binaries, by the second half of the word after the magic number.
const (
	layerCore      = 0
	layerComponent = 1
)

// sectionCoreModule is the section of a component that is a core module.
const sectionCoreModule = 1

// sectionsMax bounds the walk: languages' components have some dozens.
const sectionsMax = 10_000

// Why a component's core module can't be run by itself.
var (
	// ErrNotAComponent is for bytes that are no component.
	ErrNotAComponent = errors.New("not a WebAssembly component")
	// ErrNotSingle is for a component of which no core module can be run by itself: it needs a component runtime.
	ErrNotSingle = errors.New("not a component that one core module is all of")
)

// cursor walks over bytes. What isn't there is an error, once and for all that follows.
type cursor struct {
	bytes []byte
	at    int
	err   error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: at byte %d: %s", ErrNotAComponent, c.at, fmt.Sprintf(format, args...))
	}
}

func (c *cursor) left() int { return len(c.bytes) - c.at }

func (c *cursor) take(count uint64, of string) []byte {
	if c.err != nil {
		return nil
	}
	if count > uint64(c.left()) {
		c.fail("%s of %d bytes, where %d are left", of, count, c.left())
		return nil
	}
	found := c.bytes[c.at : c.at+int(count)]
	c.at += int(count)
	return found
}

func (c *cursor) byte(of string) byte {
	if found := c.take(1, of); found != nil {
		return found[0]
	}
	return 0
}

// u32 reads a number of up to 32 bits in LEB128, at most five bytes.
func (c *cursor) u32(of string) uint32 {
	var value uint64
	for shift := 0; shift < 35; shift += 7 {
		part := c.byte(of)
		value |= uint64(part&0x7f) << shift
		if c.err != nil {
			return 0
		}
		if part&0x80 == 0 {
			if value > 1<<32-1 {
				break
			}
			return uint32(value)
		}
	}
	c.fail("%s over 32 bits", of)
	return 0
}

func (c *cursor) name(of string) string { return string(c.take(uint64(c.u32(of)), of)) }

// layer checks a binary's preamble: core module or component.
func (c *cursor) layer() uint16 {
	if magic := c.take(4, "the magic number"); c.err == nil && string(magic) != "\x00asm" {
		c.at = 0
		c.fail("it doesn't begin as WebAssembly does")
	}
	version := c.take(4, "the version")
	if c.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint16(version[2:])
}

// CoreModule is the bytes of the core module in which a component's work is done, a part of bytes: the one that has an allocator. Others
// may be there that link it to what it imports; whoever runs it by itself brings that.
func CoreModule(bytes []byte) ([]byte, error) {
	c := &cursor{bytes: bytes}
	switch layer := c.layer(); {
	case c.err != nil:
		return nil, c.err
	case layer == layerCore:
		return nil, fmt.Errorf("%w: a core module; `wasm-tools component new` makes a component of it", ErrNotAComponent)
	case layer != layerComponent:
		return nil, fmt.Errorf("%w: layer %d", ErrNotAComponent, layer)
	}
	var main []byte
	modules, mains := 0, 0
	for sections := 0; c.left() > 0; sections++ {
		if sections == sectionsMax {
			c.fail("over %d sections", sectionsMax)
		}
		id := c.byte("a section")
		content := c.take(uint64(c.u32("a section's length")), "a section")
		if c.err != nil {
			return nil, c.err
		}
		if id == sectionCoreModule {
			modules++
			inner := &cursor{bytes: content}
			if inner.layer() != layerCore || inner.err != nil {
				return nil, fmt.Errorf("%w: a core module in it doesn't begin as one", ErrNotAComponent)
			}
			if inner.exports(allocator) {
				mains++
				main = content
			}
			if inner.err != nil {
				return nil, inner.err
			}
		}
	}
	if mains != 1 {
		return nil, fmt.Errorf("%w: of its %d core modules %d export `%s`", ErrNotSingle, modules, mains, allocator)
	}
	return main, nil
}

// allocator is what the canonical ABI calls to make room.
const allocator = "cabi_realloc"

// exports says whether a core module, whose preamble was read, has an export of this name.
func (c *cursor) exports(name string) bool {
	const sectionExport = 7
	for sections := 0; c.left() > 0 && c.err == nil && sections < sectionsMax; sections++ {
		id := c.byte("a section")
		section := &cursor{bytes: c.take(uint64(c.u32("a section's length")), "a section")}
		if id != sectionExport {
			continue
		}
		for count := section.u32("exports"); count > 0 && section.err == nil; count-- {
			if section.name("an export's name") == name {
				return true
			}
			section.byte("an export's kind")
			section.u32("an export's index")
		}
		if section.err != nil && c.err == nil {
			c.err = section.err
		}
	}
	return false
}
