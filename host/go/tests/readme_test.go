// The README's fragments, as they stand there: each compiles and does what it says, with what the README says is its reader's own, and
// nothing else.

package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// yours is what the README may say that its reader has.
var yours = map[string]string{
	"ctx":      "var ctx = context.Background()",
	"registry": "var registry = must(softfuse.New())",
	"policy":   `var policy = must(registry.Policy("readme", "trip_on = { consecutive_failures = 5 }"))`,
	"breaker":  `var breaker = must(registry.Breaker("readme", policy))`,
	"scoring": `var scoring = must(softfuse.NewScoring(
	must(softfuse.ScorerFile("target/components/scorers/text.wasm", softfuse.ScorerSettings{})), softfuse.ScoringSettings{},
))`,
	"ask": `var ask func(ctx context.Context, provider string) (string, error) = func(_ context.Context, provider string) (string, error) {
	return provider + ": Paris", nil
}`,
}

// fragments are the README's blocks of Go but for the quickstart, in order: a word of each, and what must hold after it.
var fragments = []struct{ word, after string }{
	{"breaker.Permit()", "if settled.Effect != softfuse.Recorded { return fmt.Errorf(\"%+v\", settled) }"},
	{
		"softfuse.NewTransport(breaker, nil)",
		`server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: Paris\n\ndata: [DONE]\n\n")
		}))
		defer server.Close()
		response, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil { return err }
		if _, err := io.Copy(io.Discard, response.Body); err != nil { return err }
		if err := response.Body.Close(); err != nil { return err }
		if status, err := breaker.Status(); err != nil || status.Totals.Successes < 2 { return fmt.Errorf("%+v %v", status, err) }`,
	},
	{"registry.BuildPolicy(", "if !policy.UsesScores() { return errors.New(policy.Text()) }"},
	{
		"softfuse.ScorerFile(",
		`if _, err := guard.Execute(ctx, func(context.Context) (string, error) { return "Paris is the capital of France.", nil }); err != nil { return err }`,
	},
	{"scorerlib.Open(", ""},
	{"softfuse.NewProviders(", `if answer != "openai: Paris" || len(available) != 2 { return fmt.Errorf("%q %v", answer, available) }`},
	{"softfuse.NewBulkhead(", `if answer != "openai: Paris" { return errors.New(answer) }`},
}

const (
	fragmentHead = "func fragment%d() error {\n"
	fragmentMain = `
func must[T any](made T, err error) T {
	if err != nil { panic(err) }
	return made
}

func main() {
	for at, run := range []func() error{%s} {
		if err := run(); err != nil {
			fmt.Printf("fragment %%d: %%v\n", at, err)
			os.Exit(1)
		}
	}
}
`
)

// given declares what the README says that its reader has, all of which its fragments want.
func given(t *testing.T, text string, blocks []string) string {
	t.Helper()
	_, sentence, _ := strings.Cut(text, "What follows are fragments of ")
	sentence, _, _ = strings.Cut(sentence, " are yours.")
	declared, last := "", ""
	for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(sentence, -1) {
		switch word := found[1]; {
		case yours[word] != "":
			if !regexp.MustCompile(`\b` + word + `\b`).MatchString(strings.Join(blocks, "\n")) {
				t.Errorf("no fragment wants `%s`", word)
			}
			declared += yours[word] + "\n"
			last = word
		case last == "" || !strings.HasPrefix(yours[last], "var "+last+" "+word+" = "):
			t.Errorf("README.md says that `%s` is its reader's own", word)
		}
	}
	return declared
}

// wrapped is a block as a function's body: each error that it is told is looked at, and what it makes is used.
func wrapped(t *testing.T, at int, block, after string) string {
	t.Helper()
	head := "package main\n" + fmt.Sprintf(fragmentHead, at)
	whole := head + block + "\nreturn nil\n}\n"
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "README.md", whole, 0)
	if err != nil {
		t.Fatalf("%v\n%s", err, block)
	}
	from, made := 0, ""
	for _, statement := range file.Decls[0].(*ast.FuncDecl).Body.List {
		assign, ok := statement.(*ast.AssignStmt)
		end := set.Position(statement.End()).Offset
		if !ok || end <= len(head) {
			continue
		}
		made += whole[from:end]
		from = end
		for _, left := range assign.Lhs {
			switch name, _ := left.(*ast.Ident); {
			case name == nil || name.Name == "_":
			case name.Name != "err":
				made += "\n_ = " + name.Name
			case !strings.HasPrefix(strings.TrimSpace(whole[end:]), "if err != nil"):
				made += "\nif err != nil { return err }"
			}
		}
	}
	rest := strings.TrimSuffix(whole[from:], "return nil\n}\n")
	return strings.TrimPrefix(made+rest, "package main\n") + after + "\nreturn nil\n}\n"
}

func TestTheReadmesFragmentsRun(t *testing.T) {
	var blocks []string
	text := string(mustRead(t, filepath.Join("..", "README.md")))
	for _, part := range strings.Split(text, "\n```go\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		if !strings.Contains(block, "package main") {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) != len(fragments) {
		t.Fatalf("README.md has %d fragments, and here are %d", len(blocks), len(fragments))
	}
	program := "package main\nimport (\n"
	for _, path := range []string{"context", "errors", "fmt", "io", "net/http", "net/http/httptest", "os", "time", modulePath, modulePath + "/scorerlib"} {
		program += fmt.Sprintf("%q\n", path)
	}
	program += ")\nvar _ = time.Second\n" + given(t, text, blocks)
	var runs []string
	for at, fragment := range fragments {
		if !strings.Contains(blocks[at], fragment.word) {
			t.Fatalf("fragment %d has no `%s`:\n%s", at, fragment.word, blocks[at])
		}
		program += wrapped(t, at, blocks[at], fragment.after)
		if fragment.word == "scorerlib.Open(" && os.Getenv("SOFTFUSE_LIBRARY") == "" {
			t.Log("without SOFTFUSE_LIBRARY the fragment of scorerlib is compiled, and doesn't run")
			program += fmt.Sprintf("var _ = fragment%d\n", at)
			continue
		}
		runs = append(runs, fmt.Sprintf("fragment%d", at))
	}
	folder, host := t.TempDir(), absolute(t, "..")
	write := func(path, text string) {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, path)), 0o755))
		check(t, os.WriteFile(filepath.Join(folder, path), []byte(text), 0o644))
	}
	write("main.go", program+fmt.Sprintf(fragmentMain, strings.Join(runs, ", ")))
	// As for these tests, but from another folder.
	description := strings.Replace(string(mustRead(t, "go.mod")), "module softfuse.dev/softfuse/tests", "module readme", 1)
	write("go.mod", strings.ReplaceAll(description, "=> ../", "=> "+filepath.ToSlash(host)+"/"))
	write("go.sum", string(mustRead(t, "go.sum")))
	write("policy.toml", string(mustRead(t, filepath.Join(repo(t), "examples", "policies", "llm.toml"))))
	scorer := string(mustRead(t, filepath.Join(componentsFolder(t), "scorers", "text.wasm")))
	for _, path := range []string{"target/components/scorers/text.wasm", "schema.wasm"} {
		write(path, scorer)
	}
	build := exec.Command("go", "build", "-o", "readme", ".")
	build.Dir, build.Env = folder, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, program)
	}
	command := exec.Command(filepath.Join(folder, "readme"))
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}
