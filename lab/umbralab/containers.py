"""Nodes as an operator has them: each boots Debian with its own systemd, D-Bus, polkit, logind and libvirtd, in a container.

The rest is the lab's: the network, where a node's files are, and the first process of a node, here its systemd, as its anchor.
"""
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

from . import nodes
from .common import LabError, run, wait_until
from .state import Lab, Node

NSPAWN = '/usr/bin/systemd-nspawn'
BOOT = 90  # seconds
SYSCTL = '''net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1
net.ipv4.conf.all.rp_filter = 0
net.ipv4.conf.default.rp_filter = 0
'''


def root(lab: Lab, node: str) -> Path:
    return lab.node_dir(node) / 'root'


def prepare(lab: Lab, node: Node, tree: Path) -> None:
    """Its own disk on top of the tree, which all share, and what an installer asks for."""
    directory = lab.node_dir(node.name)
    for part in ('disk', 'work', 'root'):
        (directory / part).mkdir(parents=True, exist_ok=True)
    run(['mount', '-t', 'overlay', 'overlay', '-o', f"lowerdir={tree},upperdir={directory / 'disk'},workdir={directory / 'work'}",
         directory / 'root'])
    etc = directory / 'root/etc'
    (etc / 'hostname').write_text(f'{node.name}\n')
    (etc / 'hosts').write_text(nodes.hosts_file(lab))
    (etc / 'sysctl.d/60-router.conf').write_text(SYSCTL)
    quiet = ['console-getty.service', 'apt-daily.timer', 'apt-daily-upgrade.timer', 'e2scrub_all.timer']
    if node.role != 'host':
        quiet += [f'{unit}.{kind}' for unit in ('libvirtd', 'virtlogd') for kind in ('service', 'socket')] + ['libvirt-guests.service']
    for unit in quiet:
        (etc / 'systemd/system' / unit).symlink_to('/dev/null')


def boot(lab: Lab, node: Node, binds: list[str]) -> None:
    """Starts it; await_up() waits."""
    directory = lab.node_dir(node.name)
    words = [NSPAWN, f'--directory={root(lab, node.name)}', f'--machine={node.name}', '--register=no', '--keep-unit', '--boot', '--quiet',
             f'--network-namespace-path=/run/netns/{lab.netns(node.name)}', '--resolv-conf=off', '--link-journal=no', '--timezone=off',
             '--capability=all', '--bind=/dev/net/tun', '--console=pipe', *(f'--bind-ro={path}' for path in binds)]
    # Hosts of today have one hierarchy of control groups, whatever this machine has.
    environment = {**os.environ, 'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY': '1', 'SYSTEMD_NSPAWN_API_VFS_WRITABLE': 'network'}
    with open(directory / 'init.log', 'ab') as log:
        outer = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd='/',
                                 env=environment)
    children = Path(f'/proc/{outer.pid}/task/{outer.pid}/children')

    def first() -> str:
        """Its systemd, which is the first process of its own; before, helpers of systemd-nspawn come and go."""
        if outer.poll() is not None:
            raise LabError(f'{node.name} does not boot: {(directory / "init.log").read_text()[-1000:]}')
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                status = Path(f'/proc/{child}/status').read_text()
                if status.startswith('Name:\tsystemd\n') and re.search(r'^NSpid:.*\t1$', status, re.MULTILINE):
                    return child
        return ''

    try:
        leader = wait_until(f'{node.name} begins to boot', first, deadline=20)
    except BaseException:  # nobody else knows of it
        for pid in [*map(int, children.read_text().split()), outer.pid] if outer.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
        raise
    nodes.record_anchor(lab, node.name, leader)


def await_up(lab: Lab, node: Node) -> None:
    """Until its systemd has nothing left to start, well or badly."""
    def done() -> bool:
        asked = subprocess.run(inside(lab, node.name, 'systemctl', 'is-system-running'), capture_output=True, text=True)
        return asked.stdout.strip() in ('running', 'degraded')
    wait_until(f'{node.name} boots', done, deadline=BOOT, every=0.3, remedy=f'see {lab.node_dir(node.name)}/init.log')


def inside(lab: Lab, node: str, *command: object) -> list[str]:
    """In all of its namespaces, the control groups' and IPC too: as root who logged in there."""
    if (pid := nodes.anchor(lab, node)) is None:
        raise LabError(f'{node} is not running', f'umbra-fleet --lab {lab.name} down, then up')
    return ['nsenter', '-t', str(pid), '-m', '-u', '-i', '-n', '-p', '-C', '--wd=/', '--', 'env', '-i',
            'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8', 'DEBIAN_FRONTEND=noninteractive', *map(str, command)]


def shell(lab: Lab, node: str, script: str, *, deadline: float = 60, check: bool = True) -> str:
    return run(inside(lab, node, 'sh', '-euc', script), deadline=deadline, check=check)


def unmount(lab: Lab) -> None:
    """After nodes.unmake()."""
    for directory in (lab.dir / 'nodes').glob('*/root'):
        run(['umount', '--recursive', directory], check=False)
