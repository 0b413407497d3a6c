// Providers of one service, in the order in which they are to be asked, each behind a breaker of its own.

package softfuse

import (
	"errors"
	"fmt"
	"slices"
)

// providersMax is how many a chain may have: a call may be made of each, one after the other.
const providersMax = 64

// ProviderPreset is a provider with the policy that the breakers for LLMs that came before Softfuse have for it: so many failures in a row
// open its circuit for so long.
type ProviderPreset struct {
	// Name is its name, and its breaker's.
	Name string
	// Policy is its policy's text.
	Policy string
}

// ProviderPresets are OpenAI (5 failures, 60 s), Azure (5, 60 s) and Anthropic (3, 120 s), in the order in which they are asked.
func ProviderPresets() []ProviderPreset {
	return []ProviderPreset{
		{"openai", "half_open_after = \"60s\"\ntrip_on = { consecutive_failures = 5 }\n"},
		{"azure", "half_open_after = \"60s\"\ntrip_on = { consecutive_failures = 5 }\n"},
		{"anthropic", "half_open_after = \"120s\"\ntrip_on = { consecutive_failures = 3 }\n"},
	}
}

// Breaker is its breaker in a registry: the one that exists, or a new one. The error is a [*PolicyDiffersError] where one of its name
// exists with a policy of another meaning.
func (p ProviderPreset) Breaker(registry *Registry) (*Breaker, error) {
	policy, err := registry.Policy("preset `"+p.Name+"`", p.Policy)
	if err != nil {
		return nil, err
	}
	return registry.Breaker(p.Name, policy)
}

// Providers are in the order in which they are to be asked, each with a breaker, whose name is the provider's. [Chain] makes calls of
// them.
type Providers struct {
	breakers []*Breaker
}

// NewProviders are these breakers' providers, in this order. The error is for none, for more than 64, and for two of one name.
func NewProviders(breakers ...*Breaker) (*Providers, error) {
	switch {
	case len(breakers) == 0:
		return nil, errors.New("a chain has one provider at least, and none was named")
	case len(breakers) > providersMax:
		return nil, fmt.Errorf("a chain has %d providers at most, and %d were named", providersMax, len(breakers))
	}
	for at, breaker := range breakers {
		if breaker == nil {
			return nil, fmt.Errorf("the provider at %d is nil", at)
		}
		if slices.ContainsFunc(breakers[:at], func(earlier *Breaker) bool { return earlier.name == breaker.name }) {
			return nil, fmt.Errorf("the provider `%s` was named twice: each has its place in the order once", breaker.name)
		}
	}
	return &Providers{breakers: slices.Clone(breakers)}, nil
}

// PresetProviders are those of [ProviderPresets], with their breakers in this registry.
func PresetProviders(registry *Registry) (*Providers, error) {
	var breakers []*Breaker
	for _, preset := range ProviderPresets() {
		breaker, err := preset.Breaker(registry)
		if err != nil {
			return nil, err
		}
		breakers = append(breakers, breaker)
	}
	return NewProviders(breakers...)
}

func (p *Providers) isEmpty() bool { return p == nil || len(p.breakers) == 0 }

// Breakers are theirs, in order.
func (p *Providers) Breakers() []*Breaker { return slices.Clone(p.breakers) }

// Get is the breaker of the provider of this name; nil where there is none.
func (p *Providers) Get(name string) *Breaker {
	for _, breaker := range p.breakers {
		if breaker.name == name {
			return breaker
		}
	}
	return nil
}

// Available are the providers that would admit a call now, in order. An open circuit whose time has passed is among them, or nobody would
// ever probe it. Asking takes no probe.
func (p *Providers) Available() []*Breaker {
	return slices.DeleteFunc(p.Breakers(), (*Breaker).IsOpen)
}
