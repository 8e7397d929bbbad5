"""Daemons inside nodes, known by the process id and start time that were recorded when they were started."""
from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from . import nodes
from .common import LabError, run, wait_until
from .state import Lab

# The shell records its own number in the node's PID namespace and becomes the daemon, which dumps its core beside its log.
RECORD_AND_BECOME = ('echo $$ > "$1.new" && mv "$1.new" "$1" && cd "${1%/*}" && shift && { ulimit -c unlimited 2>/dev/null || true; } '
                     '&& exec "$@"')
KEPT = ('*.log', 'core*', 'log/*.log', 'log/qemu/*.log', 'state/*.sqlite*', 'umbra.toml')


def _record(lab: Lab, node: str, service: str) -> Path:
    return lab.node_dir(node) / f'{service}.pid'


def log_of(lab: Lab, node: str, service: str) -> Path:
    return lab.node_dir(node) / f'{service}.log'


def _stat(lab: Lab, node: str, pid: str) -> list[str] | None:
    """Fields of the process after its name, from `state` on (proc(5)), by the node's own /proc."""
    if (anchor := nodes.anchor(lab, node)) is None:
        return None
    try:
        return Path(f'/proc/{anchor}/root/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return None


def start(lab: Lab, node: str, service: str, command: list[object]) -> None:
    if running(lab, node, service):
        return
    record = _record(lab, node, service)
    record.unlink(missing_ok=True)
    with open(log_of(lab, node, service), 'ab') as log:
        subprocess.Popen(nodes.inside(lab, node, 'setsid', '--fork', 'sh', '-c', RECORD_AND_BECOME, 'sh', record,
                                      *command),
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd='/').wait(10)
    wait_until(f'{service} on {node} starts', record.exists, deadline=10, every=0.01)
    pid = record.read_text().strip()
    if (stat := _stat(lab, node, pid)) is not None:
        record.write_text(f'{pid} {stat[19]}\n')
        (lab.node_dir(node) / f'{service}.command').write_text('\0'.join(map(str, command)))


def running(lab: Lab, node: str, service: str) -> int | None:
    """The daemon's process id in the node's PID namespace, if it runs."""
    try:
        pid, started = _record(lab, node, service).read_text().split()
    except (OSError, ValueError):
        return None
    stat = _stat(lab, node, pid)
    return int(pid) if stat and stat[19] == started and stat[0] not in 'ZX' else None


def keep_logs(lab: Lab, to: Path) -> None:
    """Copies what tells how it came to this, before the lab goes."""
    for node in sorted((lab.dir / 'nodes').iterdir()) if (lab.dir / 'nodes').is_dir() else ():
        for file in (file for pattern in KEPT for file in node.glob(pattern) if file.is_file()):
            copy = to / node.name / file.relative_to(node)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def known(lab: Lab, node: str) -> list[str]:
    return sorted(path.stem for path in lab.node_dir(node).glob('*.command'))


def restart(lab: Lab, node: str, service: str) -> None:
    """Starts it with the command it had before."""
    try:
        command = (lab.node_dir(node) / f'{service}.command').read_text().split('\0')
    except FileNotFoundError:
        raise LabError(f'{node} has no service {service}',
                       f"it has {', '.join(known(lab, node)) or 'none'}") from None
    start(lab, node, service, command)


def stop(lab: Lab, node: str, service: str, how: signal.Signals = signal.SIGTERM, deadline: float = 15) -> None:
    """Signals the daemon and waits for its end; one that does not heed SIGTERM in time is killed, as systemd would."""
    if (pid := running(lab, node, service)) is None:
        return
    run(nodes.inside(lab, node, 'kill', f'-{how.name[3:]}', pid), check=False)
    try:
        wait_until(f'{service} on {node} ends', lambda: running(lab, node, service) is None, deadline=deadline,
                   remedy=f'umbra-lab service {node} {service} kill')
    except LabError:
        if how != signal.SIGTERM:
            raise
        stop(lab, node, service, signal.SIGKILL, deadline)


def tail(lab: Lab, node: str, service: str, lines: int = 5) -> str:
    try:
        text = log_of(lab, node, service).read_text(errors='replace').strip()
    except FileNotFoundError:
        return ''
    return '\n'.join(text.splitlines()[-lines:])
