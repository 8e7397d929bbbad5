#!/usr/bin/env bash
# A libvirtd of its own for one test: nothing of the machine's libvirt is seen or touched, and all of it (libvirtd, virtlogd,
# QEMUs) is gone when this script is, for it is process 1 of a process namespace, and ends with its standard input.
# usage: unshare --mount --net --uts --pid --fork --mount-proc private_libvirtd.sh DIR CACHE < COMMANDS
# Commands, a line each, answered by a line: start, kill (SIGKILL to libvirtd, QEMUs live on), pause, continue (libvirtd),
# freeze NAME, thaw NAME (that domain's QEMU).
# DIR/run/libvirt/libvirt-sock is the socket. CACHE keeps what libvirtd learned about this machine's QEMU between runs.
set -euo pipefail
dir=$1 cache=$2
mkdir -p "$dir"/{run/lock,lib/qemu,log,etc} "$cache"
cp -a /etc/libvirt/. "$dir/etc/"
mount --make-rprivate /
mount --bind "$dir/run" /run
mount --bind "$dir/lib" /var/lib/libvirt
mount --bind "$cache" /var/cache/libvirt
mount --bind "$dir/log" /var/log/libvirt
mount --bind "$dir/etc" /etc/libvirt
rm -rf /etc/libvirt/qemu/networks/autostart
# QEMU runs as the distribution has it (user, group, dynamic_ownership, remember_owner). There is no AppArmor in namespaces, and
# the machine's cgroups may be read-only.
printf '%s\n' 'security_driver = "none"' 'cgroup_controllers = [ ]' > /etc/libvirt/qemu.conf
printf '%s\n' 'auth_unix_rw = "none"' "host_uuid = \"$(cat /proc/sys/kernel/random/uuid)\"" \
  'log_outputs = "3:file:/var/log/libvirt/libvirtd.log"' > /etc/libvirt/libvirtd.conf
hostname umbra-test
ip link set lo up
virtlogd -d

while read -r command name; do
  case $command in
    start)
      rm -f /run/libvirt/libvirt-sock
      libvirtd >> /var/log/libvirt/stderr.log 2>&1 < /dev/null &
      libvirtd=$!
      until virsh -q uri > /dev/null 2>&1 || ! kill -0 "$libvirtd" 2>/dev/null; do sleep 0.01; done ;;
    kill) kill -KILL "$libvirtd"; wait "$libvirtd" 2>/dev/null || true ;;
    pause) kill -STOP "$libvirtd" ;;
    continue) kill -CONT "$libvirtd" ;;
    freeze) kill -STOP "$(cat "/run/libvirt/qemu/$name.pid")" ;;
    thaw) kill -CONT "$(cat "/run/libvirt/qemu/$name.pid")" ;;
  esac
  echo done
done
