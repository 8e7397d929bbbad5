"""What strikes machines and links: power cuts, cut and bad networks, full disks."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

from .. import hosts, nodes, services, umbra
from ..common import run
from ..fleet import children
from ..state import Lab


def hub(lab: Lab, *words: object, check: bool = True) -> str:
    """In the namespace of the bridge that joins the nodes."""
    return run(nodes.in_network_of(lab, nodes.BRIDGE, *words), check=check)


def off(lab: Lab, node: str) -> None:
    """The link goes first: no peer hears a FIN or a reset."""
    hub(lab, 'ip', 'link', 'set', node, 'down')
    nodes.kill(lab, node)


def on(lab: Lab, node: str) -> None:
    """Boots the node with the disk it had: a new kernel network, an empty /run, the same state and libvirt definitions."""
    hub(lab, 'ip', 'link', 'delete', node)  # the namespace would take it along, but some time later
    run(['ip', 'netns', 'delete', lab.netns(node)])
    run(['ip', 'netns', 'add', lab.netns(node)])
    nodes.join(lab, lab.node(node))
    directory = lab.node_dir(node)
    shutil.rmtree(directory / 'run', ignore_errors=True)
    nodes.boot(lab, [lab.node(node)])
    if lab.node(node).role == 'host' and not lab.bare:
        guard(lab, node)
    for service in ('libvirtd', 'controller', 'agent'):
        if service in services.known(lab, node):
            services.restart(lab, node, service)
            if service == 'libvirtd':
                hosts.await_ready(lab, node)


def guard(lab: Lab, node: str) -> None:
    """As systemd would, before libvirt starts what has autostart. What it said is in the node's guard.log."""
    command = [umbra.binaries() / 'umbra-agentd', '--guard', '--config', lab.node_dir(node) / 'umbra.toml']
    run(nodes.inside(lab, node, 'sh', '-c', 'exec "$@" >> "$0" 2>&1', services.log_of(lab, node, 'guard'), *command), deadline=60)


def cut(lab: Lab, one: str, other: str) -> None:
    for a, b in ((one, other), (other, one)):
        hub(lab, 'ebtables', '-A', 'FORWARD', '-i', a, '-o', b, '-j', 'DROP')


def join(lab: Lab, one: str, other: str) -> None:
    for a, b in ((one, other), (other, one)):
        hub(lab, 'ebtables', '-D', 'FORWARD', '-i', a, '-o', b, '-j', 'DROP', check=False)


def rule_of(lab: Lab, how: str, to: str) -> list[str]:
    """iptables on the sender: TCP makes of a lost segment a late message, of a doubled one none, of a long silence a broken link."""
    address = lab.node(to).address
    if how == 'lost':
        return ['-t', 'mangle', 'POSTROUTING', '-d', address, '-m', 'statistic', '--mode', 'random', '--probability', '0.2', '-j', 'DROP']
    return ['-t', 'mangle', 'POSTROUTING', '-d', address, '-j', 'TEE', '--gateway', address]


def spoil(lab: Lab, how: str, one: str, other: str, *, lift: bool = False) -> None:
    for sender, to in ((one, other), (other, one)):
        rule = rule_of(lab, how, to)
        words = ['iptables', *rule[:2], '-D' if lift else '-A', *rule[2:]]
        run(nodes.in_network_of(lab, sender, *words), check=not lift)


def fill(lab: Lab, node: str) -> None:
    """Until not a byte is left for the daemon's journal or store."""
    ballast = lab.node_dir(node) / 'state/ballast'
    with open(ballast, 'wb', buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(b'\0' * size)
            except OSError:
                pass


def empty(lab: Lab, node: str) -> None:
    (lab.node_dir(node) / 'state/ballast').unlink(missing_ok=True)


def kill_qemu(pid: int) -> None:
    os.kill(pid, 9)


def processes(lab: Lab, host: str, word: bytes, name: str) -> list[int]:
    """Of that host whose command line has the word, and whose name begins so; as this machine counts."""
    anchor = nodes.anchor(lab, host)
    waiting, found = [anchor] if anchor else [], []
    while waiting:
        pid = waiting.pop()
        try:
            if word in Path(f'/proc/{pid}/cmdline').read_bytes() and Path(f'/proc/{pid}/comm').read_text().startswith(name):
                found.append(pid)
            waiting += children(pid)
        except OSError:
            continue  # it has just ended
    return found


def qemu_of(lab: Lab, host: str, vm: str) -> int | None:
    return next(iter(processes(lab, host, b'guest=%s,' % vm.encode(), 'qemu')), None)


def gates_of(lab: Lab, host: str) -> list[int]:
    return processes(lab, host, b'--control', 'umbra-gate')
