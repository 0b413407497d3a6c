#!/bin/sh
# Builds the C library and installs it: the shared and the static library, the header, and what pkg-config needs.
#
#     host/c/install.sh [--built DIR] [PREFIX]
#
# PREFIX is /usr/local unless it is said; DESTDIR, if it is set, stands before it while files are laid down, for who makes packages.
# With --built, the libraries are taken from DIR, and nothing is built.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
built=
if [ "${1:-}" = --built ]; then
    built=${2:?"--built needs the folder with the libraries"}
    shift 2
fi
case ${1:-} in
-*)
    echo "usage: host/c/install.sh [--built DIR] [PREFIX], and not $1" >&2
    exit 2
    ;;
esac
prefix=${1:-/usr/local}
case $prefix in
/*) ;;
*) prefix=$(pwd)/$prefix ;;
esac
to=${DESTDIR:-}$prefix

if [ -z "$built" ]; then
    # Without the library for Rust, which only the tests need, the two others are optimised as a whole.
    cargo rustc --locked --release --manifest-path "$root/host/c/Cargo.toml" --crate-type cdylib,staticlib
    built=${CARGO_TARGET_DIR:-$root/target}/release
fi
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -1)
found=

# What lies there from before would go by the new header and the new version, and be linked with.
refuse_old() {
    if [ ! -f "$built/$1" ] && [ -e "$to/lib/$2" ]; then
        echo "$to/lib/$2 is there from before, and $built has no $1 to take its place: build that too, or remove the old one" >&2
        exit 1
    fi
}

refuse_old libsoftfuse_c.so libsoftfuse.so
refuse_old libsoftfuse_c.dylib libsoftfuse.dylib
refuse_old libsoftfuse_c.a libsoftfuse.a
mkdir -p "$to/lib/pkgconfig" "$to/include"

# In the place of an old one, never into it: programs may be running with that.
lay() {
    if [ -f "$built/$1" ]; then
        cp "$built/$1" "$to/lib/$2.new"
        mv -f "$to/lib/$2.new" "$to/lib/$2"
        found="$found $2"
    fi
}

link() {
    if [ -f "$built/$1" ]; then
        ln -sf "$2" "$to/lib/$3"
        found="$found $3"
    fi
}

# Programs are linked with the plain name, and run with the one with the ABI's number.
lay libsoftfuse_c.so "libsoftfuse.so.$version"
link libsoftfuse_c.so "libsoftfuse.so.$version" libsoftfuse.so.0
link libsoftfuse_c.so libsoftfuse.so.0 libsoftfuse.so
lay libsoftfuse_c.dylib "libsoftfuse.$version.dylib"
link libsoftfuse_c.dylib "libsoftfuse.$version.dylib" libsoftfuse.0.dylib
link libsoftfuse_c.dylib libsoftfuse.0.dylib libsoftfuse.dylib
lay libsoftfuse_c.a libsoftfuse.a
if [ -z "$found" ]; then
    echo "$built holds no libsoftfuse_c: build it with cargo rustc, or leave --built out" >&2
    exit 1
fi
if [ -f "$built/libsoftfuse_c.dylib" ] && command -v install_name_tool >/dev/null; then
    install_name_tool -id "$prefix/lib/libsoftfuse.0.dylib" "$to/lib/libsoftfuse.$version.dylib"
fi
cp "$root/host/c/include/softfuse.h" "$to/include/softfuse.h"
# A folder's name may have what means something to sed.
escaped=$(printf '%s\n' "$prefix" | sed 's/[&|\\]/\\&/g')
sed -e "s|@PREFIX@|$escaped|" -e "s|@VERSION@|$version|" "$root/host/c/softfuse.pc.in" >"$to/lib/pkgconfig/softfuse.pc"
echo "installed in $to:$found, include/softfuse.h, lib/pkgconfig/softfuse.pc"
