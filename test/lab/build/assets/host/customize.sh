#!/bin/sh
# mmdebstrap hook: turns a Debian root file system ($1) into a bare lab host.
set -eu
root=$1
here=$(dirname "$0")

install -m 0755 "$here/entry.sh" "$root/usr/local/sbin/lab-entry"

# No seat, no devices, nothing that phones out on a timer.
chroot "$root" systemctl mask --quiet getty.target console-getty.service systemd-udevd.service \
	systemd-logind.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount \
	apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
chroot "$root" systemctl disable --quiet keepalived.service nftables.service || true
chroot "$root" systemctl enable --quiet ssh.service
chroot "$root" systemctl set-default --quiet multi-user.target

mkdir -p "$root/etc/ssh/sshd_config.d" "$root/etc/systemd/journald.conf.d" "$root/var/log/journal"
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
printf '[Journal]\nStorage=persistent\nSystemMaxUse=200M\nReadKMsg=no\n' >"$root/etc/systemd/journald.conf.d/lab.conf"

# '*' is no password, but (unlike '!') not a locked account.
chroot "$root" useradd --create-home --shell /bin/bash --uid 1000 ops
chroot "$root" useradd --create-home --shell /bin/bash --uid 1001 nosudo
chroot "$root" usermod --password '*' ops
chroot "$root" usermod --password '*' nosudo
printf 'ops ALL=(ALL) NOPASSWD:ALL\n' >"$root/etc/sudoers.d/ops"
chmod 0440 "$root/etc/sudoers.d/ops"

# Unique to each host, so not in the image.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
: >"$root/etc/machine-id"
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
