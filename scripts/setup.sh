#!/usr/bin/env bash
# Installs what is missing for one purpose: build, docs, dist, test, packs, clangs or bench. Only Go, Rust and a package manager are taken for granted.
# Changes nothing when all is there; says what it installs, and what to do where it cannot.
set -euo pipefail
purpose=${1:?build, docs, dist, test, packs, clangs or bench}
mdbook=0.5.4 # what `make docs` renders with, into target/tools

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

have go || fail "no go command. Install Go 1.21 or newer: https://go.dev/doc/install"
have cargo || fail "no cargo command. Install Rust: https://rustup.rs"

missing=()
want() { # command or file to look for, Debian package
    case $1 in
        /*) compgen -G "$1" >/dev/null || missing+=("$2") ;;
        *) have "$1" || missing+=("$2") ;;
    esac
}

want cc gcc
want node nodejs
if [ "$purpose" != docs ]; then
    want make make
    want pkg-config pkg-config
    want '/usr/include/libelf.h' libelf-dev
    want '/usr/include/zlib.h' zlib1g-dev
    have clang || have clang-19 || missing+=("clang-19|clang")
    have clang-format || have clang-format-19 || [ "$purpose" = bench ] || missing+=("clang-format-19|clang-format")
    want npm npm
fi
if [ "$purpose" = dist ]; then
    want musl-gcc musl-tools
    want '/usr/lib/*/libelf.a' libelf-dev
    want dpkg-deb dpkg
    want lintian lintian
    want ssh-keygen openssh-client
    want curl curl
fi
if [ "$purpose" != build ] && [ "$purpose" != docs ] && [ "$purpose" != clangs ] && [ "$purpose" != dist ]; then
    have chromium || have chromium-browser || have google-chrome || missing+=(chromium)
    want ip iproute2
    want qemu-aarch64 qemu-user
    want '/usr/lib/postgresql/*/bin/postgres' postgresql
    want redis-server redis-server
    want mariadbd mariadb-server
fi
if [ "$purpose" = packs ]; then
    want memcached memcached
    want clickhouse-server clickhouse-server
    want '/usr/lib/rabbitmq/bin/rabbitmq-server' rabbitmq-server
    want javac default-jdk-headless
    want mvn maven
fi
[ "$purpose" != bench ] || want wrk wrk
if [ "$purpose" = clangs ]; then # another one beside the usual
    clangs=$(compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -u | wc -l)
    [ "$clangs" -ge 2 ] || missing+=("clang-16|clang-17|clang-18|clang-22")
fi

if [ ${#missing[@]} -gt 0 ]; then
    have apt-get || fail "missing: ${missing[*]//|/ or }. Install them with your package manager and run this again."
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        have sudo || fail "missing: ${missing[*]//|/ or }. Install them as root: apt-get install ${missing[*]%%|*}"
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]//|/ or }"
    "${as_root[@]}" apt-get update -qq
    packages=()
    for choice in "${missing[@]}"; do
        IFS='|' read -ra names <<<"$choice"
        found=
        for name in "${names[@]}"; do
            # Not piped into grep -q: that ends before apt-cache does, which pipefail takes for a failure.
            policy=$(apt-cache policy "$name" 2>/dev/null)
            if [[ $policy == *"Candidate: "[^\(]* ]]; then found=$name; break; fi
        done
        [ -n "$found" ] || fail "no package ${choice//|/ or } in the package sources. Install it by hand and run this again."
        packages+=("$found")
    done
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if [ "$purpose" = docs ]; then
    tools=${CARGO_TARGET_DIR:-target}/tools
    if [ "$("$tools/bin/mdbook" --version 2>/dev/null)" != "mdbook v$mdbook" ]; then
        echo "setup: building mdbook $mdbook (some minutes, once)"
        cargo install --quiet --locked --version "$mdbook" --no-default-features --features search --root "$tools" mdbook
    fi
fi

# The kernel half reads event descriptions from these file systems; containers and small systems do not always mount them.
if [ "$(id -u)" = 0 ]; then
    mount_once() { grep -q " $2 $1 " /proc/mounts || mount -t "$1" "$1" "$2" 2>/dev/null || echo "setup: cannot mount $1 on $2; tandem doctor says what that costs"; }
    mount_once bpf /sys/fs/bpf
    mount_once tracefs /sys/kernel/tracing
    mount_once securityfs /sys/kernel/security
fi
