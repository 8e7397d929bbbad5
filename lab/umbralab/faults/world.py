"""The fleet that is struck: two hosts, an edge, a controller, and one guest that moves between the hosts."""
from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
from pathlib import Path

from .. import fleet, guests, hosts, nodes, services, umbra
from ..common import LabError, run, wait_until
from ..state import Lab
from . import power

VM = 'web'
REACH = 30  # seconds to a fault point


class World:
    def __init__(self, lab: Lab):
        self.lab = lab
        self.vm = lab.vm(VM)
        self.source = hosts.running_on(lab, VM)
        self.standby = next(host.name for host in lab.of_role('host') if host.name != self.source)
        self.said: list[str] = []  # what is worth telling of the cell
        self.began = time.time() * 1000
        self.by_hand = False  # libvirt did what a person asked it for
        self.cutover: subprocess.Popen | None = None

    def node(self, role: str) -> str:
        return {'source': self.source, 'standby': self.standby, 'edge': 'edge1', 'controller': 'controller'}[role]

    # Fault points.
    def arm(self, role: str, point: str) -> None:
        directory = self.lab.points(self.node(role))
        (directory / f'{point}.reached').unlink(missing_ok=True)
        (directory / point).touch()

    def reached(self, role: str, point: str) -> None:
        wait_until(f'{self.node(role)} comes to {point}', (self.lab.points(self.node(role)) / f'{point}.reached').exists,
                   deadline=REACH, every=0.005)

    def disarm(self) -> None:
        for node in self.lab.nodes:
            for file in self.lab.points(node).iterdir():
                if file.suffix != '.reached':
                    file.unlink(missing_ok=True)

    # What is asked of Umbra, without waiting for it.
    def begin(self, *words: str) -> None:
        self.cutover = subprocess.Popen(umbra.ctl_command(self.lab, list(words)), env=os.environ | umbra.ctl_environment(self.lab),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def keep(self) -> None:
        fleet.words(self.lab, 'shadow', 'keep', VM, '--to', self.standby, '--tier', 'warm', deadline=90)
        fleet.await_tier(self.lab, self.vm, ('warm',), deadline=60)

    # What there is.
    def domains(self) -> dict[str, str]:
        return {host: where for host, where in hosts.whereabouts(self.lab).get(VM, {}).items()}

    def runner(self) -> str | None:
        running = [host for host, how in self.domains().items() if how == 'running']
        return running[0] if len(running) == 1 else None

    def image(self) -> Path:
        """Which the runner writes to: after a snapshot not the one that it was started with."""
        return Path(self.medium('vda')) if self.domains() else self.lab.disk(self.vm)

    def medium(self, drive: str, *, stored: bool = False) -> str:
        """What the runner, or whoever has its definition, has in it, or would start with; `-` if nothing."""
        host = self.runner() or next(iter(self.domains()))
        words = ['domblklist', VM, *(['--inactive'] if stored else [])]
        rows = (line.split(maxsplit=1) for line in hosts.virsh(self.lab, host, *words).splitlines())
        return next(row[1].strip() for row in rows if row and row[0] == drive)

    def close(self) -> None:
        if self.cutover and self.cutover.poll() is None:
            self.cutover.kill()
        if self.cutover:
            self.cutover.wait(10)


def unsettled(world: World, dead: bool) -> str:
    """Why the fleet has not settled yet; empty once it has. `dead`: the fault may have ended the only copy of the guest."""
    lab = world.lab
    for node in lab.nodes.values():
        for service in services.known(lab, node.name):
            if not services.running(lab, node.name, service):
                return f'{service} on {node.name} does not run'
    domains = world.domains()
    running = [host for host, how in domains.items() if how == 'running']
    if len(running) > 1:
        return 'it runs on both hosts'
    try:
        view = fleet.view(lab, world.vm)
    except (LabError, IndexError, KeyError) as error:
        return f'the controller does not answer: {error}'
    if not running:
        if not dead:
            return f'nobody runs it: {domains}'
        left = [host for host, how in domains.items() if how != 'shut off']
        return f'a copy is left on {left[0]}: {domains[left[0]]}' if left else ''
    host = running[0]
    if 'running' not in str(view['vm'].get('state')).lower():
        return f"the controller says it is {view['vm'].get('state')}"
    if view.get('host') != host:
        return f"the controller says it is on {view.get('host')}, but {host} runs it"
    for other, how in domains.items():
        if other != host and how == 'shut off':
            return f'{other} still has its definition'
        if other != host and not view.get('shadow'):
            return f'{other} has a copy that is {how}, and nobody knows of a shadow'
    there = fleet.route_at_edge(lab, world.vm)
    if lab.node(host).address not in there:
        return f"edge1 routes to '{there}', but {host} runs it"
    return ''


def left_over(world: World) -> list[str]:
    """After the shadow was dropped: what there is that should not be."""
    lab, vm = world.lab, world.vm
    host = world.runner()
    found = []
    for node in (other.name for other in lab.of_role('host') if other.name != host):
        if how := world.domains().get(node):
            if host is not None:
                found.append(f'{node}: domain {how}')
        if power.qemu_of(lab, node, VM):
            found.append(f'{node}: a QEMU')
        links = run(['ip', '-n', lab.netns(node), '-o', 'link', 'show']).splitlines()
        if host is not None and any(f' {vm.tap}:' in link and 'alias umbra' in link for link in links):
            found.append(f"{node}: Umbra's tap {vm.tap}")  # one that the lab made before is kept
        listening = run(nodes.in_network_of(lab, node, 'ss', '-Htln', 'sport', '>=', ':49300', 'and', 'sport', '<=', ':49399'))
        if listening.strip():
            found.append(f'{node}: a migration port is open')
        if host is not None and (lab.node_dir(node) / f'run/libvirt/qemu/{VM}.pid').exists():
            found.append(f"{node}: libvirt's pid file")
    if host is not None and (writes := world.medium('vda')) != (stored := world.medium('vda', stored=True)):
        found.append(f'{host}: it writes to {writes}, but would start with {stored}')
    if host is not None and not starts_at_boot(lab, host):
        found.append(f'{host}: it is not started at boot any more')
    for node in lab.of_role('host'):
        found += [f'{node.name}: journal says {row}' for row in journal_rows(lab, node.name)]
    if host is not None and (owner := (st := world.image().stat()).st_uid) == 0:
        found.append(f'{world.image()} belongs to {owner}:{st.st_gid}')
    return found


def starts_at_boot(lab: Lab, node: str) -> bool:
    return bool(re.search(r'^Autostart:\s+enable', hosts.virsh(lab, node, 'dominfo', VM), re.M))


def journal_rows(lab: Lab, node: str) -> list[str]:
    """Shadows that the agent still looks after: neither dropped nor moved."""
    with sqlite3.connect(f"file:{lab.node_dir(node) / 'state/journal.sqlite'}?mode=ro", uri=True, timeout=5) as journal:
        tables = [name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        if 'shadow' not in tables:
            return []
        return [f'{side} phase {phase} epoch {epoch}'
                for side, phase, epoch in journal.execute('SELECT side, phase, epoch FROM shadow WHERE phase NOT IN (0, 8, 9)')]


def restart_guest(world: World) -> None:
    """A guest whose only copy was ended starts again where it is defined."""
    defined = [host for host, how in world.domains().items() if how == 'shut off']
    if not defined:
        raise LabError(f'{VM} is defined nowhere: {world.domains()}')
    before = guests.log(world.lab, world.vm).count(f'guest-up {world.vm.address}')
    hosts.virsh(world.lab, defined[0], 'start', VM)
    wait_until(f'{VM} boots', lambda: guests.log(world.lab, world.vm).count(f'guest-up {world.vm.address}') > before, deadline=90, every=0.2)
    time.sleep(2)  # the agent lists it


def put_back(world: World) -> None:
    """What a person changed by hand in the cell before."""
    host = world.runner()
    if host is None:
        return
    hosts.virsh(world.lab, host, 'autostart', VM)
    hosts.virsh(world.lab, host, 'desc', VM, '--title', '--live', '--config', '--new-desc', '')
    if world.medium('sda') == '-':
        hosts.virsh(world.lab, host, 'change-media', VM, 'sda', str(world.lab.shared / f'{VM}.iso'), '--update', '--live', '--config')
