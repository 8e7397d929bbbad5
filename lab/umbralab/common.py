"""What every part of the lab uses: errors that say what to do, commands with deadlines, waiting, progress lines."""
from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / 'lab' / '.cache'


class LabError(Exception):
    """Something the user can act upon: what went wrong, and what to do."""

    def __init__(self, cause: str, remedy: str = ''):
        super().__init__(cause)
        self.remedy = remedy


def say(text: str) -> None:
    """A line of progress; standard output is kept for results."""
    print(f'umbra-lab: {text}', file=sys.stderr, flush=True)


def run(command: Sequence[object], *, deadline: float = 30, check: bool = True, text: str | None = None,
        env: dict[str, str] | None = None) -> str:
    """Runs a command to its end and returns its standard output."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=text, stdin=None if text is not None else subprocess.DEVNULL, env=env,
                              capture_output=True, text=True, timeout=deadline)
    except subprocess.TimeoutExpired:
        raise LabError(f"no end of `{' '.join(words)}` within {deadline:g} s") from None
    except FileNotFoundError:
        raise LabError(f'{words[0]} is not installed', 'run packaging/install-packages as root') from None
    if check and done.returncode != 0:
        raise LabError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip() or done.returncode}")
    return done.stdout


def wait_until(what: str, ready: Callable[[], object], *, deadline: float, remedy: str = '', every: float = 0.05):
    """Polls until `ready` returns something true, and returns that; LabError when the deadline has passed."""
    end = time.monotonic() + deadline
    while not (result := ready()):
        if time.monotonic() > end:
            raise LabError(f'{what}: not within {deadline:g} s', remedy)
        time.sleep(every)
    return result


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Holds the file's lock; it is let go when this process ends, however it ends. Who holds it may delete the file."""
    while (file := _lock(lock)) is None:
        pass
    with file:
        yield


def _lock(path: Path) -> TextIO | None:
    """None if the file was deleted, by who held it before, while we waited."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, 'w')
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
        file.close()
    except FileNotFoundError:
        pass
    return None
