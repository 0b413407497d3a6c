// Says how this package is made; all else in it is generated.

package breakerwit

//go:generate go run softfuse.dev/softfuse/internal/witgen/cmd ../../../../wit/breaker/breaker.wit breaker breakerwit wit/breaker/breaker.wit glue.go
