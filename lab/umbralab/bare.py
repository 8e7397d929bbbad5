"""The limit: the hold and the cutover by QMP alone, in one process, without agents, libvirt's monitor or a network in between.

What any tool could reach that moves a guest by a held pre-copy. Both QEMUs have a monitor of their own (`Vm.monitor`), and the
stream goes by unix sockets through a gate in this process, which reads or does not: nothing waits for QEMU's rate limiter.
Libvirt makes the paused destination, and is left with an ordinary guest there. Routes are flipped as in peer.py, at RESUME.
"""
from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import guests, hosts, plumbing, services
from .common import LabError
from .observe import Watch
from .state import Lab, Vm

HELD_BY = 'switchover-ack'  # of the source alone: the acknowledgement cannot come (agentd/shadow/hold.cpp)
BOTH_SIDES = ('return-path', 'events', 'pause-before-switchover', 'late-block-activate')
REST = 0.02  # seconds between two passes of a hot hold
DEADLINE = 60.0  # seconds, of one answer or event
CHUNK = 1 << 18
COPY_PORT = 49899


class Monitor:
    """One connection to a QEMU, for one thread at a time."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile('rb')
        self._events: list[dict] = []
        self._read()  # the greeting
        self.ask('qmp_capabilities')

    def _read(self) -> dict:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise LabError(f'QEMU did not answer within {DEADLINE:g} s') from None
        if not line:
            raise LabError('QEMU ended, or closed its monitor')
        return json.loads(line)

    def send(self, command: str, **arguments: object) -> None:
        named = {key.replace('_', '-'): value for key, value in arguments.items()}
        self._socket.sendall(json.dumps({'execute': command, 'arguments': named}).encode() + b'\n')

    def ask(self, command: str, **arguments: object) -> dict:
        self.send(command, **arguments)
        while 'return' not in (message := self._read()):
            if 'error' in message:
                raise LabError(f"{command}: {message['error']['desc']}")
            self._events.append(message)
        return message['return']

    def forget(self) -> None:
        """Events so far are of no interest."""
        self._events.clear()

    def await_event(self, name: str, status: str = '') -> None:
        while True:
            while self._events:
                event = self._events.pop(0)
                if event.get('event') != name and event.get('data', {}).get('status') != 'failed':
                    continue
                if (found := event.get('data', {}).get('status', '')) in ('failed', 'cancelled') and found != status:
                    raise LabError(f'the migration has {found}')
                if not status or found == status:
                    return
            message = self._read()
            if 'error' in message:
                raise LabError(message['error']['desc'])
            self._events.append(message)

    def copied_once(self, begins: Callable[[], None]) -> float:
        """Waits for the first pass over the memory; begins() is called when its migration has been set up.
        @return seconds since then, by QEMU's own clock"""
        began = None
        while True:
            message = self._read()
            at = message.get('timestamp', {'seconds': 0, 'microseconds': 0})
            now = at['seconds'] + at['microseconds'] / 1e6
            status = message.get('data', {}).get('status')
            if message.get('event') == 'MIGRATION' and status == 'setup':
                began = now
                begins()
            elif message.get('event') == 'MIGRATION' and status in ('failed', 'cancelled'):
                raise LabError(f'the migration has {status}')
            elif message.get('event') == 'MIGRATION_PASS' and message['data']['pass'] >= 2 and began:
                return now - began

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Gate:
    """Between the two QEMUs: what the source sends is read while the gate is open; what the destination says always is."""

    def __init__(self, here: Path, there: Path):
        self._there, self._open, self._ends = there, threading.Event(), []
        here.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(here))
        os.chmod(here, 0o666)  # QEMU runs as another user
        self._listener.listen(1)
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self) -> None:
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(self._there))
        self._ends = [near, far]
        threading.Thread(target=self._pump, args=(near, far, self._open), daemon=True).start()
        threading.Thread(target=self._pump, args=(far, near, None), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, gate: threading.Event | None) -> None:
        try:
            while True:
                if gate:
                    gate.wait()
                data = source.recv(CHUNK)
                if not data:
                    break
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of both has ended

    def close(self) -> None:
        self.open()
        for end in (self._listener, *self._ends):
            end.close()


def held(source: Monitor, destination: Monitor) -> None:
    """Both are told what a hold needs; nothing but the missing acknowledgement holds it."""
    for monitor, has in ((source, True), (destination, False)):
        monitor.ask('migrate-set-capabilities', capabilities=[{'capability': name, 'state': True} for name in BOTH_SIDES] +
                    [{'capability': HELD_BY, 'state': has}, {'capability': 'multifd', 'state': False}])
    source.ask('migrate-set-parameters', max_bandwidth=0, downtime_limit=1)


class Hold:
    """A hot shadow of a guest: a pass over what was dirtied, a rest, and so on, by a thread of its own until released."""

    def __init__(self, lab: Lab, vm: Vm, source: str, to: str):
        self.source, self.destination = Monitor(guests.monitor(lab, vm, source)), Monitor(guests.monitor(lab, vm, to))
        inside, outside = '/var/lib/libvirt/qemu', 'lib/qemu'
        there = f'{vm.name}.incoming'
        self._gate = Gate(lab.node_dir(source) / outside / f'{vm.name}.outgoing', lab.node_dir(to) / outside / there)
        held(self.source, self.destination)
        self.destination.ask('migrate-incoming', uri=f'unix:{inside}/{there}')
        self._gate.open()
        self.source.ask('migrate', uri=f'unix:{inside}/{vm.name}.outgoing')
        for _ in range(2):
            self.source.await_event('MIGRATION_PASS')
        self._gate.shut()
        self._over, self._failure = threading.Event(), None
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _pass(self) -> None:
        self.source.forget()
        self._gate.open()
        self.source.await_event('MIGRATION_PASS')

    def _keep(self) -> None:
        try:
            while not self._over.wait(REST):
                self._pass()
                self._gate.shut()
        except LabError as failure:
            self._failure = failure

    def release(self) -> dict[str, float]:
        """One pass more, and the guest runs there. @return milliseconds from the call to each step"""
        begun, steps = time.monotonic(), {}

        def done(step: str) -> None:
            steps[step] = round((time.monotonic() - begun) * 1000, 2)

        self._over.set()
        self._keeper.join()
        if self._failure:
            raise self._failure
        self._pass()
        done('caught up')
        self.source.ask('stop')
        done('stopped')
        self.source.await_event('MIGRATION', 'pre-switchover')
        done('last pages sent')
        self.source.send('migrate-continue', state='pre-switchover')
        self.destination.await_event('MIGRATION', 'completed')
        done('memory complete')
        self.destination.send('cont')
        self.destination.await_event('RESUME')
        done('resumed')
        return steps

    def close(self) -> None:
        self._over.set()
        self._gate.close()
        self._keeper.join(DEADLINE)
        self.source.close()
        self.destination.close()


def paused_xml(live: str) -> str:
    """The domain as a QEMU that waits for the memory of the one it was read from.

    Edited as text: libvirt keeps metadata whole only where each part declares its own namespace, as its own XML does."""
    text = re.sub(r"<domain ([^>]*?) ?id='\d+'", r'<domain \1', live, count=1)
    text = re.sub(r"\n *<seclabel type='dynamic'[^>]*(?<!/)>.*?</seclabel>|\n *<seclabel type='dynamic'[^>]*/>", '', text, flags=re.DOTALL)
    if "value='-incoming'" in text:  # it has moved before
        return text
    return text.replace('</qemu:commandline>', ''.join(f"<qemu:arg value='{value}'/>" for value in ('-incoming', 'defer')) +
                        '</qemu:commandline>')


def stage(lab: Lab, vm: Vm, to: str) -> str:
    """A paused QEMU that waits there. @return the host on which the guest runs"""
    source = hosts.running_on(lab, vm.name)
    lab.host(to)
    if not vm.monitor or vm.transient:
        raise LabError(f'{vm.name} is transient, or has no monitor of its own', 'add it as bench/cutover does')
    for host in (source, to):
        if services.running(lab, host, 'agent'):
            raise LabError(f'an agent on {host} owns the routes', f'umbra-lab --lab {lab.name} agents stop')
    plumbing.receive_on(lab, vm, to)
    live = hosts.virsh(lab, source, 'dumpxml', '--migratable', '--security-info', vm.name)
    hosts.virsh(lab, to, 'create', '--paused', '/dev/stdin', text=paused_xml(live))
    return source


def first_copy(lab: Lab, vm: Vm, to: str, begins: Callable[[], None]) -> float:
    """QEMU's own stream, unencrypted and in one TCP connection, until all of the memory has gone over it once; begins() is called
    when it has been set up. @return seconds"""
    source = stage(lab, vm, to)
    here = there = None
    try:
        here, there = Monitor(guests.monitor(lab, vm, source)), Monitor(guests.monitor(lab, vm, to))
        held(here, there)
        uri = f'tcp:{lab.node(to).address}:{COPY_PORT}'
        there.ask('migrate-incoming', uri=uri)
        here.send('migrate', uri=uri)
        took = here.copied_once(begins)
        here.send('migrate_cancel')
        here.await_event('MIGRATION', 'cancelled')
        return took
    finally:
        for monitor in (here, there):
            if monitor:
                monitor.close()
        hosts.virsh(lab, to, 'destroy', vm.name, check=False)


def migrate(lab: Lab, vm: Vm, to: str, rate: float) -> dict[str, object]:
    source = hosts.running_on(lab, vm.name)
    kept = hosts.virsh(lab, source, 'dumpxml', '--inactive', '--security-info', vm.name)
    stage(lab, vm, to)
    flip = plumbing.Flip(lab, vm, to)
    hold, moved = None, False
    try:
        begun = time.monotonic()
        hold = Hold(lab, vm, source, to)
        warmed = round(time.monotonic() - begun, 2)
        with Watch(lab, vm, rate) as watch:
            watch.ask()
            steps = hold.release()
            flip()
            moved = True
            watch.done()
    finally:
        flip.close()
        if hold:
            hold.close()
        if not moved:
            hosts.virsh(lab, to, 'destroy', vm.name, check=False)
    hosts.virsh(lab, to, 'define', '/dev/stdin', text=kept)
    hosts.virsh(lab, source, 'destroy', vm.name)
    hosts.virsh(lab, source, 'undefine', vm.name)
    return {'tool': 'bare', 'from': source, 'warmed_s': warmed, 'steps_ms': steps} | watch.result(to)
