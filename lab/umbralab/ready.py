"""What a program needs that is started on a bare machine: packages, and Umbra built."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque

from .common import ROOT, LabError, say
from .umbra import PROGRAMS


def prepare() -> None:
    """Installs packages and builds what is missing or out of date; nothing is built when $UMBRA_BIN names a build."""
    if os.geteuid() != 0:
        raise LabError('packages and namespaces need root', 'run it as root')
    _do('packages', [ROOT / 'packaging/install-packages'])
    if 'UMBRA_BIN' in os.environ:
        return
    if not (ROOT / 'build/dev/build.ninja').exists():
        _do('configuring', ['cmake', '--preset', 'dev'])
    say('building what is out of date; from nothing that takes minutes')
    _do('the build', ['cmake', '--build', '--preset', 'dev', '-j2', '--target', *PROGRAMS])
    os.environ['UMBRA_BIN'] = str(ROOT / 'build/dev/bin')


STEP = re.compile(r'\[(\d+)/(\d+)\] ')  # of ninja


class Steps:
    """How far a build is: in place on a terminal, every tenth of it elsewhere."""

    def __init__(self) -> None:
        self._tenth = 0

    def saw(self, line: str) -> None:
        if not (step := STEP.match(line)):
            return
        done, total = int(step[1]), int(step[2])
        if sys.stderr.isatty():
            print(f'\r{done} of {total}', end='\n' if done == total else '', file=sys.stderr, flush=True)
        elif done * 10 // total > self._tenth:
            self._tenth = done * 10 // total
            say(f'{done} of {total}')


def _do(what: str, command: list[object]) -> None:
    """Runs it, shows how far a build is, and what was said only if it failed."""
    steps, last = Steps(), deque(maxlen=30)
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as running:
        for line in running.stdout:
            last.append(line)
            steps.saw(line)
    if running.returncode != 0:
        raise LabError(f"{what} failed:\n{''.join(last)}", f"try it by hand: {' '.join(map(str, command))}")
