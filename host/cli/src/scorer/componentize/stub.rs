//! What WASI answers inside a scorer, where nothing is granted: no arguments, no environment, no files. Languages' runtimes ask
//! for more than that when they wake up, and for a clock and randomness; they get a clock that counts its readings, and the same
//! bytes each time, since a score may depend on neither.

use wasm_encoder::{BlockType, Function, MemArg};

use wasmparser::ValType;

use super::parts::{Import, Wasi};

/// What the clock says first: some time of 2020, since runtimes take 0 for a clock that isn't set.
pub(super) const CLOCK_BEGINS_NANOS: i64 = 1_600_000_000_000_000_000;
/// How far it moves at each reading.
const CLOCK_TICK_NANOS: i64 = 1_000;
/// How far it moves where somebody waits: nobody wakes them, so it is later at once.
const WAITED_NANOS: i64 = 1_000_000_000;
/// Each byte of what is handed out as randomness.
const RANDOM_BYTE: i32 = 0x5a;

/// What is handed out as a random number.
const RANDOM_SEED: i64 = 0x5a5a_5a5a_5a5a_5a5a;
const NANOS_A_SECOND: i64 = 1_000_000_000;

/// WASI's numbers for what came of a call.
const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const NOT_SUPPORTED: i32 = 58;

const I32: ValType = ValType::I32;
const I64: ValType = ValType::I64;

/// The function that takes an import's place. `clock` is the global that the clock is in.
pub(super) fn body(import: &Import<'_>, clock: u32) -> Function {
    match import.wasi {
        Wasi::One => preview_1(import, clock),
        Wasi::Two => preview_2(import, clock),
    }
}

/// The function's ABI is C's: results are written where arguments point to, and it returns what came of it.
fn preview_1(import: &Import<'_>, clock: u32) -> Function {
    let mut function = Function::new([]);
    let is = |params: &[ValType]| import.signature.params() == params;
    let returns = import.signature.results() == [I32];
    let code = match import.name {
        // Two counts, each written where an argument points to.
        "args_sizes_get" | "environ_sizes_get" if returns && is(&[I32, I32]) => {
            store_zero(&mut function, 0);
            store_zero(&mut function, 1);
            SUCCESS
        }
        "args_get" | "environ_get" | "sched_yield" if returns => SUCCESS,
        "clock_res_get" if returns && is(&[I32, I32]) => {
            function.instructions().local_get(1).i64_const(CLOCK_TICK_NANOS).i64_store(at(3));
            SUCCESS
        }
        "clock_time_get" if returns && is(&[I32, I64, I32]) => {
            advance(&mut function, clock, CLOCK_TICK_NANOS);
            function.instructions().local_get(2).global_get(clock).i64_store(at(3));
            SUCCESS
        }
        // Nothing has happened, and it is later.
        "poll_oneoff" if returns && is(&[I32, I32, I32, I32]) => {
            advance(&mut function, clock, WAITED_NANOS);
            store_zero(&mut function, 3);
            SUCCESS
        }
        "random_get" if returns && is(&[I32, I32]) => {
            fill(&mut function);
            SUCCESS
        }
        name if returns && ["fd_", "path_", "sock_"].iter().any(|family| name.starts_with(family)) => BAD_DESCRIPTOR,
        _ if returns => NOT_SUPPORTED,
        // It ends the program, and so the instance.
        _ => {
            function.instructions().unreachable().end();
            return function;
        }
    };
    function.instructions().i32_const(code).end();
    function
}

/// The function's ABI is the component model's: what is larger than a number is written where the last argument points to. Nothing is zeros: an empty list, no
/// terminal, handle 0; but a stream that is closed is an error.
fn preview_2(import: &Import<'_>, clock: u32) -> Function {
    let mut function = Function::new([]);
    let params = import.signature.params();
    let last = params.len().saturating_sub(1) as u32;
    let written = import.signature.results().is_empty() && params.last() == Some(&I32);
    let interface = import.module.split('@').next().unwrap_or_default();
    match (interface, import.name) {
        ("wasi:cli/exit", _) => {
            function.instructions().unreachable();
        }
        ("wasi:io/streams", name) if written && !name.starts_with("[resource-drop]") => {
            // `result<u64, stream-error>` has its error at 8, one without a number at 4: the last case of it is `closed`.
            let place =
                if name.ends_with("check-write") || name.ends_with("skip") || name.ends_with("splice") { 8 } else { 4 };
            let mut code = function.instructions();
            code.local_get(last).i32_const(1).i32_store8(at(0));
            code.local_get(last).i32_const(1).i32_store8(MemArg { offset: place, align: 0, memory_index: 0 });
        }
        ("wasi:clocks/monotonic-clock", "now") if import.signature.results() == [I64] => {
            advance(&mut function, clock, CLOCK_TICK_NANOS);
            function.instructions().global_get(clock);
        }
        ("wasi:clocks/wall-clock", "now") if written => {
            advance(&mut function, clock, CLOCK_TICK_NANOS);
            let mut code = function.instructions();
            code.local_get(last).global_get(clock).i64_const(NANOS_A_SECOND).i64_div_u().i64_store(at(3));
            let nanos = MemArg { offset: 8, align: 2, memory_index: 0 };
            code.local_get(last)
                .global_get(clock)
                .i64_const(NANOS_A_SECOND)
                .i64_rem_u()
                .i32_wrap_i64()
                .i32_store(nanos);
        }
        ("wasi:io/poll", "[method]pollable.block") => advance(&mut function, clock, WAITED_NANOS),
        ("wasi:random/insecure-seed" | "wasi:cli/environment", _) if params == [I32] && written => {
            store_zero(&mut function, 0);
            // A seed of two numbers, or a list's two halves: nothing is behind them that could be read.
            let mut code = function.instructions();
            code.local_get(0).i64_const(0).i64_store(at(2));
            if interface != "wasi:cli/environment" {
                code.local_get(0).i64_const(RANDOM_SEED).i64_store(MemArg { offset: 8, align: 3, memory_index: 0 });
            }
        }
        (_, name) if name.starts_with("get-terminal-") && params == [I32] && written => {
            function.instructions().local_get(0).i32_const(0).i32_store8(at(0));
        }
        (_, name) if name.starts_with("[resource-drop]") => {}
        _ => match import.signature.results() {
            [] if params.is_empty() => {}
            [ValType::I32] => {
                function.instructions().i32_const(0);
            }
            [ValType::I64] => {
                function.instructions().i64_const(RANDOM_SEED);
            }
            // Nobody knows what it would write: who asks for it gets nothing, and the instance ends.
            _ => {
                function.instructions().unreachable();
            }
        },
    }
    function.instructions().end();
    function
}

/// The first byte that an address points to, which is a multiple of so many bytes, as a power of two.
fn at(align: u32) -> MemArg {
    MemArg { offset: 0, align, memory_index: 0 }
}

fn store_zero(function: &mut Function, pointer: u32) {
    function.instructions().local_get(pointer).i32_const(0).i32_store(at(2));
}

fn advance(function: &mut Function, clock: u32, nanos: i64) {
    function.instructions().global_get(clock).i64_const(nanos).i64_add().global_set(clock);
}

/// Writes the byte from the first argument on, as often as the second one says.
fn fill(function: &mut Function) {
    // Not memory.fill, which a module has to declare that it wants.
    function
        .instructions()
        .block(BlockType::Empty)
        .loop_(BlockType::Empty)
        .local_get(1)
        .i32_eqz()
        .br_if(1)
        .local_get(0)
        .i32_const(RANDOM_BYTE)
        .i32_store8(at(0))
        .local_get(0)
        .i32_const(1)
        .i32_add()
        .local_set(0)
        .local_get(1)
        .i32_const(1)
        .i32_sub()
        .local_set(1)
        .br(0)
        .end()
        .end();
}
