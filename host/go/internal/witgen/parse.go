// Reads a WIT text: one package, its interfaces. What it doesn't know it says, with the line.

package witgen

import (
	"fmt"
	"strings"
)

type parser struct {
	tokens []token
	at     int
	pkg    string
	// version is the package's, with its `@`.
	version string
}

// Parse reads the interface of this name.
func Parse(text, name string) (*Interface, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	found, err := p.file(name)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("there is no interface `%s`", name)
	}
	return found, nil
}

func (p *parser) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	line := 1
	if len(p.tokens) > 0 {
		line = p.tokens[len(p.tokens)-1].line
	}
	return token{line: line}
}

func (p *parser) next() token {
	found := p.peek()
	p.at++
	return found
}

func (p *parser) is(text string) bool {
	if p.peek().text != text {
		return false
	}
	p.at++
	return true
}

func (p *parser) want(text string) error {
	if found := p.peek(); !p.is(text) {
		return fmt.Errorf("line %d: expected `%s`, found `%s`", found.line, text, found.text)
	}
	return nil
}

// skipAnnotations passes `@since(...)`: the documentation before it belongs to what follows.
func (p *parser) skipAnnotations() ([]string, error) {
	docs := p.peek().docs
	for p.is("@") {
		p.next()
		if p.is("(") {
			for !p.is(")") {
				if p.at >= len(p.tokens) {
					return nil, fmt.Errorf("line %d: an annotation without an end", p.peek().line)
				}
				p.at++
			}
		}
		docs = append(docs, p.peek().docs...)
	}
	return docs, nil
}

// skipBraces passes a block that is none of ours.
func (p *parser) skipBraces() error {
	for depth := 0; ; {
		if p.at >= len(p.tokens) {
			return fmt.Errorf("line %d: a block without an end", p.peek().line)
		}
		switch p.next().text {
		case "{":
			depth++
		case "}":
			if depth--; depth == 0 {
				return nil
			}
		}
	}
}

func (p *parser) file(name string) (found *Interface, err error) {
	for p.at < len(p.tokens) {
		docs, err := p.skipAnnotations()
		if err != nil {
			return nil, err
		}
		switch word := p.next(); word.text {
		case "package":
			var id strings.Builder
			for !p.is(";") {
				if p.at >= len(p.tokens) {
					return nil, fmt.Errorf("line %d: a package without an end", word.line)
				}
				id.WriteString(p.next().text)
			}
			p.pkg, p.version, _ = strings.Cut(id.String(), "@")
			if p.version != "" {
				p.version = "@" + p.version
			}
		case "interface":
			if p.next().text != name {
				err = p.skipBraces()
			} else if found, err = p.iface(name); err == nil {
				found.docs = docs
			}
			if err != nil {
				return nil, err
			}
		case "world":
			p.next()
			if err := p.skipBraces(); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("line %d: `%s` begins neither a package, an interface nor a world", word.line, word.text)
		}
	}
	return found, nil
}

func (p *parser) iface(name string) (*Interface, error) {
	made := &Interface{ID: p.pkg + "/" + name + p.version}
	known := map[string]*wtype{}
	if err := p.want("{"); err != nil {
		return nil, err
	}
	for !p.is("}") {
		docs, err := p.skipAnnotations()
		if err != nil {
			return nil, err
		}
		switch word := p.next(); word.text {
		case "type", "record", "variant", "enum", "flags":
			named, err := p.named(word.text, known)
			if err != nil {
				return nil, err
			}
			if known[named.name] != nil {
				return nil, fmt.Errorf("line %d: `%s` is defined twice", word.line, named.name)
			}
			named.docs = docs
			known[named.name] = named
			made.types = append(made.types, named)
		case "use", "resource":
			return nil, fmt.Errorf("line %d: no glue is made for `%s`", word.line, word.text)
		case "":
			return nil, fmt.Errorf("line %d: the interface has no end", word.line)
		default:
			if err := p.want(":"); err != nil {
				return nil, err
			}
			one, err := p.function(known)
			if err != nil {
				return nil, err
			}
			one.name, one.docs = word.text, docs
			made.funcs = append(made.funcs, one)
		}
	}
	return made, nil
}

func (p *parser) named(what string, known map[string]*wtype) (*wtype, error) {
	made := &wtype{name: p.next().text}
	if what == "type" {
		made.kind = kindAlias
		if err := p.want("="); err != nil {
			return nil, err
		}
		of, err := p.typ(known)
		if err != nil {
			return nil, err
		}
		made.elem = of
		return made, p.want(";")
	}
	made.kind = map[string]kind{"record": kindRecord, "variant": kindVariant, "enum": kindEnum, "flags": kindFlags}[what]
	line := p.peek().line
	if err := p.want("{"); err != nil {
		return nil, err
	}
	for !p.is("}") {
		docs, err := p.skipAnnotations()
		if err != nil {
			return nil, err
		}
		one := field{name: p.next().text, docs: docs}
		closing := ""
		switch {
		case what == "record":
			err = p.want(":")
		case what == "variant" && p.is("("):
			closing = ")"
		}
		if err == nil && (what == "record" || closing != "") {
			one.of, err = p.typ(known)
		}
		if err == nil && closing != "" {
			err = p.want(closing)
		}
		if err != nil {
			return nil, err
		}
		made.fields = append(made.fields, one)
		if !p.is(",") && p.peek().text != "}" {
			return nil, fmt.Errorf("line %d: expected `,` or `}`, found `%s`", p.peek().line, p.peek().text)
		}
	}
	if len(made.fields) == 0 || what == "flags" && len(made.fields) > 32 {
		return nil, fmt.Errorf("line %d: `%s` has %d parts: 1 to 32 flags, or 1 and more of others", line, made.name, len(made.fields))
	}
	return made, nil
}

func (p *parser) function(known map[string]*wtype) (function, error) {
	var made function
	if found := p.next(); found.text != "func" {
		return made, fmt.Errorf("line %d: expected `func`, found `%s`", found.line, found.text)
	}
	if err := p.want("("); err != nil {
		return made, err
	}
	for !p.is(")") {
		one := field{name: p.next().text}
		if err := p.want(":"); err != nil {
			return made, err
		}
		of, err := p.typ(known)
		if err != nil {
			return made, err
		}
		one.of = of
		made.params = append(made.params, one)
		if !p.is(",") && p.peek().text != ")" {
			return made, fmt.Errorf("line %d: expected `,` or `)`, found `%s`", p.peek().line, p.peek().text)
		}
	}
	if p.is("->") {
		result, err := p.typ(known)
		if err != nil {
			return made, err
		}
		made.result = result
	}
	return made, p.want(";")
}

func (p *parser) typ(known map[string]*wtype) (*wtype, error) {
	word := p.next()
	if primitive, ok := primitives[word.text]; ok {
		return &wtype{kind: primitive}, nil
	}
	if named := known[word.text]; named != nil {
		return named, nil
	}
	made := &wtype{}
	switch word.text {
	case "list":
		made.kind = kindList
	case "option":
		made.kind = kindOption
	case "result":
		made.kind = kindResult
	case "tuple":
		made.kind = kindTuple
	default:
		return nil, fmt.Errorf("line %d: there is no type `%s` before this line", word.line, word.text)
	}
	var parts []*wtype
	if p.is("<") {
		for !p.is(">") {
			if p.is("_") {
				parts = append(parts, nil)
			} else {
				part, err := p.typ(known)
				if err != nil {
					return nil, err
				}
				parts = append(parts, part)
			}
			if !p.is(",") && p.peek().text != ">" {
				return nil, fmt.Errorf("line %d: expected `,` or `>`, found `%s`", p.peek().line, p.peek().text)
			}
		}
	}
	return made, made.fill(parts, word)
}

// fill gives a type its parts, where they are as many as it takes.
func (t *wtype) fill(parts []*wtype, word token) error {
	takes := map[kind][2]int{kindList: {1, 1}, kindOption: {1, 1}, kindResult: {0, 2}, kindTuple: {1, 16}}[t.kind]
	if len(parts) < takes[0] || len(parts) > takes[1] {
		return fmt.Errorf("line %d: `%s` of %d types, takes %d to %d", word.line, word.text, len(parts), takes[0], takes[1])
	}
	for i, part := range parts {
		if part == nil && t.kind != kindResult {
			return fmt.Errorf("line %d: `_` in a `%s`", word.line, word.text)
		}
		if t.kind == kindTuple {
			t.fields = append(t.fields, field{name: fmt.Sprintf("f%d", i), of: part})
		}
	}
	switch {
	case t.kind == kindTuple:
	case len(parts) > 0:
		t.elem = parts[0]
		if len(parts) > 1 {
			t.other = parts[1]
		}
	}
	return nil
}
