// Says how this package is made; all else in it is generated.

package scorerwit

//go:generate go run softfuse.dev/softfuse/internal/witgen/cmd ../../../../wit/scorer/scorer.wit scorer scorerwit wit/scorer/scorer.wit glue.go
