#!/bin/sh
# Installs the release build with its manuals, its systemd unit and its example configuration.
#
#   cargo build --release --locked -p lcm-daemon --bins
#   deploy/install.sh                          # into /usr, as root
#   DESTDIR=/tmp/package deploy/install.sh     # into a directory from which to make a package
#
# PREFIX (/usr) says where programs and manuals go, CARGO_TARGET_DIR (target) where cargo built.
# An existing /etc/lcm/lcm.toml is left as it is. Starts nothing.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
built=${CARGO_TARGET_DIR:-$root/target}/release
prefix=${PREFIX:-/usr}
destination=${DESTDIR:-}
bin=$prefix/bin
man=$prefix/share/man
doc=$prefix/share/doc/lcm-daemon
units=/lib/systemd/system
etc=/etc/lcm

for program in lcm-daemon lcmctl; do
    if [ ! -x "$built/$program" ]; then
        echo "$built/$program is missing: run cargo build --release --locked -p lcm-daemon --bins" >&2
        exit 1
    fi
done

# put MODE DIRECTORY FILE...: copies files, with the paths that they name changed to PREFIX.
put() {
    mode=$1 directory=$destination$2
    shift 2
    install -d -m 755 "$directory"
    for file in "$@"; do
        target=$directory/$(basename "$file")
        if [ "$mode" = 755 ]; then
            install -m 755 "$file" "$target"
        else
            sed -e "s|/usr/bin/|$bin/|g" -e "s|/usr/share/|$prefix/share/|g" "$file" >"$target"
            chmod "$mode" "$target"
        fi
        echo "$target"
    done
}

put 755 "$bin" "$built/lcm-daemon" "$built/lcmctl"
put 644 "$man/man8" "$root/deploy/man/lcm-daemon.8" "$root/deploy/man/lcmctl.8"
put 644 "$man/man5" "$root/deploy/man/lcm.toml.5"
put 644 "$doc" "$root/deploy/lcm.toml.example" "$root/deploy/metrics.md" "$root/CHANGELOG.md" \
    "$root/LICENSE-APACHE" "$root/LICENSE-MIT"
put 644 "$units" "$root/deploy/systemd/lcm-daemon.service"
if [ ! -e "$destination$etc/lcm.toml" ]; then
    install -d -m 755 "$destination$etc"
    install -m 644 "$root/deploy/lcm.toml.example" "$destination$etc/lcm.toml"
    echo "$destination$etc/lcm.toml"
fi
