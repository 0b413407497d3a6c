#!/bin/sh
# Builds dist/grounded.wasm: rustc makes a core module, and softfuse a component of it, which imports nothing.
set -eu
cd "$(dirname "$0")"

cargo rustc --locked --release --lib --crate-type cdylib --target wasm32-wasip2 -- -C link-arg=--skip-wit-component
"${SOFTFUSE:-softfuse}" scorer componentize "${CARGO_TARGET_DIR:-target}/wasm32-wasip2/release/grounded.wasm" --output dist/grounded.wasm
