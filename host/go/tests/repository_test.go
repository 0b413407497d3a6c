// What must hold of the host's files: generated glue is as fresh, the component is the one that was built, every file says why it
// exists, and the README's program is the example.

package tests

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"softfuse.dev/softfuse/internal/witgen"
)

func TestTheGlueIsMadeFromTheContracts(t *testing.T) {
	for _, one := range [][3]string{{"breaker", "breakerwit", "wit/breaker/breaker.wit"}, {"scorer", "scorerwit", "wit/scorer/scorer.wit"}} {
		text := mustRead(t, filepath.Join(repo(t), filepath.FromSlash(one[2])))
		fresh, err := witgen.Generate(string(text), one[0], one[1], one[2])
		if err != nil {
			t.Fatal(err)
		}
		committed := mustRead(t, filepath.Join(repo(t), "host", "go", "internal", one[1], "glue.go"))
		if !bytes.Equal(fresh, committed) {
			t.Errorf("internal/%s/glue.go isn't what %s makes: run `go generate ./...` in host/go", one[1], one[2])
		}
	}
}

func TestTheComponentIsTheOneThatWasBuilt(t *testing.T) {
	built := mustRead(t, filepath.Join(componentsFolder(t), "breaker.wasm"))
	committed := mustRead(t, filepath.Join(repo(t), "host", "go", "internal", "component", "breaker.wasm"))
	if !bytes.Equal(built, committed) {
		t.Errorf("internal/component/breaker.wasm (%d bytes) isn't the component that was built (%d bytes): copy that there", len(committed), len(built))
	}
}

func TestEveryFileSaysWhyItExists(t *testing.T) {
	const linesMax, lineCharsMax = 400, 160
	files := 0
	for _, folder := range []string{filepath.Join("host", "go"), filepath.Join("examples", "quickstart", "go")} {
		err := filepath.WalkDir(filepath.Join(repo(t), folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
				return err
			}
			files++
			lines := strings.Split(string(mustRead(t, path)), "\n")
			if !strings.HasPrefix(lines[0], "// ") || utf8.RuneCountInString(lines[0]) < 20 {
				t.Errorf("%s: its first line doesn't say why it exists", path)
			}
			if filepath.Base(path) == "glue.go" {
				return nil
			}
			if !strings.HasSuffix(path, "_test.go") && len(lines) > linesMax+1 {
				t.Errorf("%s: %d lines, %d at most", path, len(lines), linesMax)
			}
			for number, line := range lines {
				if utf8.RuneCountInString(line) > lineCharsMax {
					t.Errorf("%s:%d: over %d characters", path, number+1, lineCharsMax)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 40 {
		t.Errorf("%d files: is this the folder?", files)
	}
}

func TestTheReadmesProgramIsTheExample(t *testing.T) {
	readme := string(mustRead(t, filepath.Join(repo(t), "host", "go", "README.md")))
	program := string(mustRead(t, filepath.Join(repo(t), "examples", "quickstart", "go", "main.go")))
	_, quickstart, found := strings.Cut(readme, "## Quickstart\n")
	if !found || !strings.Contains(quickstart, "```go\n"+program+"```\n") {
		t.Error("README.md's Quickstart isn't examples/quickstart/go/main.go")
	}
	order := []string{"## Install", "## Quickstart", "## Policies", "## Scores and scorers", "## Fallbacks", "## Events and metrics", "## Keyed breakers",
		"## The clock and tests", "## How fast it is", "## Differences from sony/gobreaker"}
	at := 0
	for _, section := range order {
		next := strings.Index(readme[at:], section+"\n")
		if next < 0 {
			t.Fatalf("README.md has no `%s` after what comes before it", section)
		}
		at += next
	}
	if _, err := os.Stat(filepath.Join(repo(t), "host", "go", "LICENSE")); err != nil {
		t.Error("a module's licence lies in its folder: ", err)
	}
}
