"""Nodes: a network, mount, UTS and PID namespace each, joined by a bridge that has a namespace of its own.

A node's first process (node-init) is its anchor: whatever runs in the node is in its PID namespace, so killing that one
process ends all of them, and takes the node's mounts along. Nothing else has to be found for a clean end.
"""
from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .common import LabError, run, wait_until
from .state import UNDERLAY, Lab, Node

HERE = Path(__file__).resolve().parent
BRIDGE = 'net'  # the node-like name of the namespace that holds the bridge


def make_network(lab: Lab) -> None:
    """All namespaces, the bridge, and a link from each node to it."""
    hub = lab.netns(BRIDGE)
    run(['ip', '-batch', '-'], text=''.join(f'netns add {lab.netns(name)}\n' for name in [BRIDGE, *lab.nodes]))
    run(['ip', '-n', hub, '-batch', '-'], text='link add br0 type bridge forward_delay 0\nlink set br0 up\n')
    for node in lab.nodes.values():
        join(lab, node)


def mac_of(node: Node) -> str:
    """The same after each boot, or its peers would ask for the old one until they give it up."""
    return '52:54:01:' + ':'.join(f'{int(part):02x}' for part in node.address.split('.')[1:])


def join(lab: Lab, node: Node) -> None:
    """The link of a node, whose namespace is there, to the bridge."""
    run(['ip', '-n', lab.netns(BRIDGE), '-batch', '-'],
        text=f'link add {node.name} type veth peer name eth0 address {mac_of(node)} netns {lab.netns(node.name)}\n'
             f'link set {node.name} master br0 up\n')
    run(['ip', '-n', lab.netns(node.name), '-batch', '-'],
        text=f'link set lo up\naddress add {node.address}/24 dev eth0\nlink set eth0 up\n')


def hosts_file(lab: Lab) -> str:
    return '127.0.0.1 localhost\n' + ''.join(f'{node.address} {node.name}\n' for node in lab.nodes.values())


def boot(lab: Lab, nodes: list[Node]) -> None:
    """Starts the anchors of these nodes and waits until all are ready."""
    (lab.dir / 'hosts').write_text(hosts_file(lab))
    for node in nodes:
        directory = lab.node_dir(node.name)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / 'ready').unlink(missing_ok=True)
        with open(directory / 'init.log', 'wb') as log:
            subprocess.Popen(['nsenter', f'--net=/run/netns/{lab.netns(node.name)}', 'unshare', '--mount', '--uts',
                              '--pid', '--fork', HERE / 'node-init', lab.dir, node.name, node.role],
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd='/')
    for node in nodes:
        directory = lab.node_dir(node.name)
        wait_until(f'{node.name} starts', (directory / 'ready').exists, deadline=20,
                   remedy=f'see {directory}/init.log')


def _stat(pid: object) -> list[str]:
    """Of /proc/PID/stat, what comes after the name: the state is field 0, the time of the start field 19."""
    return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()


def record_anchor(lab: Lab, node: str, pid: object) -> None:
    """What node-init does of itself, for another first process."""
    (lab.node_dir(node) / 'init.pid').write_text(f'{pid} {_stat(pid)[19]}\n')


def anchor(lab: Lab, node: str) -> int | None:
    """Process id of the node's first process, if it is alive and still the one that was recorded."""
    try:
        pid, started = (lab.node_dir(node) / 'init.pid').read_text().split()
        fields = _stat(pid)
    except (OSError, ValueError):
        return None
    return int(pid) if fields[19] == started and fields[0] not in 'ZX' else None


def inside(lab: Lab, node: str, *command: object) -> list[str]:
    """The command line that runs `command` in the node's namespaces."""
    if (pid := anchor(lab, node)) is None:
        raise LabError(f'{node} is not running', f'umbra-lab --lab {lab.name} down, then up')
    return ['nsenter', '-t', str(pid), '-m', '-u', '-n', '-p', '--wd=/', '--', *map(str, command)]


def in_network_of(lab: Lab, node: str, *command: object) -> list[str]:
    """The same, but in its network namespace alone: for programs that need nothing else of the node."""
    return ['nsenter', f'--net=/run/netns/{lab.netns(node)}', '--', *map(str, command)]


def ip(lab: Lab, node: str, *lines: str, force: bool = False) -> None:
    """A batch of `ip` commands in the node's network."""
    words = ['ip', '-n', lab.netns(node), *(['-force'] if force else []), '-batch', '-']
    run(words, text='\n'.join(lines) + '\n', check=not force)


def kill(lab: Lab, node: str) -> None:
    """Ends everything that runs in the node; returns when it is gone."""
    if (pid := anchor(lab, node)) is None:
        return
    watch = os.pidfd_open(pid)
    try:
        if anchor(lab, node) == pid:  # still the same process, now that it is held
            signal.pidfd_send_signal(watch, signal.SIGKILL)
        wait_until(f'{node} ends', lambda: anchor(lab, node) is None, deadline=30,
                   remedy=f'process {pid} cannot be killed; look at `cat /proc/{pid}/stack`')
    finally:
        os.close(watch)


def namespaces(lab: Lab) -> list[str]:
    mine = re.compile(rf'umbra-{lab.name}-(net|controller|(host|edge)[0-9]+)')
    try:
        return sorted(name for name in os.listdir('/run/netns') if mine.fullmatch(name))
    except FileNotFoundError:
        return []


def unmake(lab: Lab) -> None:
    """Takes back boot() and make_network(), however far they came."""
    known = {path.name for path in (lab.dir / 'nodes').iterdir()} if (lab.dir / 'nodes').is_dir() else set()
    for node in sorted(known | set(lab.nodes)):
        kill(lab, node)
    end = time.monotonic() + 10
    while names := namespaces(lab):
        run(['ip', '-force', '-batch', '-'], text=''.join(f'netns delete {name}\n' for name in names),
            check=False)
        if time.monotonic() > end:
            raise LabError(f"cannot delete namespaces {', '.join(names)}", '`ip netns pids NAME` tells who is in them')


def plan(hosts: int, edges: int, zones: list[str]) -> dict[str, Node]:
    nodes = [Node(f'host{i}', 'host', zones[(i - 1) % len(zones)], f'{UNDERLAY}.{i}') for i in range(1, hosts + 1)]
    nodes += [Node(f'edge{i}', 'edge', zones[(i - 1) % len(zones)], f'{UNDERLAY}.{100 + i}') for i in range(1, edges + 1)]
    nodes.append(Node('controller', 'controller', zones[0], f'{UNDERLAY}.200'))
    return {node.name: node for node in nodes}
