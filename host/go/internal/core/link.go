// Brings what a core module imports that is run without the other modules of its component.

package core

import (
	"context"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"softfuse.dev/softfuse/internal/wasm"
)

// exportPrefix is how a module's imports for resources of its own exports begin.
const exportPrefix = "[export]"

// link makes what a module imports: an empty WASI context in the place of its component's adapter, where that is granted; and
// what makes handles of resources that it exports. Nobody asks for such resources here, so a handle may be what it stands for.
func link(ctx context.Context, runtime wazero.Runtime, module wazero.CompiledModule, wasi bool) error {
	builders := map[string]wazero.HostModuleBuilder{}
	wantsWASI := false
	for _, function := range module.ImportedFunctions() {
		from, item, _ := function.Import()
		switch {
		case wasi && from == wasi_snapshot_preview1.ModuleName:
			wantsWASI = true
		case strings.HasPrefix(from, exportPrefix) && strings.HasPrefix(item, "[resource-"):
			if builders[from] == nil {
				builders[from] = runtime.NewHostModuleBuilder(from)
			}
			same := api.GoFunc(func(context.Context, []uint64) {})
			builders[from] = builders[from].NewFunctionBuilder().
				WithGoFunction(same, function.ParamTypes(), function.ResultTypes()).Export(item)
		default:
			return fmt.Errorf("%w: its core module imports `%s` of `%s`", wasm.ErrNotSingle, item, from)
		}
	}
	if memories := module.ImportedMemories(); len(memories) > 0 {
		return fmt.Errorf("%w: its core module imports its memory", wasm.ErrNotSingle)
	}
	for _, builder := range builders {
		if _, err := builder.Instantiate(ctx); err != nil {
			return fmt.Errorf("%w: %w", wasm.ErrNotAComponent, err)
		}
	}
	if wantsWASI {
		if _, err := wasi_snapshot_preview1.Instantiate(ctx, runtime); err != nil {
			return fmt.Errorf("%w: %w", wasm.ErrNotAComponent, err)
		}
	}
	return nil
}
