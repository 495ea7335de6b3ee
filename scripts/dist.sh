#!/usr/bin/env bash
# Makes what is handed to others, in dist/:
#
#   tandem                          the static binary (musl): a kernel is all that it needs, and Go to weave
#   tandem_VERSION_amd64.deb        the same with a unit and its configuration
#   tandem.cdx.json                 what is inside of the binary (CycloneDX)
#   SHA256SUMS                      of all of these
#   SHA256SUMS.sig                  signed with $SIGN_KEY, a private key of ssh; without it there is no signature
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-musl
work=${CARGO_TARGET_DIR:-$PWD/target}/dist
libraries=$work/libraries
out=$PWD/dist
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

[ "$(uname -m)" = x86_64 ] || { echo "dist: made on amd64 only" >&2; exit 1; }
rustc --print target-libdir --target "$target" 2>/dev/null | xargs ls >/dev/null 2>&1 || rustup target add "$target"

TANDEM_COMMIT=$(git rev-parse HEAD 2>/dev/null || true)
[ -z "$(git status --porcelain 2>/dev/null | head -1)" ] || TANDEM_COMMIT="$TANDEM_COMMIT-modified"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export TANDEM_COMMIT SOURCE_DATE_EPOCH

scripts/page.sh
scripts/static-libraries.sh "$libraries"
export CC_x86_64_unknown_linux_musl=musl-gcc
export LIBBPF_SYS_LIBRARY_PATH_x86_64_unknown_linux_musl=$libraries
# What generates code for them at build time is linked the same way, by this system's own libraries.
host=$(rustc --version --verbose | sed -n 's/^host: //p')
export "LIBBPF_SYS_LIBRARY_PATH_${host//-/_}=$(dirname "$(cc -print-file-name=libelf.a)")"
export LIBBPF_SYS_EXTRA_CFLAGS="-I$libraries/include -idirafter $libraries/kernel"
export CARGO_PROFILE_RELEASE_DEBUG=false # `make build` is for who looks into it
cargo build --release --locked --package tandem --features static --target "$target" --target-dir "$work"

rm -rf "$out"
mkdir "$out"
install -m 755 "$work/$target/release/tandem" "$out/tandem"
strip "$out/tandem" # Debian's rule for packages; both are to be the same binary
node scripts/sbom.mjs "$out/tandem" >"$out/tandem.cdx.json"
scripts/debian-package.sh "$out" "$version"

cd "$out"
sha256sum -- * >SHA256SUMS
if [ -n "${SIGN_KEY:-}" ]; then
    ssh-keygen -q -Y sign -f "$SIGN_KEY" -n tandem SHA256SUMS
    echo "dist: signed; who has your public key checks it by:"
    echo "    ssh-keygen -Y verify -f ALLOWED_SIGNERS -I YOU -n tandem -s SHA256SUMS.sig <SHA256SUMS && sha256sum -c SHA256SUMS"
else
    echo "dist: not signed: SIGN_KEY names no key"
fi
ls -l
