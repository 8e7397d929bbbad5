"""What processes cost, by /proc (proc(5))."""
from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from . import fleet, nodes
from .common import LabError
from .state import Lab, Vm

TICK = os.sysconf('SC_CLK_TCK')


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads, also of those that ended."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mib(pid: int) -> float:
    return int(re.search(r'^VmRSS:\s+(\d+) kB', Path(f'/proc/{pid}/status').read_text(), re.M)[1]) / 1024


def guest_process(lab: Lab, vm: Vm, host: str) -> int:
    """The guest's QEMU on that host; its command line names the guest."""
    waiting, wanted = [nodes.anchor(lab, host)], f'guest={vm.name},'.encode()
    while waiting:
        pid = waiting.pop()
        try:
            words = Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
            if any(word.startswith(wanted) for word in words):
                return pid
            waiting += fleet.children(pid)
        except OSError:
            continue  # ended meanwhile
    raise LabError(f'{vm.name} has no QEMU on {host}')


@dataclass(frozen=True)
class Reading:
    at: float
    seconds: dict[str, float]

    def percent_since(self, before: 'Reading') -> dict[str, float]:
        """Of one core."""
        return {name: round(100 * (self.seconds[name] - before.seconds[name]) / (self.at - before.at), 2)
                for name in self.seconds}


def read(pids: dict[str, int]) -> Reading:
    return Reading(time.monotonic(), {name: cpu_seconds(pid) for name, pid in pids.items()})


def over(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """Percent of a core of each process over that time from now."""
    before = read(pids)
    time.sleep(seconds)
    return read(pids).percent_since(before)
