// A component, compiled, and instances of it, each within its bounds.

package core

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"softfuse.dev/softfuse/internal/abi"
	"softfuse.dev/softfuse/internal/wasm"
)

// pageBytes is WebAssembly's unit of memory.
const pageBytes = 64 << 10

// Bounds are what an instance may use.
type Bounds struct {
	// Deadline of one call. 0: none, for a component that is known to end; looking after it costs more than most calls.
	Deadline time.Duration
	// MemoryBytesMax is of one instance, whole pages of it.
	MemoryBytesMax int
	// OutputBytesMax is what is copied out of it in one call.
	OutputBytesMax int
	// WASI grants an empty WASI context, where the component wants one: no files, no network, no environment, a clock that counts.
	WASI bool
	// CacheDir is where compiled code is kept for the next process; empty: it isn't.
	CacheDir string
}

// Compiled is a component's core module, compiled.
type Compiled struct {
	// Name says where it comes from: a file's path, or what it was called.
	Name    string
	runtime wazero.Runtime
	module  wazero.CompiledModule
	// cache is nil where compiled code isn't kept.
	cache  wazero.CompilationCache
	bounds Bounds
	// serial tells it from all others of the process.
	serial uint64
}

var serials atomic.Uint64

// Compile compiles a component of which one core module does all the work.
func Compile(name string, component []byte, bounds Bounds) (*Compiled, error) {
	module, err := wasm.CoreModule(component)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ctx := experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0))
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(bounds.Deadline > 0).WithDebugInfoEnabled(false)
	var cache wazero.CompilationCache
	if bounds.CacheDir != "" {
		if cache, err = wazero.NewCompilationCacheWithDir(bounds.CacheDir); err != nil {
			return nil, fmt.Errorf("the cache of compiled code: %w", err)
		}
		config = config.WithCompilationCache(cache)
	}
	wasmRuntime := wazero.NewRuntimeWithConfig(ctx, config)
	compiled, err := wasmRuntime.CompileModule(ctx, module)
	if err != nil {
		_ = wasmRuntime.Close(ctx)
		return nil, fmt.Errorf("%s: %w: %w", name, wasm.ErrNotAComponent, err)
	}
	if err := link(ctx, wasmRuntime, compiled, bounds.WASI); err != nil {
		_ = wasmRuntime.Close(ctx)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	memory := compiled.ExportedMemories()["memory"]
	if memory == nil {
		_ = wasmRuntime.Close(ctx)
		return nil, fmt.Errorf("%s: %w: its core module exports no `memory`", name, wasm.ErrNotAComponent)
	}
	if begins := uint64(memory.Min()) * pageBytes; begins > uint64(bounds.MemoryBytesMax) {
		_ = wasmRuntime.Close(ctx)
		return nil, fmt.Errorf("%s: its memory begins with %d bytes: its bound of %d must be that at least", name, begins, bounds.MemoryBytesMax)
	}
	return &Compiled{Name: name, runtime: wasmRuntime, module: compiled, cache: cache, bounds: bounds, serial: serials.Add(1)}, nil
}

// CompileOnce compiles a component when it is first wanted, and never frees it: one that comes with the library.
func CompileOnce(name string, component []byte, bounds Bounds) func() (*Compiled, error) {
	return sync.OnceValues(func() (*Compiled, error) { return Compile(name, component, bounds) })
}

// Bounds are what its instances may use.
func (c *Compiled) Bounds() Bounds { return c.bounds }

// Close frees the code, and every instance of it.
func (c *Compiled) Close() error {
	err := c.runtime.Close(context.Background())
	if c.cache != nil {
		err = errors.Join(err, c.cache.Close(context.Background()))
	}
	return err
}

// Instance is one at work. It answers one goroutine at a time, and never again after a failure.
type Instance struct {
	compiled *Compiled
	module   api.Module
	memory   *allocator
	realloc  api.Function
	// InitialBytes is what its memory had when it was made.
	InitialBytes int
	deadline     time.Duration
	// ctx bounds the calls of a [Instance.Begin].
	ctx     context.Context
	scratch [4]uint64
}

// allocator gives an instance its memory, and knows whether it wanted more than it may have.
type allocator struct {
	max     uint64
	bytes   []byte
	refused bool
}

// Allocate begins a memory.
func (a *allocator) Allocate(capacity, _ uint64) experimental.LinearMemory {
	a.bytes = make([]byte, 0, min(capacity, a.max))
	return a
}

// Reallocate makes it larger.
func (a *allocator) Reallocate(size uint64) []byte {
	if size > a.max {
		a.refused = true
		return nil
	}
	if size > uint64(cap(a.bytes)) {
		grown := make([]byte, size, min(max(size, 2*uint64(cap(a.bytes))), a.max))
		copy(grown, a.bytes)
		a.bytes = grown
	}
	a.bytes = a.bytes[:size]
	return a.bytes
}

// Free ends it: the garbage collector does.
func (a *allocator) Free() { a.bytes = nil }

// Instantiate makes an instance. It may take its deadline, or start where that is given.
func (c *Compiled) Instantiate(start time.Duration) (*Instance, *Failure) {
	memory := &allocator{max: uint64(max(c.bounds.MemoryBytesMax, pageBytes))}
	made := &Instance{compiled: c, memory: memory, deadline: start}
	ctx, cancel := made.context()
	defer cancel()
	ctx = experimental.WithMemoryAllocator(ctx, memory)
	module, err := c.runtime.InstantiateModule(ctx, c.module, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		failure := made.failure(err)
		if failure.Reason == Trapped {
			failure = failed(NotStarting, "it doesn't start: %v", err)
		}
		return nil, failure
	}
	made.module = module
	made.realloc = module.ExportedFunction("cabi_realloc")
	made.InitialBytes = len(made.Memory())
	return made, nil
}

// Close frees it.
func (i *Instance) Close() { _ = i.module.Close(context.Background()) }

// Begin bounds all that is called until the end by one deadline, where the component has one at all.
func (i *Instance) Begin(deadline time.Duration) (end func()) {
	i.deadline = deadline
	ctx, cancel := i.context()
	i.ctx = ctx
	return func() {
		i.ctx = nil
		cancel()
	}
}

func (i *Instance) context() (context.Context, context.CancelFunc) {
	if i.compiled.bounds.Deadline <= 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), i.deadline)
}

// Fault is the failure that an error of a call stands for.
func (i *Instance) Fault(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	return i.failure(err)
}

// Memory is its memory as it is now.
func (i *Instance) Memory() []byte {
	if i.module == nil || i.module.Memory() == nil {
		return nil
	}
	return i.memory.bytes
}

// MemoryBytes is how large its memory is now.
func (i *Instance) MemoryBytes() int { return len(i.memory.bytes) }

// OutputBytesMax bounds what is copied out of it.
func (i *Instance) OutputBytesMax() uint64 { return uint64(i.compiled.bounds.OutputBytesMax) }

// Realloc has it make room.
func (i *Instance) Realloc(align, bytes uint32) (uint32, error) {
	if i.realloc == nil {
		return 0, failed(Nonsense, "it exports no `cabi_realloc`")
	}
	i.scratch = [4]uint64{0, 0, uint64(align), uint64(bytes)}
	if err := i.call(i.realloc, i.scratch[:]); err != nil {
		return 0, err
	}
	return uint32(i.scratch[0]), nil
}

func (i *Instance) call(function api.Function, stack []uint64) error {
	if i.compiled.bounds.Deadline <= 0 {
		return function.CallWithStack(context.Background(), stack)
	}
	if i.ctx != nil {
		return function.CallWithStack(i.ctx, stack)
	}
	ctx, cancel := i.context()
	defer cancel()
	return function.CallWithStack(ctx, stack)
}

// export is a function of an instance.
type export struct {
	instance *Instance
	function api.Function
}

func (e *export) Call(stack []uint64) error { return e.instance.call(e.function, stack) }

// Export finds a function of this type.
func (i *Instance) Export(name string, params, results []abi.CoreType, optional bool) (abi.Func, error) {
	function := i.module.ExportedFunction(name)
	if function == nil {
		if optional {
			return nil, nil
		}
		return nil, failed(ContractBroken, "it doesn't keep its contract: the export `%s` is missing", name)
	}
	found := signature(function.Definition().ParamTypes(), function.Definition().ResultTypes())
	if wanted := signature(params, results); found != wanted {
		return nil, failed(ContractBroken, "it doesn't keep its contract: the export `%s` is %s, where %s is wanted", name, found, wanted)
	}
	return &export{instance: i, function: function}, nil
}

func signature[T ~byte](params, results []T) string {
	words := func(types []T) string {
		var all []string
		for _, one := range types {
			all = append(all, abi.CoreType(one).String())
		}
		return strings.Join(slices.Clip(all), ", ")
	}
	return fmt.Sprintf("(%s) -> (%s)", words(params), words(results))
}
