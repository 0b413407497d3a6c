// Command witgen writes the glue of a WIT interface: `go generate ./...` in the module's folder runs it.
package main

import (
	"fmt"
	"os"

	"softfuse.dev/softfuse/internal/witgen"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "witgen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("usage: witgen WIT-FILE INTERFACE PACKAGE SOURCE-NAME OUTPUT, found %d arguments", len(args))
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	glue, err := witgen.Generate(string(text), args[1], args[2], args[3])
	if err != nil {
		return err
	}
	return os.WriteFile(args[4], glue, 0o644)
}
