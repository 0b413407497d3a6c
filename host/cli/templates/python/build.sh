#!/bin/sh
# Builds dist/new-scorer.wasm: componentize-py takes the scorer, its libraries and a whole Python in one component.
set -eu
cd "$(dirname "$0")"

# The tools; SOFTFUSE_VENV names another place for them.
TOOLS=${SOFTFUSE_VENV:-.venv}
[ -x "$TOOLS/bin/python" ] || python3 -m venv "$TOOLS"
"$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
# What goes into the component is kept apart from the tools.
"$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --upgrade --target build/libraries --requirement libraries.txt
mkdir -p dist build/libraries
"$TOOLS/bin/componentize-py" --wit-path wit --world answer-scorer componentize app \
    --python-path . --python-path build/libraries --stub-wasi --output dist/new-scorer.wasm
