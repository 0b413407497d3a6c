// Finds the core module in a WebAssembly component's file: components of one module that import nothing need no more of a
// component runtime than that.

// Package wasm reads WebAssembly binaries, as far as it takes to run a component's core module by itself.
package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Kinds of binaries, by the second half of the word after the magic number.
const (
	layerCore      = 0
	layerComponent = 1
)

// Sections of a component.
const (
	sectionCustom     = 0
	sectionCoreModule = 1
	sectionComponent  = 4
	sectionImport     = 10
)

const (
	// sectionsMax bounds the walk: languages' components have some dozens.
	sectionsMax = 10_000
	// namesMax bounds the imports that are named in an error.
	namesMax = 16
)

// Why a component's core module can't be run by itself.
var (
	// ErrNotAComponent is for bytes that are no component.
	ErrNotAComponent = errors.New("not a WebAssembly component")
	// ErrNotSingle is for a component of several core modules, or that imports something: it needs a component runtime.
	ErrNotSingle = errors.New("not a component of one core module that imports nothing")
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

// CoreModule is the bytes of a component's only core module, a part of bytes.
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
	var module []byte
	var imports []string
	modules := 0
	for sections := 0; c.left() > 0; sections++ {
		if sections == sectionsMax {
			c.fail("over %d sections", sectionsMax)
		}
		id := c.byte("a section")
		content := c.take(uint64(c.u32("a section's length")), "a section")
		if c.err != nil {
			return nil, c.err
		}
		switch id {
		case sectionCoreModule:
			modules++
			module = content
		case sectionImport:
			imports = append(imports, importNames(content)...)
		case sectionComponent:
			// What holds the exports' types; one with code in it is another matter.
			if hasModules(content) {
				modules += 2
			}
		case sectionCustom:
		}
	}
	if len(imports) > 0 {
		return nil, fmt.Errorf("%w: it imports %s", ErrNotSingle, strings.Join(imports, ", "))
	}
	if modules != 1 {
		return nil, fmt.Errorf("%w: it has %d core modules", ErrNotSingle, modules)
	}
	if inner := (&cursor{bytes: module}); inner.layer() != layerCore || inner.err != nil {
		return nil, fmt.Errorf("%w: its core module doesn't begin as one", ErrNotAComponent)
	}
	return module, nil
}

// importNames are the names of imports that aren't types alone: those of an import section that can be read.
func importNames(section []byte) []string {
	c := &cursor{bytes: section}
	var names []string
	for count := c.u32("imports"); count > 0 && c.err == nil && len(names) < namesMax; count-- {
		c.byte("a name's kind")
		name := c.name("a name")
		kind := c.byte("an import's kind")
		switch kind {
		case 0x00:
			c.byte("a module")
			c.u32("a type")
		case 0x03:
			// A type, equal to another or a resource of the importer's.
			if c.byte("a bound") == 0 {
				c.u32("a type")
			}
		default:
			c.u32("a type")
		}
		if c.err == nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = append(names, "something")
	}
	return names
}

// hasModules says whether a nested component has core modules of its own.
func hasModules(bytes []byte) bool {
	c := &cursor{bytes: bytes}
	if c.layer() != layerComponent || c.err != nil {
		return true
	}
	for sections := 0; c.left() > 0 && c.err == nil && sections < sectionsMax; sections++ {
		id := c.byte("a section")
		c.take(uint64(c.u32("a section's length")), "a section")
		if id == sectionCoreModule || id == sectionComponent {
			return true
		}
	}
	return c.err != nil
}
