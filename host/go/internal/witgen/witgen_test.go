// What the generator makes of types that the contracts don't have, and what it says of texts that it doesn't know.

package witgen

import (
	"strings"
	"testing"
)

const everything = `
package a:b@1.2.3;
/* a comment */
interface other { x: func(); }
/// What it is for.
interface all {
    record pair { a: u8, %b-id: string }
    flags many { f0, f1, f2, f3, f4, f5, f6, f7, f8 }
    enum one { only }
    variant choice { none, byte(u8), both(tuple<f32, s64>), list(list<list<string>>) }
    type alias = option<result<pair, _>>;
    take: func(p: pair, m: many, o: one, c: choice, a: alias, z: bool, d: char, e: f64, s: s16);
    spill: func(a: string, b: string, c: string, d: string, e: string, f: string, g: string, h: string, i: string, j: choice);
    give: func() -> result<list<choice>, many>;
    yes: func() -> bool;
    number: func() -> s32;
}
world w { export all; }
`

func TestEveryTypeHasGlue(t *testing.T) {
	glue, err := Generate(everything, "all", "all", "all.wit")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"type Pair struct", "BID string", "type Many uint16", "ManyF8 Many = 1 << 8", "type Alias = abi.Option[abi.Result[Pair, abi.Unit]]",
		// More than 16 core values go through memory.
		`{Name: "a:b/all@1.2.3#spill", Params: []abi.CoreType{abi.I32}, Results: nil}`,
		`{Name: "a:b/all@1.2.3#give", Params: nil, Results: []abi.CoreType{abi.I32}}`,
		"result = uint32(g.stack[0]) != 0",
	} {
		if !strings.Contains(string(glue), want) {
			t.Errorf("no `%s` in\n%s", want, glue)
		}
	}
	parsed, err := Parse(everything, "all")
	if err != nil {
		t.Fatal(err)
	}
	flat := map[string]string{"pair": "iii", "many": "i", "one": "i", "choice": "iiI", "alias": "iiiii"}
	layout := map[string][2]uint32{"pair": {12, 4}, "many": {2, 2}, "one": {1, 1}, "choice": {24, 8}, "alias": {20, 4}}
	for _, named := range parsed.types {
		if found := named.flat(); found != flat[named.name] {
			t.Errorf("%s flattens to %s, not %s", named.name, found, flat[named.name])
		}
		if bytes, alignment := named.layout(); [2]uint32{bytes, alignment} != layout[named.name] {
			t.Errorf("%s takes %d bytes, aligned to %d, not %v", named.name, bytes, alignment, layout[named.name])
		}
	}
}

func TestWhatIsNotKnownIsNamed(t *testing.T) {
	for says, body := range map[string]string{
		"line 1: there is no type `stream` before this line":              "f: func(a: stream<u8>);",
		"line 1: no glue is made for `resource`":                          "resource r { }",
		"line 1: no glue is made for `use`":                               "use types.{a};",
		"line 1: expected `;`, found `}`":                                 "f: func()",
		"line 1: `list` of 2 types, takes 1 to 1":                         "f: func(a: list<u8, u8>);",
		"line 1: `a` is defined twice":                                    "type a = u8; type a = u8;",
		"line 1: expected `func`, found `async`":                          "f: async func();",
		"`f`: no glue is made for a result of the type f64":               "f: func() -> f64;",
		"line 1: '$' is no part of WIT":                                   "$",
		"line 1: a comment without an end":                                "/*",
		"line 1: `r` has 0 parts: 1 to 32 flags, or 1 and more of others": "record r { }",
	} {
		if _, err := Generate("package a:b; interface i { "+body+" }", "i", "p", "i.wit"); err == nil || err.Error() != "i.wit: "+says {
			t.Errorf("%s: %v, not %s", body, err, says)
		}
	}
	if _, err := Generate("package a:b;", "i", "p", "i.wit"); err == nil || !strings.Contains(err.Error(), "there is no interface `i`") {
		t.Errorf("%v", err)
	}
}

// FuzzParse holds that no text makes the reader panic, or go on for ever.
func FuzzParse(f *testing.F) {
	f.Add(everything)
	f.Add("interface all { f: func(a: list<")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = Generate(text, "all", "p", "f.wit") })
}
