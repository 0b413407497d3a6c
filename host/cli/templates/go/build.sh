#!/bin/sh
# Builds dist/new-scorer.wasm: Go's own compiler makes a core module, and softfuse a component of it, which imports nothing.
set -eu
cd "$(dirname "$0")"

mkdir -p dist
GOOS=wasip1 GOARCH=wasm GOWORK=off go build -trimpath -buildmode=c-shared -ldflags="-s -w" -o dist/new-scorer.core .
"${SOFTFUSE:-softfuse}" scorer componentize dist/new-scorer.core --output dist/new-scorer.wasm
rm dist/new-scorer.core
