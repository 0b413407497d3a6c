// Writes how single values are laid out: read from memory, stored there, and flattened to core values.

package witgen

import (
	"fmt"
	"strings"
)

// offset is an address as an expression.
func offset(at string, bytes uint32) string {
	if bytes == 0 {
		return at
	}
	return fmt.Sprintf("%s+%d", at, bytes)
}

// want has a helper written, once.
func (g *generator) want(name string, write func() error) string {
	if !g.written[name] {
		g.written[name] = true
		g.wanted = append(g.wanted, write)
	}
	return name
}

// discriminantMethod reads or writes as many bits as a discriminant has.
func discriminantMethod(cases int) string { return fmt.Sprintf("U%d", 8*discriminant(cases)) }

// lift is the expression that reads a value.
func (g *generator) lift(t *wtype, at string) string {
	if t == nil {
		return "abi.Unit{}"
	}
	switch t := t.real(); t.kind {
	case kindBool, kindU8, kindU16, kindU32, kindU64, kindF32, kindF64, kindChar, kindString:
		return fmt.Sprintf("l.%s(%s)", goName(t.String()), at)
	case kindS8, kindS16, kindS32, kindS64:
		return fmt.Sprintf("%s(l.U%s(%s))", goPrimitives[t.kind], t.String()[1:], at)
	case kindEnum:
		count := len(t.fields)
		return fmt.Sprintf("%s(l.Case(uint32(l.%s(%s)), %d, %q))", goName(t.name), discriminantMethod(count), at, count, t.name)
	case kindFlags:
		bytes, _ := t.layout()
		return fmt.Sprintf("%s(l.U%d(%s)) & %#x", goName(t.name), 8*bytes, at, uint64(1)<<len(t.fields)-1)
	case kindList:
		if t.elem.real().kind == kindU8 {
			return fmt.Sprintf("l.Bytes(%s)", at)
		}
		bytes, alignment := t.elem.layout()
		return fmt.Sprintf("abi.LiftList(l, %s, %d, %d, func(l *abi.Lift, at uint64) %s { return %s })",
			at, bytes, alignment, g.goType(t.elem), g.lift(t.elem, "at"))
	default:
		name := "lift" + label(t)
		return g.want(name, func() error { g.liftHelper(name, t); return nil }) + "(l, " + at + ")"
	}
}

func (g *generator) liftHelper(name string, t *wtype) {
	g.line("\nfunc %s(l *abi.Lift, at uint64) (v %s) {", name, g.goType(t))
	at := offset("at", 0)
	switch t.kind {
	case kindRecord, kindTuple:
		var place uint32
		for _, one := range t.fields {
			bytes, alignment := one.of.layout()
			place = align(place, alignment)
			g.line("v.%s = %s", goName(one.name), g.lift(one.of, offset(at, place)))
			place += bytes
		}
	case kindOption:
		g.line("if l.Case(uint32(l.U8(at)), 2, \"an option\") == 1 {\nv.Some = true")
		g.line("v.Value = %s\n}", g.lift(t.elem, offset(at, t.payloadOffset())))
	case kindResult:
		payload := offset(at, t.payloadOffset())
		g.line("if l.Case(uint32(l.U8(at)), 2, \"a result\") == 0 {\nv.OK = true")
		if t.elem != nil {
			g.line("v.Value = %s", g.lift(t.elem, payload))
		}
		if t.other != nil {
			g.line("} else {\nv.Err = %s", g.lift(t.other, payload))
		}
		g.line("}")
	case kindVariant:
		count := len(t.fields)
		g.line("v.Case = %sCase(l.Case(uint32(l.%s(at)), %d, %q))", goName(t.name), discriminantMethod(count), count, t.name)
		g.line("switch v.Case {")
		for _, one := range t.fields {
			if one.of != nil {
				g.line("case %s%s:\nv.%s = %s", goName(t.name), goName(one.name), goName(one.name), g.lift(one.of, offset(at, t.payloadOffset())))
			}
		}
		g.line("}")
	}
	g.line("return v\n}")
}

// flatten writes what appends a value's core values to the stack.
func (g *generator) flatten(t *wtype, v string) {
	switch t := t.real(); t.kind {
	case kindString:
		g.twoWords(fmt.Sprintf("w.String(%s)", v))
	case kindList:
		g.twoWords(g.listIn(t, v))
	case kindRecord, kindTuple, kindOption, kindResult, kindVariant:
		name := "flat" + label(t)
		g.line("stack = %s(w, stack, %s)", g.want(name, func() error { g.flatHelper(name, t); return nil }), v)
	default:
		g.line("stack = append(stack, %s)", g.word(t, v))
	}
}

func (g *generator) twoWords(call string) {
	g.line("{\nfrom, count := %s\nstack = append(stack, from, count)\n}", call)
}

// listIn is the call that copies a list in.
func (g *generator) listIn(t *wtype, v string) string {
	switch t.elem.real().kind {
	case kindU8:
		return fmt.Sprintf("w.Bytes(%s)", v)
	case kindU64:
		return fmt.Sprintf("w.U64s(%s)", v)
	case kindS64:
		return fmt.Sprintf("w.S64s(%s)", v)
	}
	bytes, alignment := t.elem.layout()
	name := "store" + label(t.elem)
	store := g.want(name, func() error { g.storeHelper(name, t.elem); return nil })
	return fmt.Sprintf("abi.LowerList(w, %s, %d, %d, %s)", v, bytes, alignment, store)
}

// word is a value of one core value, as a word of the stack.
func (g *generator) word(t *wtype, v string) string {
	switch t.kind {
	case kindBool:
		return "abi.Flag(" + v + ")"
	case kindS8, kindS16, kindS32:
		return "uint64(uint32(int32(" + v + ")))"
	case kindF32:
		g.mathUse = true
		return "uint64(math.Float32bits(" + v + "))"
	case kindF64:
		g.mathUse = true
		return "math.Float64bits(" + v + ")"
	case kindChar:
		return "uint64(uint32(" + v + "))"
	}
	return "uint64(" + v + ")"
}

func (g *generator) flatHelper(name string, t *wtype) {
	g.line("\nfunc %s(w *abi.Lower, stack []uint64, v %s) []uint64 {", name, g.goType(t))
	// Words of a payload that is shorter than the longest are 0.
	pad := func(payload *wtype) {
		words := len(t.flat()) - 1
		if payload != nil {
			words -= len(payload.flat())
		}
		if words > 0 {
			g.line("stack = append(stack%s)", strings.Repeat(", 0", words))
		}
	}
	one := func(number int, payload *wtype, v string) {
		g.line("stack = append(stack, %d)", number)
		if payload != nil {
			g.flatten(payload, v)
		}
		pad(payload)
	}
	switch t.kind {
	case kindRecord, kindTuple:
		for _, one := range t.fields {
			g.flatten(one.of, "v."+goName(one.name))
		}
	case kindOption:
		g.line("if v.Some {")
		one(1, t.elem, "v.Value")
		g.line("} else {")
		one(0, nil, "")
		g.line("}")
	case kindResult:
		g.line("if v.OK {")
		one(0, t.elem, "v.Value")
		g.line("} else {")
		one(1, t.other, "v.Err")
		g.line("}")
	case kindVariant:
		g.line("switch v.Case {")
		for i, variant := range t.fields {
			g.line("case %s%s:", goName(t.name), goName(variant.name))
			one(i, variant.of, "v."+goName(variant.name))
		}
		g.line("}")
	}
	g.line("return stack\n}")
}

// store writes what puts a value into memory.
func (g *generator) store(t *wtype, at, v string) {
	switch t := t.real(); t.kind {
	case kindBool, kindU8, kindU16, kindU32, kindU64, kindF32, kindF64, kindString:
		g.line("w.Put%s(%s, %s)", goName(t.String()), at, v)
	case kindS8, kindS16, kindS32, kindS64:
		g.line("w.PutU%s(%s, u%s(%s))", t.String()[1:], at, goPrimitives[t.kind], v)
	case kindChar:
		g.line("w.PutU32(%s, uint32(%s))", at, v)
	case kindEnum, kindFlags:
		bytes, _ := t.layout()
		g.line("w.PutU%d(%s, uint%d(%s))", 8*bytes, at, 8*bytes, v)
	case kindList:
		g.line("{\nfrom, count := %s\nw.PutU32(%s, uint32(from))\nw.PutU32(%s, uint32(count))\n}",
			g.listIn(t, v), at, offset(at, 4))
	default:
		name := "store" + label(t)
		g.line("%s(w, %s, %s)", g.want(name, func() error { g.storeHelper(name, t); return nil }), at, v)
	}
}

func (g *generator) storeFields(fields []field, v func(field) string) {
	var place uint32
	for _, one := range fields {
		bytes, alignment := one.of.layout()
		place = align(place, alignment)
		g.store(one.of, offset("at", place), v(one))
		place += bytes
	}
}

func (g *generator) storeHelper(name string, t *wtype) {
	g.line("\nfunc %s(w *abi.Lower, at uint64, v %s) {", name, g.goType(t))
	t = t.real()
	put := func(number int, payload *wtype, v string) {
		g.line("w.Put%s(at, %d)", discriminantMethod(len(t.cases())), number)
		if payload != nil {
			g.store(payload, offset("at", t.payloadOffset()), v)
		}
	}
	switch t.kind {
	case kindRecord, kindTuple:
		g.storeFields(t.fields, func(one field) string { return "v." + goName(one.name) })
	case kindOption:
		g.line("if v.Some {")
		put(1, t.elem, "v.Value")
		g.line("} else {")
		put(0, nil, "")
		g.line("}")
	case kindResult:
		g.line("if v.OK {")
		put(0, t.elem, "v.Value")
		g.line("} else {")
		put(1, t.other, "v.Err")
		g.line("}")
	case kindVariant:
		g.line("switch v.Case {")
		for i, variant := range t.fields {
			g.line("case %s%s:", goName(t.name), goName(variant.name))
			put(i, variant.of, "v."+goName(variant.name))
		}
		g.line("}")
	default:
		g.store(t, "at", "v")
	}
	g.line("}")
}
