// The quickstart, the same program in every language: a model's answers get worse, the circuit opens, and closes again.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"softfuse.dev/softfuse"
)

// model pretends to be one: an answer, and how good it is.
func model(good bool) (answer string, score float64) {
	if good {
		return "Paris is the capital of France.", 0.9
	}
	return "Paris Paris Paris Paris", 0.2
}

func main() {
	policyFile := "../../policies/quickstart.toml"
	if len(os.Args) > 1 {
		policyFile = os.Args[1]
	}
	if err := run(policyFile); err != nil {
		log.Fatal(err)
	}
}

func run(policyFile string) error {
	registry, err := softfuse.New()
	if err != nil {
		return err
	}
	policy, err := registry.PolicyFile(policyFile)
	if err != nil {
		return err
	}
	breaker, err := registry.Breaker("chat", policy, softfuse.OnStateChange(func(change *softfuse.StateChange) {
		fmt.Println(change) // As in `closed -> open: the mean quality of 5 scores is 0.48, below 0.6`.
	}))
	if err != nil {
		return err
	}

	var retryAfter time.Duration
	chat := softfuse.Guard[string]{
		Breaker: breaker,
		Fallback: func(_ context.Context, cause *softfuse.FallbackCause) (string, error) {
			var refused *softfuse.OpenError
			if !errors.As(cause, &refused) {
				return "", cause
			}
			fmt.Printf("refused: %s, trip %d\n", refused.State, refused.TripCount)
			retryAfter = *refused.RetryAfter
			return "(cached answer)", nil
		},
	}
	number := 0
	ask := func(good bool) error {
		number++
		answer, err := chat.Execute(context.Background(), func(ctx context.Context) (string, error) {
			answer, score := model(good) // Ask your model here: no lock is held meanwhile.
			return answer, softfuse.ReportQuality(ctx, score)
		})
		if err == nil {
			fmt.Printf("answer %d: %s\n", number, answer)
		}
		return err
	}

	for range 8 {
		if err := ask(true); err != nil {
			return err
		}
	}
	for retryAfter == 0 {
		if err := ask(false); err != nil {
			return err
		}
	}
	time.Sleep(retryAfter)
	for breaker.State() != softfuse.Closed {
		if err := ask(true); err != nil {
			return err
		}
	}
	return nil
}
