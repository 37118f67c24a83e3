#!/bin/sh
# First process of a lab host: opens up what the container runtime mounted
# read-only, as a machine's own init would find it, and becomes systemd.
set -eu
mount --make-rshared /
mount -o remount,rw /sys
awk '$3 == "cgroup" || $3 == "cgroup2" || $2 == "/sys/fs/cgroup" { print $2 }' /proc/mounts | while read -r m; do
	# Without "bind" the kernel says busy; one that stays read-only shows up as a failing unit.
	mount -o remount,rw,bind "$m" || echo "lab: $m stays read-only" >&2
done
if [ -n "${LAB_NOEXEC_VAR:-}" ]; then
	mount -o remount,bind,noexec /var
fi
exec /sbin/init
