// Says what the package is for, where Go's documentation looks for it.

// Package softfuse is a circuit breaker for ML and LLM services that trips on bad answers, not only on errors and latency.
//
// A [Registry] makes breakers from policies, which are TOML, and keeps them by name. [Execute] makes a guarded call:
//
//	answer, err := softfuse.Execute(ctx, breaker, func(ctx context.Context) (string, error) {
//		answer, confidence := ask(ctx, question)
//		return answer, softfuse.ReportQuality(ctx, confidence)
//	})
//
// The error is an [OpenError] where the circuit refuses the call. [Guard] adds a fallback, a scorer, and a say in what counts as a
// failure; [Breaker.Permit] is the same in two steps. [Transport] guards an [net/http.Client], [Middleware] a handler.
//
// What the breaker decides is decided by a WebAssembly component, the same for all languages, that comes with this package and
// runs in-process, without cgo. A healthy service's calls are admitted and recorded without asking it, as it has allowed
// beforehand.
//
// Times are nanoseconds of the registry's monotonic clock, as [time.Duration] from an origin of the clock's choice.
package softfuse
