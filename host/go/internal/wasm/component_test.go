// Which components' core modules are found, and what is said of all others.

package wasm

import (
	"errors"
	"strings"
	"testing"
)

const (
	preamble     = "\x00asm\x0d\x00\x01\x00"
	corePreamble = "\x00asm\x01\x00\x00\x00"
)

func section(id byte, content string) string {
	if len(content) > 127 {
		panic("a section of this test has one byte of length")
	}
	return string([]byte{id, byte(len(content))}) + content
}

func TestCoreModule(t *testing.T) {
	module := section(sectionCoreModule, corePreamble)
	for _, test := range []struct {
		name, bytes string
		want        error
		says        string
	}{
		{"one module", preamble + section(0, "\x04name") + module + section(sectionComponent, preamble), nil, ""},
		{"two modules", preamble + module + module, ErrNotSingle, "2 core modules"},
		{"none", preamble, ErrNotSingle, "0 core modules"},
		{"a nested component with a module", preamble + module + section(sectionComponent, preamble+module), ErrNotSingle, "3 core modules"},
		{"an import", preamble + section(sectionImport, "\x01\x00\x03a:b\x05\x00") + module, ErrNotSingle, "it imports a:b"},
		{"an import that can't be read", preamble + section(sectionImport, "\x01\x00\x7f") + module, ErrNotSingle, "something"},
		{"a core module", corePreamble, ErrNotAComponent, "wasm-tools component new"},
		{"text", "(component)", ErrNotAComponent, "doesn't begin"},
		{"nothing", "", ErrNotAComponent, "the magic number of 4 bytes, where 0 are left"},
		{"a section that is cut off", preamble + "\x01\x10abc", ErrNotAComponent, "16 bytes, where 3 are left"},
		{"a length over 32 bits", preamble + "\x01\xff\xff\xff\xff\x7f", ErrNotAComponent, "over 32 bits"},
		{"a length without an end", preamble + "\x01\xff\xff\xff\xff\xff\xff", ErrNotAComponent, "over 32 bits"},
		{"a module that is none", preamble + section(sectionCoreModule, "nonsense"), ErrNotAComponent, "core module"},
	} {
		found, err := CoreModule([]byte(test.bytes))
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil && string(found) != corePreamble {
			t.Errorf("%s: found %q", test.name, found)
		}
	}
}

// FuzzCoreModule holds that no bytes make the reader panic, and that what it finds lies within them.
func FuzzCoreModule(f *testing.F) {
	f.Add([]byte(preamble + section(sectionCoreModule, corePreamble)))
	f.Add([]byte(preamble + section(sectionImport, "\x01\x00\x03a:b\x05\x00")))
	f.Add([]byte(preamble + section(sectionComponent, preamble+section(sectionCoreModule, corePreamble))))
	f.Fuzz(func(t *testing.T, bytes []byte) {
		module, err := CoreModule(bytes)
		if err == nil && (len(module) < 8 || len(module) >= len(bytes)) {
			t.Errorf("a module of %d bytes in %d", len(module), len(bytes))
		}
		if err != nil && !errors.Is(err, ErrNotAComponent) && !errors.Is(err, ErrNotSingle) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
