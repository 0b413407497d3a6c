#!/usr/bin/env bash
# All that must hold of the Go host, in one command: format, vet, staticcheck, every test with the race detector, the shared vectors, the
# installed module, and that the bench builds. It needs the components that were built from this repository: see CONTRIBUTING.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

LOGS=$(mktemp -d)
trap 'rm -rf "$LOGS"' EXIT

unformatted=$(gofmt -l . ../../examples/quickstart/go)
if [ -n "$unformatted" ]; then
    printf 'run gofmt -w on:\n%s\n' "$unformatted" >&2
    exit 1
fi
go build -C tests -o "$LOGS/staticcheck" honnef.co/go/tools/cmd/staticcheck
for folder in . tests bench ../../examples/quickstart/go; do
    (cd "$folder" && go vet ./... && "$LOGS/staticcheck" ./...)
done
go build -C bench -o "$LOGS/bench" .
go test -race -count=1 ./... 2>&1 | tee "$LOGS/tests"
go test -C tests -race -count=1 -v ./... 2>&1 | tee "$LOGS/vectors"
# A run of no tests passes, too.
passed=$(grep -c '^--- PASS' "$LOGS/vectors")
if [ "$passed" -lt 12 ]; then
    echo "there are more tests than $passed" >&2
    exit 1
fi
printf '\n== the Go host, closing lines\n'
grep -hE '^(ok|FAIL|PASS)' "$LOGS/tests" "$LOGS/vectors"
