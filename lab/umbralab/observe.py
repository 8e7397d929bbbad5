"""Watches a guest's move from outside, the same way whatever moves it.

Seen are QEMU's own STOP and RESUME events with QEMU's own timestamps, a probe and a TCP session from the edge, and the
guest's canary. All hosts of a lab share the machine's clock, so these times may be compared.
"""
from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import guests, hosts, nodes
from .common import LabError, wait_until
from .state import Lab, Vm

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Event:
    host: str
    name: str  # STOP or RESUME
    at: float  # Unix seconds, by QEMU


class Events:
    """STOP and RESUME of one VM on all hosts. `heard` is called for each, by the thread that read it."""

    LINE = re.compile(r"event (\w+) at (\d+\.\d+) for domain '(.*?)'")

    def __init__(self, lab: Lab, vm: Vm, heard: Callable[[Event], None] = lambda event: None):
        self.events: list[Event] = []
        self._vm, self._heard = vm.name, heard
        self._watchers = []
        for host in lab.of_role('host'):
            watcher = subprocess.Popen(['stdbuf', '-oL', 'virsh', '-c', hosts.uri(lab, host.name), 'qemu-monitor-event',
                                        '--loop', '--regex', '--event', '^(STOP|RESUME)$'],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            reader = threading.Thread(target=self._read, args=(host.name, watcher), daemon=True)
            reader.start()
            self._watchers.append((watcher, reader))

    def _read(self, host: str, watcher: subprocess.Popen[str]) -> None:
        for line in watcher.stdout:
            if (found := self.LINE.match(line)) and found[3] == self._vm:
                event = Event(host, found[1], float(found[2]))
                self.events.append(event)
                self._heard(event)

    def close(self) -> None:
        for watcher, reader in self._watchers:
            watcher.terminate()
            watcher.wait(10)
            reader.join(10)


def start_probe(lab: Lab, vm: Vm, rate: float) -> subprocess.Popen[str]:
    return _on_edge(lab, 'probe.py', vm.address, '--rate', rate, '--seconds', 3600, '--replies')


def start_session(lab: Lab, vm: Vm, rate: float = 50) -> subprocess.Popen[str]:
    return _on_edge(lab, 'session.py', vm.address, '--rate', rate, '--seconds', 3600)


def _on_edge(lab: Lab, program: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(nodes.in_network_of(lab, guests.edge_of(lab), sys.executable, HERE / program, *words),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], deadline: float = 30) -> dict:
    """Ends a probe or session and returns its report."""
    process.terminate()
    try:
        text, _ = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        process.kill()
        raise LabError(f'{process.args[-1]} did not end within {deadline:g} s') from None
    return json.loads(text)


class Drops:
    """Packets for a guest that found its tap full, by host; looked at all the time, for the old host's tap goes with the guest."""

    EVERY = 0.05  # seconds

    def __init__(self, lab: Lab, vm: Vm):
        self._lines = {host.name: Path(f'/proc/{nodes.anchor(lab, host.name)}/net/dev') for host in lab.of_role('host')}
        self._tap, self._over = vm.tap, threading.Event()
        self._before = self._now()
        self.by_host = dict.fromkeys(self._before, 0)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _now(self) -> dict[str, int]:
        found = {}
        for host, file in self._lines.items():
            for line in file.read_text().splitlines():
                name, _, counters = line.partition(':')
                if name.strip() == self._tap:
                    found[host] = int(counters.split()[11])  # "drop" of what is transmitted
        return found

    def _read(self) -> None:
        while not self._over.wait(self.EVERY):
            self.by_host |= {host: count - self._before.get(host, 0) for host, count in self._now().items()}

    def close(self) -> None:
        self._over.set()
        self._reader.join(10)


class Watch:
    """One move, from before it is asked for until the guest has served for a while after it.

        with Watch(lab, vm) as watch:
            watch.ask()
            …                       # whatever moves the guest
        watch.result(destination)
    """

    SETTLE = 1.5  # seconds of probing before and after, to see the path whole

    def __init__(self, lab: Lab, vm: Vm, rate: float = 500, heard: Callable[[Event], None] = lambda event: None):
        self._lab, self._vm, self._rate, self._heard = lab, vm, rate, heard
        self._asked = self._done = 0.0

    def __enter__(self) -> Watch:
        self._drops = Drops(self._lab, self._vm)
        self._events = Events(self._lab, self._vm, self._heard)
        self._probe = start_probe(self._lab, self._vm, self._rate)
        self._session = start_session(self._lab, self._vm)
        time.sleep(self.SETTLE)
        return self

    def ask(self, at: float | None = None) -> None:
        """The move is asked for now, or was at that Unix time."""
        self._asked = at or time.time()

    def done(self) -> None:
        """Whatever moved the guest says that it has."""
        self._done = time.time()

    def __exit__(self, *failure: object) -> None:
        self._done = self._done or time.time()
        if failure[0] is None:
            time.sleep(self.SETTLE)
        self._drops.close()
        self._events.close()
        self._probe_report = finish(self._probe)
        self._session_report = finish(self._session)

    def result(self, destination: str) -> dict[str, object]:
        """What happened to the guest, as one JSON object. Waits for a canary report from after the move."""
        resumes = [event.at for event in self._events.events if event.name == 'RESUME' and event.host == destination]
        stops = [event.at for event in self._events.events
                 if event.name == 'STOP' and event.host != destination and resumes and event.at < resumes[-1]]
        if not stops:
            raise LabError(f'{self._vm.name} was not seen to stop and to resume on {destination}',
                           f'see {self._lab.node_dir(destination)}/log')
        stop, resume = stops[-1], resumes[-1]
        served = [at for at in self._probe_report['replies'] if at > resume]
        return {'vm': self._vm.name, 'to': destination,
                'total_ms': round((self._done - self._asked) * 1000, 1),
                'blackout_ms': round((resume - stop) * 1000, 2),
                'resumed_ms': round((resume - self._asked) * 1000, 1), 'stop_at': stop, 'resume_at': resume,
                'reach_ms': round((served[0] - self._asked) * 1000, 1) if served else None,
                **{key: self._probe_report[key] for key in ('sent', 'lost', 'skipped', 'dropped', 'losses', 'longest_gap_ms')},
                'tap_dropped': self._drops.by_host,
                'canary_bad': self._canary_bad(resume),
                'tcp_survived': self._session_report['survived'],
                'tcp_longest_wait_ms': self._session_report['longest_wait_ms']}

    def _canary_bad(self, since: float) -> int | None:
        if not self._vm.canary:
            return None
        # The guest's clock is behind by no more than its pauses, so a second of margin covers many moves.
        report = wait_until(f'the canary of {self._vm.name} reports after the move', lambda: self._report_since(since + 1),
                            deadline=30, every=0.2, remedy=f'umbra-lab --lab {self._lab.name} vm console {self._vm.name}')
        return report['bad']

    def _report_since(self, moment: float) -> dict | None:
        report = guests.canary(self._lab, self._vm)
        return report if report['at'] > moment else None
