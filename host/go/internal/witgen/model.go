// What a WIT text says, as far as glue is made of it.

package witgen

import (
	"fmt"
	"strings"
)

// kind is what a type is.
type kind int

const (
	kindBool kind = iota
	kindU8
	kindU16
	kindU32
	kindU64
	kindS8
	kindS16
	kindS32
	kindS64
	kindF32
	kindF64
	kindChar
	kindString
	kindList
	kindOption
	kindResult
	kindTuple
	kindRecord
	kindVariant
	kindEnum
	kindFlags
	kindAlias
	kindUnit
)

var primitives = map[string]kind{
	"bool": kindBool, "u8": kindU8, "u16": kindU16, "u32": kindU32, "u64": kindU64,
	"s8": kindS8, "s16": kindS16, "s32": kindS32, "s64": kindS64,
	"f32": kindF32, "f64": kindF64, "char": kindChar, "string": kindString,
}

// wtype is a type.
type wtype struct {
	kind kind
	// name is its name in WIT, where it has one.
	name string
	docs []string
	// elem is a list's or an option's type, what an alias stands for, or a result's success.
	elem *wtype
	// other is a result's error.
	other *wtype
	// fields are a record's, a tuple's, a variant's cases, an enum's, or flags.
	fields []field
}

// field is a record's, or a case.
type field struct {
	name string
	docs []string
	// of is nil for a case without a payload.
	of *wtype
}

// function is a function of an interface.
type function struct {
	name   string
	docs   []string
	params []field
	result *wtype
}

// Interface is one that a component exports.
type Interface struct {
	// ID is as in `softfuse:breaker/breaker@0.1.0`.
	ID    string
	docs  []string
	types []*wtype
	funcs []function
}

// real is what an alias stands for, and any other type itself.
func (t *wtype) real() *wtype {
	for t.kind == kindAlias {
		t = t.elem
	}
	return t
}

func align(at, to uint32) uint32 { return (at + to - 1) / to * to }

// discriminant is how many bytes it takes to tell so many cases apart.
func discriminant(cases int) uint32 {
	switch {
	case cases <= 1<<8:
		return 1
	case cases <= 1<<16:
		return 2
	}
	return 4
}

// cases are the payloads of what has cases.
func (t *wtype) cases() []*wtype {
	switch t.kind {
	case kindOption:
		return []*wtype{nil, t.elem}
	case kindResult:
		return []*wtype{t.elem, t.other}
	}
	payloads := make([]*wtype, len(t.fields))
	for i, one := range t.fields {
		payloads[i] = one.of
	}
	return payloads
}

// layout is how many bytes it takes in memory, and its alignment.
func (t *wtype) layout() (bytes, alignment uint32) {
	switch t = t.real(); t.kind {
	case kindUnit:
		return 0, 1
	case kindBool, kindU8, kindS8:
		return 1, 1
	case kindU16, kindS16:
		return 2, 2
	case kindU32, kindS32, kindF32, kindChar:
		return 4, 4
	case kindU64, kindS64, kindF64:
		return 8, 8
	case kindString, kindList:
		return 8, 4
	case kindFlags:
		bytes = discriminant(1 << min(len(t.fields), 17))
		if len(t.fields) <= 8 {
			bytes = 1
		} else if len(t.fields) <= 16 {
			bytes = 2
		}
		return bytes, bytes
	case kindRecord, kindTuple:
		alignment = 1
		for _, one := range t.fields {
			size, to := one.of.layout()
			bytes = align(bytes, to) + size
			alignment = max(alignment, to)
		}
		return align(bytes, alignment), alignment
	default:
		offset := t.payloadOffset()
		alignment = discriminant(len(t.cases()))
		for _, payload := range t.cases() {
			if payload != nil {
				size, to := payload.layout()
				bytes, alignment = max(bytes, size), max(alignment, to)
			}
		}
		return align(offset+bytes, alignment), alignment
	}
}

// payloadOffset is where a case's payload lies.
func (t *wtype) payloadOffset() uint32 {
	alignment := uint32(1)
	for _, payload := range t.cases() {
		if payload != nil {
			_, to := payload.layout()
			alignment = max(alignment, to)
		}
	}
	return align(discriminant(len(t.cases())), alignment)
}

// flat is what it flattens to: `i`, `I`, `f` or `F` for i32, i64, f32 and f64.
func (t *wtype) flat() string {
	switch t = t.real(); t.kind {
	case kindUnit:
		return ""
	case kindU64, kindS64:
		return "I"
	case kindF32:
		return "f"
	case kindF64:
		return "F"
	case kindString, kindList:
		return "ii"
	case kindRecord, kindTuple:
		var all strings.Builder
		for _, one := range t.fields {
			all.WriteString(one.of.flat())
		}
		return all.String()
	case kindVariant, kindOption, kindResult:
		var joined []byte
		for _, payload := range t.cases() {
			if payload == nil {
				continue
			}
			for i, core := range []byte(payload.flat()) {
				switch {
				case i == len(joined):
					joined = append(joined, core)
				case joined[i] != core && strings.IndexByte("if", joined[i]) >= 0 && strings.IndexByte("if", core) >= 0:
					joined[i] = 'i'
				case joined[i] != core:
					joined[i] = 'I'
				}
			}
		}
		return "i" + string(joined)
	}
	return "i"
}

func (t *wtype) String() string {
	if t == nil {
		return "_"
	}
	if t.name != "" {
		return t.name
	}
	switch t.kind {
	case kindList:
		return fmt.Sprintf("list<%s>", t.elem)
	case kindOption:
		return fmt.Sprintf("option<%s>", t.elem)
	case kindResult:
		return fmt.Sprintf("result<%s, %s>", t.elem, t.other)
	case kindTuple:
		var parts []string
		for _, one := range t.fields {
			parts = append(parts, one.of.String())
		}
		return "tuple<" + strings.Join(parts, ", ") + ">"
	}
	for name, primitive := range primitives {
		if primitive == t.kind {
			return name
		}
	}
	return "unit"
}
