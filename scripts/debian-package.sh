#!/usr/bin/env bash
# Makes the Debian package of a binary: debian-package.sh FOLDER VERSION, with FOLDER/tandem and FOLDER/tandem.cdx.json.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 version=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
umask 022
documents=$root/usr/share/doc/tandem

install -D -m 755 "$folder/tandem" "$root/usr/bin/tandem"
install -D -m 644 deploy/systemd/tandem-agent.service "$root/lib/systemd/system/tandem-agent.service"
install -D -m 644 deploy/systemd/tandem.sysusers "$root/usr/lib/sysusers.d/tandem.conf"
install -D -m 644 deploy/systemd/agent.yaml "$root/etc/tandem/agent.yaml"
install -D -m 640 deploy/systemd/agent.env "$root/etc/tandem/agent.env"
install -D -m 644 "$folder/tandem.cdx.json" "$documents/tandem.cdx.json"
for page in README.md docs/{configuration,agent,deployment,security,delivery}.md; do
    install -D -m 644 "$page" "$documents/$(basename "$page")"
done
gzip -9n "$documents/tandem.cdx.json"
install -D -m 644 deploy/debian/copyright "$documents/copyright"
install -D -m 644 deploy/debian/tandem.1 "$root/usr/share/man/man1/tandem.1"
install -D -m 644 deploy/debian/overrides "$root/usr/share/lintian/overrides/tandem"
sed -i "s/@VERSION@/$version/" "$root/usr/share/man/man1/tandem.1"
gzip -9n "$root/usr/share/man/man1/tandem.1"
date=$(date -R -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}")
sed "s/@VERSION@/$version/; s/@DATE@/$date/" deploy/debian/changelog | gzip -9n >"$documents/changelog.gz"

mkdir "$root/DEBIAN"
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@SIZE@/$size/" deploy/debian/control >"$root/DEBIAN/control"
printf '/etc/tandem/agent.env\n/etc/tandem/agent.yaml\n' >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group -Zxz --build "$root" "$folder/tandem_${version}_amd64.deb" >/dev/null
