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

// module is a core module with an export of this name.
func module(export string) string {
	return corePreamble + section(0, "\x04name") + section(7, "\x02\x06memory\x02\x00"+string(rune(len(export)))+export+"\x00\x00")
}

func TestCoreModule(t *testing.T) {
	main := module("cabi_realloc")
	one, other := section(sectionCoreModule, main), section(sectionCoreModule, module("shim"))
	for _, test := range []struct {
		name, bytes string
		want        error
		says        string
	}{
		{"one module", preamble + section(0, "\x04name") + one + section(4, preamble), nil, ""},
		{"what links it", preamble + other + one + other, nil, ""},
		{"two modules", preamble + one + one, ErrNotSingle, "of its 2 core modules 2 export `cabi_realloc`"},
		{"none", preamble, ErrNotSingle, "of its 0 core modules 0 export"},
		{"none that allocates", preamble + other, ErrNotSingle, "of its 1 core modules 0 export"},
		{"a core module", corePreamble, ErrNotAComponent, "wasm-tools component new"},
		{"text", "(component)", ErrNotAComponent, "doesn't begin"},
		{"nothing", "", ErrNotAComponent, "the magic number of 4 bytes, where 0 are left"},
		{"a section that is cut off", preamble + "\x01\x10abc", ErrNotAComponent, "16 bytes, where 3 are left"},
		{"a length over 32 bits", preamble + "\x01\xff\xff\xff\xff\x7f", ErrNotAComponent, "over 32 bits"},
		{"a length without an end", preamble + "\x01\xff\xff\xff\xff\xff\xff", ErrNotAComponent, "over 32 bits"},
		{"a module that is none", preamble + section(sectionCoreModule, "nonsense"), ErrNotAComponent, "core module"},
		{"exports that are cut off", preamble + section(sectionCoreModule, corePreamble+section(7, "\x02\x06mem")), ErrNotAComponent, "an export's name"},
	} {
		found, err := CoreModule([]byte(test.bytes))
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil && string(found) != main {
			t.Errorf("%s: found %q", test.name, found)
		}
	}
}

// FuzzCoreModule holds that no bytes make the reader panic, and that what it finds lies within them.
func FuzzCoreModule(f *testing.F) {
	f.Add([]byte(preamble + section(sectionCoreModule, module("cabi_realloc"))))
	f.Add([]byte(preamble + section(sectionCoreModule, module("shim")) + section(4, preamble)))
	f.Add([]byte(preamble + section(sectionCoreModule, corePreamble+section(7, "\x02\x06mem"))))
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
