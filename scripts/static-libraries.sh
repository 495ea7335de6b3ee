#!/usr/bin/env bash
# Compiles libelf and zlib for musl into FOLDER, from the sources that the libbpf-sys crate brings along: what libbpf needs
# beside the C library. Its own way (autotools, within the registry's folder) does not get along with musl, and would change
# what other builds see.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?the folder for the libraries}
compiler=${CC:-musl-gcc}
sources=$(cargo metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-musl | node -e '
const { packages } = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(require("path").dirname(packages.find((one) => one.name === "libbpf-sys").manifest_path));')
mkdir -p "$folder/objects"

# What its configure script would find out, as far as libelf asks.
cat >"$folder/config.h" <<'END'
#define HAVE_ERR_H 1
#define HAVE_DECL_MEMPCPY 1
#define HAVE_DECL_POWEROF2 1
#define HAVE_DECL_RAWMEMCHR 0
#define HAVE_DECL_REALLOCARRAY 1
#define HAVE_VISIBILITY 1
#include <eu-config.h>
END

compile() { # prefix of the objects, flags…, --, files…
    local prefix=$1 flags=() file
    shift
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    for file in "$@"; do
        "$compiler" -O2 -fPIC -w "${flags[@]}" -c "$file" -o "$folder/objects/$prefix-$(basename "$file" .c).o"
    done
    rm -f "$folder/lib$prefix.a"
    ar rcsD "$folder/lib$prefix.a" "$folder/objects/$prefix-"*.o
}
elf=$sources/elfutils zlib=$sources/zlib
compile elf -std=gnu99 -D_GNU_SOURCE -DHAVE_CONFIG_H -I"$folder" -I"$elf/lib" -I"$elf/libelf" -I"$zlib" \
    -- "$elf"/libelf/*.c "$elf"/lib/{next_prime,crc32}.c
compile z -DHAVE_UNISTD_H -DHAVE_STDARG_H -- "$zlib"/{adler32,compress,crc32,deflate,gzclose,gzlib,gzread,gzwrite,inffast,inflate,inftrees,trees,uncompr,zutil}.c
rm -r "$folder/objects"

# Its headers, and the kernel's, which musl does not bring along: after its own.
mkdir -p "$folder/include" "$folder/kernel"
cp "$elf"/libelf/{libelf,gelf,nlist}.h "$zlib"/{zlib,zconf}.h "$folder/include/"
for name in linux asm asm-generic; do
    for place in /usr/include "/usr/include/$(cc -dumpmachine)"; do # Debian keeps what depends on the processor apart
        [ ! -d "$place/$name" ] || ln -sfn "$place/$name" "$folder/kernel/$name"
    done
done
