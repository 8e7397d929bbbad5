"""The peer: `virsh migrate --live`, with the routes flipped at the moment the destination resumes.

Everything that can be done beforehand is done beforehand (tap, neighbour, the `ip` processes that flip), so that the
comparison is with the best that can be scripted around libvirt. Tuned, it is with what an operator gets who knows QEMU's
dials: several connections, and so short a downtime asked for that QEMU goes on copying until next to nothing is left.
"""
from __future__ import annotations

import subprocess
import threading
import time

from . import hosts, plumbing, services
from .common import LabError
from .observe import Event, Watch
from .state import Lab, Vm

CONNECTIONS = 4
DOWNTIME = 20  # milliseconds
AGAIN = 0.05  # seconds; libvirt may refuse the limit before the job runs, and QEMU starts with its own


class Downtime:
    """Keeps the limit in force: one virsh that was started beforehand sets it again and again, and asks what is in force."""

    def __init__(self, lab: Lab, vm: Vm, host: str):
        self._vm, self._over = vm.name, threading.Event()
        self._virsh = subprocess.Popen(['virsh', '-q', '-c', hosts.uri(lab, host)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._setter = threading.Thread(target=self._set, daemon=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.in_force = 0  # milliseconds, as QEMU said last
        self._setter.start()
        self._reader.start()

    def _set(self) -> None:
        while True:
            try:
                self._virsh.stdin.write(f'migrate-setmaxdowntime {self._vm} {DOWNTIME}\nmigrate-getmaxdowntime {self._vm}\n')
                self._virsh.stdin.flush()
            except OSError:
                return
            if self._over.wait(AGAIN):
                return

    def _read(self) -> None:
        for line in self._virsh.stdout:
            if line.strip().isdigit():
                self.in_force = int(line)

    def close(self) -> None:
        self._over.set()
        self._setter.join(10)
        self._virsh.terminate()
        self._virsh.communicate(timeout=10)
        self._reader.join(10)


def migrate(lab: Lab, vm: Vm, to: str, rate: float, tuned: bool = False) -> dict[str, object]:
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

    kept = [] if vm.transient else ['--persistent', '--undefinesource']
    dials = ['--parallel', '--parallel-connections', CONNECTIONS] if tuned else []
    limit = Downtime(lab, vm, source) if tuned else None
    told: dict[str, object] = {'tool': 'virsh-tuned' if tuned else 'virsh', 'from': source}

    def heard(event: Event) -> None:
        if event.name == 'STOP' and limit:
            told['downtime_limit_ms'] = limit.in_force
        if event.name == 'RESUME' and event.host == to and not flipped:
            flip()
            flipped.append(time.time())

    try:
        with Watch(lab, vm, rate, heard) as watch:
            watch.ask()
            hosts.virsh(lab, source, 'migrate', '--live', *kept, *dials, vm.name, hosts.uri(lab, to),
                        '--migrateuri', f'tcp://{destination.address}', deadline=300)
            watch.done()
    finally:
        if limit:
            limit.close()
        flip.close()
    if limit and told['downtime_limit_ms'] != DOWNTIME:
        raise LabError(f"{vm.name} was migrated with a downtime limit of {told['downtime_limit_ms']} ms, and not of {DOWNTIME}")
    return told | watch.result(to)
