"""Umbra as its users see it: umbractl and its JSON."""
from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import guests, hosts, nodes, services, umbra
from .common import LabError, say, wait_until
from .state import Lab, Vm

HELD = {'hot': ('hot',), 'warm': ('warm', 'hot')}  # by tier: what its shadow is then
MOVED = re.compile(r'moved from (\S+) to (\S+) in epoch (\d+): blackout ([\d.]+) ms, reached after ([\d.]+) ms(?: \((.*)\))?')


def words(lab: Lab, *command: object, deadline: float = 30) -> str:
    """What umbractl prints; LabError with what it complained of if it fails."""
    return _ctl(lab, command, deadline)


def ask(lab: Lab, *command: object, deadline: float = 30) -> dict:
    return json.loads(_ctl(lab, [*command, '-o', 'json'], deadline))


def _ctl(lab: Lab, command: list[object] | tuple[object, ...], deadline: float) -> str:
    said = [str(word) for word in command]
    try:
        done = subprocess.run(umbra.ctl_command(lab, said), env=os.environ | umbra.ctl_environment(lab),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline)
    except subprocess.TimeoutExpired:
        raise LabError(f"umbractl {' '.join(said)}: no end within {deadline:g} s") from None
    if done.returncode != 0:
        raise LabError(f"umbractl {' '.join(said)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def view(lab: Lab, vm: Vm) -> dict:
    """The controller's view of one VM."""
    return ask(lab, 'vms', vm.name)['vms'][0]


def await_tier(lab: Lab, vm: Vm, phases: tuple[str, ...], deadline: float = 90) -> dict:
    def reached() -> dict | None:
        shadow = view(lab, vm)['shadow']
        return shadow if shadow and shadow['phase'] in phases else None

    return wait_until(f"the shadow of {vm.name} is {' or '.join(phases)}", reached, deadline=deadline, every=0.5,
                      remedy=f'umbra-lab --lab {lab.name} ctl events --vm {vm.name}')


def await_proof(lab: Lab) -> None:
    """Waits until all hosts have proven the hold; before that they take no shadows."""
    def proven() -> bool:
        listed = ask(lab, 'hosts').get('hosts', [])
        return sum(bool(host.get('proof', {}).get('proven')) for host in listed) == len(lab.of_role('host'))

    wait_until('all hosts have proven the hold', proven, deadline=90, every=0.5)


def no_shadow(lab: Lab, vm: Vm, deadline: float = 60) -> None:
    """Waits until the VM has no shadow, and is on one host alone."""
    wait_until(f'{vm.name} is on one host alone', lambda: len(hosts.whereabouts(lab).get(vm.name, {})) == 1,
               deadline=deadline, every=0.5, remedy=f'umbra-lab --lab {lab.name} ctl shadows')


def keep(lab: Lab, vm: Vm, to: str, tier: str) -> float:
    """Has a shadow kept there. @return seconds until it was as warm as asked"""
    begun = time.monotonic()

    def wished() -> bool:
        try:
            ask(lab, 'shadow', 'keep', vm.name, '--to', to, '--tier', tier, deadline=600)
        except LabError as refused:
            if time.monotonic() - begun > 60:
                raise
            say(str(refused).splitlines()[0])  # its agent has just been started
            return False
        return True

    wait_until(f'a shadow of {vm.name} on {to}', wished, deadline=600, every=1)
    await_tier(lab, vm, HELD[tier], deadline=60)
    return round(time.monotonic() - begun, 2)


def drop(lab: Lab, vm: Vm) -> None:
    words(lab, 'shadow', 'drop', vm.name)
    no_shadow(lab, vm)


def route_at_edge(lab: Lab, vm: Vm) -> str:
    shown = subprocess.run(nodes.in_network_of(lab, guests.edge_of(lab), 'ip', 'route', 'show', vm.address),
                           capture_output=True, text=True, check=True, timeout=10)
    return ' '.join(shown.stdout.split())


class Follower:
    """Events as they come, each handed to `heard` by the thread that reads them, and kept."""

    def __init__(self, lab: Lab, heard: Callable[[dict], None] = lambda event: None):
        self.events: list[dict] = []
        self._heard, self._since = heard, time.time() * 1000
        self._process = subprocess.Popen(umbra.ctl_command(lab, ['events', '--follow', '--last', '1', '-o', 'json']),
                                         env=os.environ | umbra.ctl_environment(lab), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            event = json.loads(line)
            if event['at_unix_ms'] >= self._since:
                self.events.append(event)
                self._heard(event)

    def moved(self, vm: Vm) -> tuple[dict, re.Match[str]] | None:
        """The event in which the last cutover began, and what its end said; None while there is none."""
        mine = [event for event in self.events if event['vm'] == vm.name and event['kind'] == 'cutover']
        ends = [(event, found) for event in mine if (found := MOVED.match(event['text']))]
        begins = [event for event in mine if event['text'].startswith('cutover from')]
        return (begins[-1], ends[-1][1]) if begins and ends else None

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f'/proc/{pid}/task').iterdir()
            for child in (task / 'children').read_text().split()]


def process_of(lab: Lab, node: str, service: str) -> int:
    """The daemon's process id as this machine counts, for what /proc says of it."""
    inner = services.running(lab, node, service)
    waiting = [nodes.anchor(lab, node)]
    while waiting and inner is not None:
        pid = waiting.pop()
        status = Path(f'/proc/{pid}/status').read_text()
        if int(re.search(r'^NSpid:.*\s(\d+)$', status, re.M)[1]) == inner:
            return pid
        waiting += children(pid)
    raise LabError(f'{service} on {node} is not running')
