"""Taps, neighbours and routes of guests, where no agent does it: a bare lab, and the peer's side of a comparison."""
from __future__ import annotations

import subprocess
from pathlib import Path

from . import nodes
from .common import LabError
from .state import GATEWAY_ADDRESS, GATEWAY_MAC, ROUTE_PROTOCOL, Lab, Vm


def add_tap(lab: Lab, vm: Vm, host: str) -> None:
    """The guest's tap on a host, where it is missing; libvirt expects to find it. It has the MAC that all taps share."""
    listed = Path(f'/proc/{nodes.anchor(lab, host)}/root/sys/class/net/{vm.tap}')
    if not listed.exists():
        nodes.ip(lab, host, f'tuntap add {vm.tap} mode tap', f'link set {vm.tap} address {GATEWAY_MAC} up')


def remove_tap(lab: Lab, vm: Vm, host: str) -> None:
    nodes.ip(lab, host, f'link delete {vm.tap}', force=True)


def receive_on(lab: Lab, vm: Vm, host: str) -> None:
    """All that the host needs to serve the guest but the routes: tap, gateway address, permanent neighbour."""
    add_tap(lab, vm, host)
    nodes.ip(lab, host, f'address replace {GATEWAY_ADDRESS}/32 dev {vm.tap}',
             f'neighbour replace {vm.address} lladdr {vm.mac} dev {vm.tap} nud permanent')


def routes_to(lab: Lab, vm: Vm, host: str) -> dict[str, str]:
    """By node: the `ip` command after which the node's packets for the guest go to this host.

    The routes carry Umbra's protocol number, so that agents started later take them for theirs."""
    route, there = f'route replace {vm.address}/32 proto {ROUTE_PROTOCOL}', lab.node(host).address
    others = (node.name for node in lab.of_role('edge') + lab.of_role('host') if node.name != host)
    return {host: f'{route} dev {vm.tap}', **{name: f'{route} via {there}' for name in others}}


def point(lab: Lab, vm: Vm, host: str) -> None:
    for node, line in routes_to(lab, vm, host).items():
        nodes.ip(lab, node, line)


def forget(lab: Lab, vm: Vm) -> None:
    for node in lab.of_role('edge') + lab.of_role('host'):
        nodes.ip(lab, node.name, f'route delete {vm.address}/32', f'link delete {vm.tap}', force=True)


class Flip:
    """The routes to a guest's new host, each behind an `ip` that already runs and waits for its line: flipping costs no fork."""

    def __init__(self, lab: Lab, vm: Vm, host: str):
        self._waiting = []
        for node, line in routes_to(lab, vm, host).items():
            process = subprocess.Popen(['ip', '-n', lab.netns(node), '-batch', '-'], stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self._waiting.append((node, process, line + '\n'))

    def __call__(self) -> None:
        for _, process, line in self._waiting:
            process.stdin.write(line)
            process.stdin.flush()

    def close(self) -> None:
        for node, process, line in self._waiting:
            _, complaint = process.communicate(timeout=10)
            if process.returncode != 0:
                raise LabError(f'{node}: `ip {line.strip()}` failed: {complaint.strip()}')
