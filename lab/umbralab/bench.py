"""What the measurements of bench/ have in common: a lab of their own, and how its agents are told what is measured."""
from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from . import cli, guests, ready, state
from .common import LabError, say
from .state import Lab

OWN = 160  # MiB that the guest's kernel and its root file system need


def most_of(memory_mib: int) -> int:
    """MiB of a guest that are in use: three quarters, or what a small one can spare."""
    return max(1, min(memory_mib * 3 // 4, memory_mib - OWN))


def settings(guest: str, *, monitor: bool, stream: str | None, channels: int | None) -> Iterator[str]:
    """What the lab's agents are told."""
    if monitor:  # the guest has one of its own, which other hosts do not take unasked
        argument = ' '.join(word.format(vm=argparse.Namespace(name=guest)) for word in guests.MONITOR_ARGUMENTS)
        yield f'agent.shadow.allowed_qemu_arguments={json.dumps([argument])}'
    if stream:
        yield f'agent.migration.stream={json.dumps(stream)}'
    if channels:
        yield f'agent.migration.channels={channels}'


def _interrupted(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def in_a_lab(told: Iterable[str], measure: Callable[[Lab], dict], report: Path | None) -> int:
    """Measures in a lab of its own, which goes in any case. @return the program's exit status"""
    signal.signal(signal.SIGTERM, _interrupted)
    name = f'bench_{os.getpid()}'

    def run_lab(*words: str) -> None:
        asked = cli.parser().parse_args(['--lab', name, *words])
        asked.action_of(asked)

    try:
        ready.prepare()
        try:
            run_lab('up', *(word for setting in told for word in ('--set', setting)))
            found = measure(state.load(name))
        except LabError:
            logs = tempfile.mkdtemp(prefix='umbra-bench-')
            say(f'keeping the logs of the lab in {logs}')
            run_lab('down', '--logs', logs)
            raise
        finally:
            run_lab('down')
    except LabError as error:
        say(f'{error}' + (f'; {error.remedy}' if error.remedy else ''))
        return 1
    except KeyboardInterrupt:
        return 130
    if report:
        report.write_text(json.dumps(found, indent=1) + '\n')
    return 0
