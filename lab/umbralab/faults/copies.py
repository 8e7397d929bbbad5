"""How many copies of a guest run, told from the outside at 100 Hz.

libvirt is too slow to be asked that often and may be the one that is struck, and its monitor socket has room for one. But a QEMU whose
guest is stopped gives its virtual CPU's thread nothing to do, and the lab's guest is never idle: it rewrites memory and writes
blocks fifty times a second. So a copy ran in a sample if its CPU threads used the processor for more than USED
(/proc/PID/task/TID/schedstat, nanoseconds). A guest moves once from one QEMU to another: a QEMU that runs after another has run since
is a second copy, or old memory. That holds however long a sample took on a busy machine.
A run counts from SURE samples on, and without a QEMU's last second (LAST), in which it is being ended.

What is too short for that is found by the numbers of blocks: each is told on the console once, and one that is told twice was written
by two copies (ledger.py).
"""
from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

from ..state import Lab
from .power import qemu_of

INTERVAL = 0.01
USED = 0.002  # seconds in a sample; a stopped CPU's thread is woken now and then for microseconds
SURE = 3  # samples: a QEMU that starts or ends has its CPU's thread do a little, whether its guest runs or not
LAST = 1.0  # seconds
STARTING = 2.0  # a QEMU's first seconds: it sets its CPUs up, whether its guest will run or not
LOOK = 0.2  # between looks for QEMUs that started


class Copies:
    def __init__(self, lab: Lab, vm: str):
        self._lab, self._vm = lab, vm
        self._hosts = [host.name for host in lab.of_role('host')]
        self._stop = threading.Event()
        self._seen: dict[int, float] = {}
        self._at_first = {qemu_of(lab, host, vm) for host in self._hosts}
        self._ran: list[tuple[float, list[int]]] = []  # when which QEMUs did
        self._alive: dict[int, float] = {}  # when each QEMU was last seen
        self.samples = 0
        self.longest_sample = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _threads(self) -> dict[int, list[Path]]:
        """Of the CPUs of each QEMU that has the guest."""
        found = {}
        for host in self._hosts:
            if (pid := qemu_of(self._lab, host, self._vm)) is None:
                continue
            first = self._seen.setdefault(pid, time.monotonic())
            if pid not in self._at_first and time.monotonic() - first < STARTING:
                continue
            with contextlib.suppress(OSError):
                found[pid] = [task / 'schedstat' for task in Path(f'/proc/{pid}/task').iterdir()
                              if (task / 'comm').read_text().startswith('CPU ')]
        return found

    def _run(self) -> None:
        threads = self._threads()
        used: dict[int, int] = {}
        looked = before = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            if now - looked > LOOK:
                looked, threads = now, self._threads()
            ran = []
            for pid, files in threads.items():
                try:
                    total = sum(int(file.read_text().split()[0]) for file in files)
                except (OSError, IndexError):
                    continue
                if total - used.get(pid, total) > USED * 1e9:
                    ran.append(pid)
                used[pid] = total
                self._alive[pid] = now
            if ran:
                self._ran.append((now, ran))
            self.samples += 1
            self.longest_sample = max(self.longest_sample, now - before)
            before = now
            time.sleep(max(0.0, INTERVAL - (time.monotonic() - now)))

    @property
    def most(self) -> int:
        """Copies that ran, once this is closed."""
        end = max(self._alive.values(), default=0.0)
        gone = {pid: at for pid, at in self._alive.items() if at < end - LAST}
        samples = [[pid for pid in ran if pid not in gone or at < gone[pid] - LAST] for at, ran in self._ran]
        if sum(len(ran) > 1 for ran in samples) >= SURE:
            return 2
        runs: list[list[int]] = []  # a QEMU, and in how many samples in a row it ran alone
        for pid in (ran[0] for ran in samples if len(ran) == 1):
            if runs and runs[-1][0] == pid:
                runs[-1][1] += 1
            else:
                runs.append([pid, 1])
        order = [pid for pid, times in runs if times >= SURE]
        changes = [pid for pid, before in zip(order, [0, *order]) if pid != before]
        return min(1, len(changes)) + (len(changes) > len(set(changes)))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
