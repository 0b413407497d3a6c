// A policy: text that the breaker component has taken, with where it comes from.

package softfuse

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"unicode/utf8"

	"softfuse.dev/softfuse/internal/core"
)

// policyBytesMax is the longest text that is taken for a policy: hundreds of times what one needs, and the component's own bound.
const policyBytesMax = 256 << 10

// Policy is one that the breaker component has read and found right. [Registry.Policy], [Registry.PolicyFile] and
// [Registry.BuildPolicy] make it, since the component alone knows what a policy is.
type Policy struct{ core *core.Policy }

var policyUIDs atomic.Uint64

// Policy loads a policy from text (TOML). The source stands in messages for where it comes from. The error is a [*PolicyError] with
// everything that is wrong with the text.
func (r *Registry) Policy(source, text string) (*Policy, error) {
	if len(text) > policyBytesMax {
		return nil, fmt.Errorf("%s: %d bytes long, and a policy has at most %d", source, len(text), policyBytesMax)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%s: not UTF-8, as a policy must be", source)
	}
	made, problems, failure := r.home.slots.LoadPolicy(policyUIDs.Add(1), source, text)
	if failure != nil {
		return nil, asError(failure)
	}
	if len(problems) > 0 {
		bad := &PolicyError{Source: source}
		for _, one := range problems {
			bad.Problems = append(bad.Problems, PolicyProblem{
				Line: one.Line, Column: one.Column, Key: one.Key, Message: one.Message, Nearest: one.Nearest.Value,
			})
		}
		return nil, bad
	}
	return &Policy{core: made}, nil
}

// PolicyFile loads a policy from a file.
func (r *Registry) PolicyFile(path string) (*Policy, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, policyBytesMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > policyBytesMax {
		return nil, fmt.Errorf("%s: over %d bytes long, the most that a policy has", path, policyBytesMax)
	}
	return r.Policy(path, string(text))
}

// Text is the text, as it was given.
func (p *Policy) Text() string { return p.core.Text }

// Source says where it comes from: a file's path, or what it was called.
func (p *Policy) Source() string { return p.core.Source }

// Fingerprint is equal for equal meaning: comments, order of keys and spelling of durations don't matter.
func (p *Policy) Fingerprint() uint64 { return p.core.Info.Fingerprint }

// HostConditions are the names of the host's own conditions, each once, in order of appearance.
func (p *Policy) HostConditions() []string {
	return append([]string(nil), p.core.Info.HostConditions...)
}

// UsesScores says whether any condition looks at scores: where not, no scorer need run.
func (p *Policy) UsesScores() bool { return p.core.Info.UsesScores }

// RequiresQualitySignal says whether a success without a score is recorded as the policy's `missing_score`.
func (p *Policy) RequiresQualitySignal() bool { return p.core.Info.RequireQualitySignal }
