// Finds blocks of code in Markdown, and says whether they parse.

package main

import (
	"encoding/json"
	"encoding/xml"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"slices"
	"strings"
)

// block is a fenced block of code.
type block struct {
	// language is the first word behind the fence, in lower case.
	language string
	code     string
	// closed says that its end was there.
	closed bool
}

// fenced finds a text's fenced blocks, as CommonMark has them: three or more backticks or tildes, at most three spaces before them.
func fenced(text string) []block {
	var found []block
	var open *block
	var fence string
	var indent int
	for line := range strings.Lines(text) {
		content := strings.TrimLeft(line, " ")
		spaces := len(line) - len(content)
		content = strings.TrimRight(content, "\r\n")
		marks := ticks(content)
		switch {
		case open == nil && spaces <= 3 && len(marks) >= 3 && !(marks[0] == '`' && strings.Contains(content[len(marks):], "`")):
			words := strings.Fields(content[len(marks):])
			found = append(found, block{})
			open, fence, indent = &found[len(found)-1], marks, spaces
			if len(words) > 0 {
				open.language = strings.ToLower(words[0])
			}
		case open != nil && spaces <= 3 && strings.HasPrefix(marks, fence) && strings.TrimSpace(content[len(marks):]) == "":
			open.closed = true
			open = nil
		case open != nil:
			open.code += line[min(spaces, indent):]
		}
	}
	return found
}

// ticks are the backticks or tildes that a line begins with.
func ticks(line string) string {
	if line == "" || (line[0] != '`' && line[0] != '~') {
		return ""
	}
	return line[:len(line)-len(strings.TrimLeft(line, line[:1]))]
}

// parsers say of a language's code whether it parses.
var parsers = map[string]func(code string) bool{"go": isGo, "json": isJSON, "jsonl": isJSONLines, "xml": isXML}

func languages() []string { return slices.Sorted(maps.Keys(parsers)) }

// canonical is a language's name as parsers has it.
func canonical(name string) string {
	switch name {
	case "golang":
		return "go"
	case "ndjson":
		return "jsonl"
	case "svg", "xhtml":
		return "xml"
	}
	return name
}

// isGo takes a file, declarations without a package clause, or statements, as models write them.
func isGo(code string) bool {
	for _, around := range [][2]string{{"", ""}, {"package p\n", ""}, {"package p\nfunc _() {\n", "\n}"}} {
		file, err := parser.ParseFile(token.NewFileSet(), "", around[0]+code+around[1], parser.SkipObjectResolution)
		// A file of nothing but a package clause, where the answer has none, is no code.
		if err == nil && (around[0] == "" || declares(file)) {
			return true
		}
	}
	return false
}

func declares(file *ast.File) bool {
	for _, declared := range file.Decls {
		function, is := declared.(*ast.FuncDecl)
		if !is || function.Name.Name != "_" || len(function.Body.List) > 0 {
			return true
		}
	}
	return false
}

func isJSON(code string) bool { return json.Valid([]byte(code)) }

func isJSONLines(code string) bool {
	lines := 0
	for line := range strings.Lines(code) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if lines++; !isJSON(line) {
			return false
		}
	}
	return lines > 0
}

func isXML(code string) bool {
	decoder := xml.NewDecoder(strings.NewReader(code))
	elements := 0
	for {
		part, err := decoder.Token()
		if err != nil {
			return err == io.EOF && elements > 0
		}
		if _, is := part.(xml.StartElement); is {
			elements++
		}
	}
}
