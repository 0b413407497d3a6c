#!/bin/sh
# Builds dist/new-scorer.wasm: componentize-js takes the scorer, its libraries and a JavaScript engine in one component.
set -eu
cd "$(dirname "$0")"

npm install --no-audit --no-fund
npm run build
