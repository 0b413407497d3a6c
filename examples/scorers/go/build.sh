#!/bin/sh
# Builds dist/code-blocks.wasm: Go's own compiler makes a core module, and softfuse a component of it.
set -eu
cd "$(dirname "$0")"

mkdir -p dist
GOOS=wasip1 GOARCH=wasm GOWORK=off go build -trimpath -buildmode=c-shared -ldflags="-s -w" -o dist/code-blocks.core .
"${SOFTFUSE:-softfuse}" scorer componentize dist/code-blocks.core --output dist/code-blocks.wasm
rm dist/code-blocks.core
