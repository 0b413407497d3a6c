// Scorers in other languages, each with its cases, where the environment's SOFTFUSE_SCORERS names the folder in which they were built: as
// LANGUAGE/scorer.wasm and LANGUAGE/cases.toml. Those that one core module makes up run here, the others by the C library; and so do large
// ones, which it compiles in seconds, where wazero takes minutes.

package tests

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"softfuse.dev/softfuse"
	"softfuse.dev/softfuse/scorerlib"
)

type scorerCases struct {
	Config string       `toml:"config"`
	Case   []scorerCase `toml:"case"`
}

type scorerCase struct {
	Name      string            `toml:"name"`
	Config    *string           `toml:"config"`
	Operation string            `toml:"operation"`
	Model     string            `toml:"model"`
	Request   any               `toml:"request"`
	Metadata  map[string]string `toml:"metadata"`
	Answer    any               `toml:"answer"`

	Score         any     `toml:"score"`
	Abstains      *string `toml:"abstains"`
	Malformed     *string `toml:"malformed"`
	Fails         *string `toml:"fails"`
	Misconfigured *string `toml:"misconfigured"`
}

// body is a text alone, or a table.
func body(t *testing.T, given any) (made softfuse.Body) {
	t.Helper()
	switch given := given.(type) {
	case nil:
	case string:
		made.Bytes = []byte(given)
	case map[string]any:
		known(t, given, "content_type", "text", "bytes", "truncated")
		made.ContentType, _ = given["content_type"].(string)
		made.Truncated, _ = given["truncated"].(bool)
		if text, ok := given["text"].(string); ok {
			made.Bytes = []byte(text)
		}
		bytes, _ := given["bytes"].([]any)
		for _, one := range bytes {
			made.Bytes = append(made.Bytes, byte(one.(int64)))
		}
	default:
		t.Fatalf("%T is no body", given)
	}
	return made
}

// known says that a table has no other keys.
func known(t *testing.T, table map[string]any, keys ...string) {
	t.Helper()
	for key := range table {
		if !slices.Contains(keys, key) {
			t.Fatalf("unknown key `%s`: there are %v", key, keys)
		}
	}
}

func number(t *testing.T, given any, or float64) float64 {
	t.Helper()
	switch given := given.(type) {
	case nil:
		return or
	case int64:
		return float64(given)
	case float64:
		return given
	}
	t.Fatalf("%T is no number", given)
	return 0
}

// met says whether this is what a case wants.
func (c *scorerCase) met(t *testing.T, verdict softfuse.Verdict, err error) bool {
	t.Helper()
	var failure *softfuse.ScorerFailure
	failed := errors.As(err, &failure)
	says := func(reason string, part *string) bool {
		return failed && failure.Reason == reason && strings.Contains(failure.Text, *part)
	}
	switch {
	case c.Score != nil:
		least, most := -1e6, 1e6
		if table, ok := c.Score.(map[string]any); ok {
			known(t, table, "at_least", "at_most")
			least, most = number(t, table["at_least"], least), number(t, table["at_most"], most)
		} else {
			least = number(t, c.Score, 0)
			most = least
		}
		const tolerance = 1e-9
		return err == nil && verdict.Scored && verdict.Score >= least-tolerance && verdict.Score <= most+tolerance
	case c.Abstains != nil:
		return err == nil && !verdict.Scored && strings.Contains(verdict.Abstained, *c.Abstains)
	case c.Malformed != nil:
		return says("malformed", c.Malformed)
	case c.Misconfigured != nil:
		return says("config", c.Misconfigured)
	case c.Fails != nil:
		return failed && failure.Reason != "malformed" && failure.Reason != "config" && strings.Contains(failure.Text, *c.Fails)
	}
	t.Fatalf("`%s` says not what is expected", c.Name)
	return false
}

// compiledCode is kept here, so that a component is compiled once for all of its configurations.
var compiledCode = filepath.Join(os.TempDir(), "softfuse-go-tests")

type closing interface {
	softfuse.AnswerScorer
	Close() error
}

// hereBytesMax is the largest component that is compiled here.
const hereBytesMax = 8 << 20

// anyScorer loads a scorer, here or by the C library: whether it is here.
func anyScorer(t *testing.T, component []byte, settings softfuse.ScorerSettings) (scorer closing, here bool, err error) {
	t.Helper()
	if len(component) <= hereBytesMax {
		kept := settings
		kept.CacheDir = compiledCode
		made, err := softfuse.NewScorer("scorer", component, kept)
		if !errors.Is(err, softfuse.ErrNeedsComponentRuntime) {
			return made, true, err
		}
	}
	library, err := scorerlib.Open("")
	if err != nil {
		t.Fatal(err)
	}
	there, err := library.NewScorer("scorer", component, settings)
	return there, false, err
}

func TestScorersOfOtherLanguagesKeepTheirCases(t *testing.T) {
	folder := os.Getenv("SOFTFUSE_SCORERS")
	if folder == "" {
		t.Skip("SOFTFUSE_SCORERS is not set: scorers in other languages are built by `cargo test -p softfuse-hosts`, which runs this")
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*", "scorer.wasm"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%s: %v: %v", folder, paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			var cases scorerCases
			decode(t, filepath.Join(filepath.Dir(path), "cases.toml"), &cases)
			runCases(t, mustRead(t, path), &cases)
		})
	}
}

func runCases(t *testing.T, component []byte, cases *scorerCases) {
	// One instance for each configuration; a busy machine is no fault of a scorer's.
	loaded := map[string]closing{}
	defer func() {
		for _, scorer := range loaded {
			_ = scorer.Close()
		}
	}()
	runsHere := false
	for at := range cases.Case {
		one := &cases.Case[at]
		config := cases.Config
		if one.Config != nil {
			config = *one.Config
		}
		scorer := loaded[config]
		if scorer == nil {
			made, here, err := anyScorer(t, component, softfuse.ScorerSettings{
				Config: config, StartDeadline: 10 * time.Minute, Deadline: time.Minute, InstancesMax: 1, MemoryBytesMax: 512 << 20,
			})
			if runsHere = here; one.Misconfigured != nil || err != nil {
				if !one.met(t, softfuse.Verdict{}, err) {
					t.Errorf("`%s`: %v", one.Name, err)
				}
				continue
			}
			loaded[config], scorer = made, made
		}
		exchange := &softfuse.Exchange{Operation: one.Operation, Model: one.Model, Request: body(t, one.Request), Answer: body(t, one.Answer)}
		for _, name := range slices.Sorted(maps.Keys(one.Metadata)) {
			exchange.Metadata = append(exchange.Metadata, [2]string{name, one.Metadata[name]})
		}
		if verdict, err := scorer.Score(exchange); !one.met(t, verdict, err) {
			t.Errorf("`%s`: %+v %v", one.Name, verdict, err)
		}
	}
	t.Logf("%d cases, run here: %v", len(cases.Case), runsHere)
}
