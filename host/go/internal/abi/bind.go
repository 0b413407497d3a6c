// Finds an interface's functions in a module, and calls them as the canonical ABI says.

package abi

import "fmt"

// Signature is a function of an interface, flattened.
type Signature struct {
	// Name is the core export's, as in `softfuse:breaker/breaker@0.1.0#before-call`.
	Name string
	// Params and Results are its core types.
	Params, Results []CoreType
}

// Bound is a function that was found, with what is called after its answer was read.
type Bound struct {
	call, after Func
}

// Bind finds all functions.
func Bind(module Module, signatures []Signature) ([]Bound, error) {
	bound := make([]Bound, len(signatures))
	for i, signature := range signatures {
		call, err := module.Export(signature.Name, signature.Params, signature.Results, false)
		if err != nil {
			return nil, err
		}
		after, err := module.Export("cabi_post_"+signature.Name, signature.Results, nil, true)
		if err != nil {
			return nil, err
		}
		if call == nil {
			return nil, fmt.Errorf("the export %s is missing", signature.Name)
		}
		bound[i] = Bound{call: call, after: after}
	}
	return bound, nil
}

// Call calls it. Its parameters lie on the stack, its result will.
func (b *Bound) Call(stack []uint64) error { return b.call.Call(stack) }

// After lets the component free its answer, of which the first word was result.
func (b *Bound) After(stack []uint64, result uint64) error {
	if b.after == nil {
		return nil
	}
	stack[0] = result
	return b.after.Call(stack)
}
