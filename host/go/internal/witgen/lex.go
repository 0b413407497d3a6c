// Cuts a WIT text into words, its documentation kept with what follows it.

// Package witgen makes Go glue for a WIT interface that a component exports: types, and a function for each of the interface's,
// which lowers its parameters into the component's memory and lifts its result out of it.
//
// The known generators make the other side, what a component written in Go is made of (wit-bindgen's `go`), or code for a
// component runtime that needs cgo. So this one is the project's own: it knows what the contracts in `wit` use, and says
// clearly what it doesn't know.
package witgen

import (
	"fmt"
	"strings"
)

// token is a word or a sign.
type token struct {
	text string
	line int
	// docs is the documentation before it, a line each.
	docs []string
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '%' || c == '.' || c == '_'
}

// lex cuts a text.
func lex(text string) ([]token, error) {
	var tokens []token
	var docs []string
	line := 1
	for i := 0; i < len(text); {
		rest := text[i:]
		switch c := text[i]; {
		case c == '\n':
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			if doc, ok := strings.CutPrefix(rest[:end], "///"); ok {
				docs = append(docs, strings.TrimPrefix(strings.TrimRight(doc, " \r"), " "))
			}
			i += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return nil, fmt.Errorf("line %d: a comment without an end", line)
			}
			line += strings.Count(rest[:end], "\n")
			i += end + 2
		case strings.HasPrefix(rest, "->"):
			tokens = append(tokens, token{text: "->", line: line, docs: docs})
			docs = nil
			i += 2
		case isWord(c):
			end := 1
			for end < len(rest) && isWord(rest[end]) && !(rest[end] == '.' && end+1 < len(rest) && rest[end+1] == '{') {
				end++
			}
			// A name never ends with a dash: that is an arrow's.
			word := strings.TrimRight(rest[:end], "-")
			tokens = append(tokens, token{text: strings.TrimPrefix(word, "%"), line: line, docs: docs})
			docs = nil
			i += max(len(word), 1)
		case strings.IndexByte("{}()<>,;:=@/*.", c) >= 0:
			tokens = append(tokens, token{text: string(c), line: line, docs: docs})
			docs = nil
			i++
		default:
			return nil, fmt.Errorf("line %d: %q is no part of WIT", line, c)
		}
	}
	return tokens, nil
}
