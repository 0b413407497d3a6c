#!/bin/sh
# Builds dist/json-schema.wasm: componentize-js takes the scorer, its library and a JavaScript engine in one component.
set -eu
cd "$(dirname "$0")"

npm ci --no-audit --no-fund
npm run build
