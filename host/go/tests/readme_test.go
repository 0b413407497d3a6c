// The README's fragments, as they stand there: each compiles and does what it says, once what is its reader's own is given to it.

package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ask is a reader's own function, asked within a call.
const ask = "ask := func(context.Context) (string, error) { return \"Paris\", nil }\n"

// fragments are the README's blocks of Go but for the quickstart, in order: a word of each, what its reader has already, and what must
// hold after it.
var fragments = []struct{ word, before, after string }{
	{"breaker.Permit()", "", "if settled.Effect != softfuse.Recorded { return fmt.Errorf(\"%+v\", settled) }"},
	{
		"softfuse.NewTransport(breaker, nil)",
		`server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: Paris\n\ndata: [DONE]\n\n")
		}))
		defer server.Close()
		scorer, err := softfuse.ScorerFile("target/components/scorers/text.wasm", softfuse.ScorerSettings{})
		if err != nil { return err }
		scoring, err := softfuse.NewScoring(scorer, softfuse.ScoringSettings{})
		if err != nil { return err }
		`,
		`response, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil { return err }
		if _, err := io.Copy(io.Discard, response.Body); err != nil { return err }
		if err := response.Body.Close(); err != nil { return err }
		if status, err := breaker.Status(); err != nil || status.Totals.Successes < 2 { return fmt.Errorf("%+v %v", status, err) }`,
	},
	{"registry.BuildPolicy(", "", "if !policy.UsesScores() { return errors.New(policy.Text()) }"},
	{
		"softfuse.ScorerFile(", "",
		`if _, err := guard.Execute(ctx, func(context.Context) (string, error) { return "Paris is the capital of France.", nil }); err != nil { return err }`,
	},
	{"scorerlib.Open(", "", ""},
	{
		"softfuse.NewProviders(",
		`ask := func(_ context.Context, provider, question string) (string, error) { return provider + " on " + question, nil }
		question := "Paris"
		openai, err := registry.Breaker("openai", policy)
		if err != nil { return err }
		azure, err := registry.Breaker("azure", policy)
		if err != nil { return err }
		`,
		`if answer != "openai on Paris" || len(available) != 2 { return fmt.Errorf("%q %v", answer, available) }`,
	},
	{"softfuse.NewBulkhead(", ask, `if answer != "Paris" { return errors.New(answer) }`},
}

const (
	fragmentHead = "func fragment%d(ctx context.Context, registry *softfuse.Registry, policy *softfuse.Policy, breaker *softfuse.Breaker) error {\n"
	fragmentMain = `
func main() {
	ctx := context.Background()
	registry, err := softfuse.New()
	if err != nil { panic(err) }
	policy, err := registry.Policy("readme", "trip_on = { consecutive_failures = 5 }")
	if err != nil { panic(err) }
	breaker, err := registry.Breaker("readme", policy)
	if err != nil { panic(err) }
	for at, run := range []func(context.Context, *softfuse.Registry, *softfuse.Policy, *softfuse.Breaker) error{%s} {
		if err := run(ctx, registry, policy, breaker); err != nil {
			fmt.Printf("fragment %%d: %%v\n", at, err)
			os.Exit(1)
		}
	}
}
`
)

// wrapped is a block as a function's body: each error that it is told is looked at, and what it makes is used.
func wrapped(t *testing.T, at int, block, before, after string) string {
	t.Helper()
	head := "package main\n" + fmt.Sprintf(fragmentHead, at) + before
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
	for _, part := range strings.Split(string(mustRead(t, filepath.Join("..", "README.md"))), "\n```go\n")[1:] {
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
	program += ")\nvar _ = time.Second\n"
	var runs []string
	for at, fragment := range fragments {
		if !strings.Contains(blocks[at], fragment.word) {
			t.Fatalf("fragment %d has no `%s`:\n%s", at, fragment.word, blocks[at])
		}
		program += wrapped(t, at, blocks[at], fragment.before, fragment.after)
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
	text := string(mustRead(t, filepath.Join(componentsFolder(t), "scorers", "text.wasm")))
	for _, path := range []string{"target/components/scorers/text.wasm", "schema.wasm"} {
		write(path, text)
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
