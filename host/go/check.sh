#!/usr/bin/env bash
# All that must hold of the Go host, in one command: format, vet, staticcheck, every test without and with the race detector, the shared
# vectors, the installed module, scorers through the C library, and that the bench builds. It needs the components that were built from
# this repository (see CONTRIBUTING.md), and the C library: the one that SOFTFUSE_LIBRARY names, or that lies in target/release or target/debug.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

LOGS=$(mktemp -d)
trap 'rm -rf "$LOGS"' EXIT

unformatted=$(gofmt -l . ../../examples/quickstart/go)
if [ -n "$unformatted" ]; then
    printf 'run gofmt -w on:\n%s\n' "$unformatted" >&2
    exit 1
fi
if [ -z "${SOFTFUSE_LIBRARY:-}" ]; then
    for built in ../../target/release ../../target/debug; do
        for library in libsoftfuse_c.so libsoftfuse_c.dylib; do
            if [ -z "${SOFTFUSE_LIBRARY:-}" ] && [ -f "$built/$library" ]; then
                SOFTFUSE_LIBRARY=$(realpath "$built/$library")
            fi
        done
    done
    if [ -z "${SOFTFUSE_LIBRARY:-}" ]; then
        echo "there is no libsoftfuse_c: run \`cargo build --release -p softfuse-c\` in the repository's root, or set SOFTFUSE_LIBRARY to it" >&2
        exit 1
    fi
    export SOFTFUSE_LIBRARY
fi
go build -C tests -o "$LOGS/staticcheck" honnef.co/go/tools/cmd/staticcheck
for folder in . scorerlib tests bench ../../examples/quickstart/go; do
    (cd "$folder" && go vet ./... && "$LOGS/staticcheck" ./...)
done
go build -C bench -o "$LOGS/bench" .
# Go's own limit, 10 minutes for a package, is plenty on a calm machine; but other builds, and whoever measures something there, may hold
# these processes up for minutes. A test that hangs still ends.
LIMIT=40m
# First without the race detector: everything, as its users have it. That also compiles the components that tests break for both runs; with
# the detector the compiler takes ten times as long. With it `-short` leaves out repetitions that one goroutine makes.
export SOFTFUSE_TEST_CODE="$LOGS/code"
go test -timeout "$LIMIT" -count=1 ./... 2>&1 | tee "$LOGS/tests"
go test -timeout "$LIMIT" -race -short -count=1 ./... 2>&1 | tee -a "$LOGS/tests"
go test -C scorerlib -timeout "$LIMIT" -race -count=1 ./... 2>&1 | tee "$LOGS/scorerlib"
# As its users have it: without a C compiler.
CGO_ENABLED=0 go test -C scorerlib -timeout "$LIMIT" -count=1 ./... 2>&1 | tee -a "$LOGS/scorerlib"
go test -C tests -timeout "$LIMIT" -race -count=1 -v ./... 2>&1 | tee "$LOGS/vectors"
# A run of no tests passes, too.
passed=$(grep -c '^--- PASS' "$LOGS/vectors")
if [ "$passed" -lt 12 ]; then
    echo "there are more tests than $passed" >&2
    exit 1
fi
printf '\n== the Go host, closing lines\n'
grep -hE '^(ok|FAIL|PASS)' "$LOGS/tests" "$LOGS/scorerlib" "$LOGS/vectors"
