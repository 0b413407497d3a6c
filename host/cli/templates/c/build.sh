#!/bin/sh
# Builds dist/new-scorer.wasm: a C compiler makes a core module, and softfuse a component of it, which imports nothing.
#
# CC is any clang that has wasi-libc, as in `CC="/opt/wasi-sdk/bin/clang --target=wasm32-wasi"`. Without it zig is taken, which PyPI has
# with all that belongs to it.
set -eu
cd "$(dirname "$0")"

if [ -z "${CC:-}" ]; then
    # The tools; SOFTFUSE_VENV names another place for them.
    TOOLS=${SOFTFUSE_VENV:-.venv}
    [ -x "$TOOLS/bin/python" ] || python3 -m venv "$TOOLS"
    "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
    CC="$TOOLS/bin/python -m ziglang cc -target wasm32-wasi"
fi
mkdir -p dist
# shellcheck disable=SC2086 # a compiler with its arguments
$CC -std=c11 -O2 -Wall -Wextra -mexec-model=reactor -o dist/new-scorer.core scorer.c bindings/answer_scorer.c
"${SOFTFUSE:-softfuse}" scorer componentize dist/new-scorer.core --output dist/new-scorer.wasm
rm dist/new-scorer.core
