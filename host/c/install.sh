#!/bin/sh
# Builds the C library and installs it: the shared and the static library, the header, and what pkg-config needs.
#
#     host/c/install.sh [--built DIR] [PREFIX]
#
# PREFIX is /usr/local unless it is said. With --built, the libraries are taken from DIR, and nothing is built.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
built=
if [ "${1:-}" = --built ]; then
    built=${2:?"--built needs the folder with the libraries"}
    shift 2
fi
prefix=${1:-/usr/local}

if [ -z "$built" ]; then
    # Without the library for Rust, which only the tests need, the two others are optimised as a whole.
    cargo rustc --locked --release --manifest-path "$root/host/c/Cargo.toml" --crate-type cdylib,staticlib
    built=${CARGO_TARGET_DIR:-$root/target}/release
fi
mkdir -p "$prefix/lib/pkgconfig" "$prefix/include"
found=
for library in libsoftfuse_c.so libsoftfuse_c.dylib libsoftfuse_c.a; do
    if [ -f "$built/$library" ]; then
        # In the place of an old one, never into it: programs may be running with that.
        cp "$built/$library" "$prefix/lib/$library.new"
        mv -f "$prefix/lib/$library.new" "$prefix/lib/$library"
        found="$found $library"
    fi
done
if [ -z "$found" ]; then
    echo "$built holds no libsoftfuse_c: build it with cargo rustc, or leave --built out" >&2
    exit 1
fi
cp "$root/host/c/include/softfuse.h" "$prefix/include/softfuse.h"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -1)
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$root/host/c/softfuse.pc.in" >"$prefix/lib/pkgconfig/softfuse.pc"
echo "installed in $prefix:$found, include/softfuse.h, lib/pkgconfig/softfuse.pc"
