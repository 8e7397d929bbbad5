"""The peer: `virsh migrate --live`, with the routes flipped at the moment the destination resumes.

Everything that can be done beforehand is done beforehand (tap, neighbour, the `ip` processes that flip), so that the
comparison is with the best that can be scripted around libvirt.
"""
from __future__ import annotations

import time

from . import hosts, plumbing, services
from .common import LabError
from .observe import Event, Watch
from .state import Lab, Vm


def migrate(lab: Lab, vm: Vm, to: str, rate: float) -> dict[str, object]:
    source = hosts.running_on(lab, vm.name)
    destination = lab.host(to)
    if source == to:
        raise LabError(f'{vm.name} runs on {to} already', 'name another host')
    for host in (source, to):
        if services.running(lab, host, 'agent'):
            raise LabError(f'an agent on {host} owns the routes', f'umbra-lab --lab {lab.name} agents stop')
    plumbing.receive_on(lab, vm, to)
    flip = plumbing.Flip(lab, vm, to)
    flipped: list[float] = []

    def heard(event: Event) -> None:
        if event.name == 'RESUME' and event.host == to and not flipped:
            flip()
            flipped.append(time.time())

    kept = [] if vm.transient else ['--persistent', '--undefinesource']
    try:
        with Watch(lab, vm, rate, heard) as watch:
            watch.ask()
            hosts.virsh(lab, source, 'migrate', '--live', *kept, vm.name, hosts.uri(lab, to),
                        '--migrateuri', f'tcp://{destination.address}', deadline=300)
            watch.done()
    finally:
        flip.close()
    return {'tool': 'virsh', 'from': source} | watch.result(to)
