"""What a program needs that is started on a bare machine: packages, and Umbra built."""
from __future__ import annotations

import os
import subprocess

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


def _do(what: str, command: list[object]) -> None:
    """Runs it, and shows what it said only if it failed."""
    done = subprocess.run(list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        tail = '\n'.join(done.stdout.splitlines()[-30:])
        raise LabError(f"{what} failed:\n{tail}", f"try it by hand: {' '.join(map(str, command))}")
