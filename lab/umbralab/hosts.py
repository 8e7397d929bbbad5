"""The libvirt of each host: configuration, start, and asking it things with virsh."""
from __future__ import annotations

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import nodes, services
from .common import CACHE, LabError, alone, run, wait_until
from .state import Lab, Node

EMULATOR = '/usr/bin/qemu-system-x86_64'
# What QEMU can do, as libvirt found out. Finding out takes seconds; libvirt itself discards an entry of another QEMU,
# libvirt or kernel, so a copy from an earlier lab is safe.
PROBED = CACHE / 'libvirt-capabilities'
PROBED_LOCK = CACHE / 'libvirt-capabilities.lock'

# As the distribution installs it: QEMU runs as libvirt-qemu, and libvirt changes and restores the ownership of what QEMU opens.
# What is relaxed has its reason beside it.
QEMU_CONF = '''user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 1
remember_owner = 1
shared_filesystems = [ "{shared}" ]
security_driver = "none" # no AppArmor in namespaces; DAC stays in force
cgroup_controllers = [ ] # nodes share the machine's cgroups, which may be read-only
stdio_handler = "file" # no virtlogd on the nodes; the lab reads consoles whole, not the last 2 MiB
max_core = 0
'''
LIBVIRTD_CONF = '''auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
'''


def prepare(lab: Lab, host: Node) -> None:
    """The host's own /etc/libvirt, and libvirt's knowledge of QEMU if it was gained before. Before the node's start."""
    directory = lab.node_dir(host.name)
    for part in ('etc', 'cache/qemu', 'log/qemu', 'lib/qemu'):
        (directory / part).mkdir(parents=True, exist_ok=True)
    (directory / 'etc/qemu.conf').write_text(QEMU_CONF.format(shared=lab.shared))
    (directory / 'etc/libvirtd.conf').write_text(LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
    with alone(PROBED_LOCK):
        if PROBED.is_dir():
            shutil.copytree(PROBED, directory / 'cache/qemu/capabilities', dirs_exist_ok=True)


def start(lab: Lab, hosts: list[Node]) -> None:
    """Starts libvirtd on these hosts and waits until each has answered a question about QEMU."""
    for host in hosts:
        services.start(lab, host.name, 'libvirtd', ['/usr/sbin/libvirtd'])
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: await_ready(lab, host.name), hosts))
    _keep_probed(lab, hosts[0])


def await_ready(lab: Lab, host: str) -> None:
    """Until libvirtd has said what QEMU can do. The socket may be there before, left over from one that was killed."""
    question = ('domcapabilities', '--virttype', 'qemu', '--emulatorbin', EMULATOR, '--machine', 'q35')
    wait_until(f'libvirtd on {host} answers', lambda: virsh(lab, host, *question, deadline=60, check=False), deadline=60,
               remedy=f"see {lab.node_dir(host) / 'log/libvirtd.log'} and {services.log_of(lab, host, 'libvirtd')}")


def _keep_probed(lab: Lab, host: Node) -> None:
    found = lab.node_dir(host.name) / 'cache/qemu/capabilities'
    with alone(PROBED_LOCK):
        for entry in found.glob('*.xml'):  # named by a hash of the emulator's path
            PROBED.mkdir(exist_ok=True)
            shutil.copy2(entry, PROBED)


def uri(lab: Lab, host: str) -> str:
    """Reaches the host's libvirtd from anywhere on this machine, also from inside other nodes."""
    return f"qemu+unix:///system?socket={lab.node_dir(host) / 'run/libvirt/libvirt-sock'}"


def virsh(lab: Lab, host: str, *words: object, deadline: float = 30, check: bool = True, text: str | None = None) -> str:
    return run(['virsh', '-q', '-c', uri(lab, host), *words], deadline=deadline, check=check, text=text)


def domains(lab: Lab, host: str) -> dict[str, str]:
    """State of each domain on the host, as `virsh list` words it; empty if its libvirtd does not answer."""
    if nodes.anchor(lab, host) is None or not services.running(lab, host, 'libvirtd'):
        return {}
    rows = (line.split(maxsplit=2) for line in virsh(lab, host, 'list', '--all', check=False).splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3}


def whereabouts(lab: Lab) -> dict[str, dict[str, str]]:
    """State by host by VM: a shadow is seen as a paused domain on its standby host."""
    found: dict[str, dict[str, str]] = {}
    names = [host.name for host in lab.of_role('host')]
    with ThreadPoolExecutor() as pool:
        for host, listed in zip(names, pool.map(lambda name: domains(lab, name), names)):
            for vm, state in listed.items():
                found.setdefault(vm, {})[host] = state
    return found


def running_on(lab: Lab, vm: str) -> str:
    """The host on which the VM runs."""
    places = whereabouts(lab).get(vm, {})
    for host, state in places.items():
        if state == 'running':
            return host
    seen = ', '.join(f'{state} on {host}' for host, state in places.items()) or 'on no host'
    raise LabError(f'{vm} is not running: {seen}', f'umbra-lab vm add {vm} starts one; vm stop {vm} clears it away')


def other(lab: Lab, host: str) -> str:
    """Another host than this one."""
    return next(node.name for node in lab.of_role('host') if node.name != host)


def console_logs(lab: Lab, vm: str) -> list[Path]:
    """What the VM wrote on its console, a file for each host it has been on."""
    files = [lab.node_dir(host.name) / f'log/qemu/{vm}-console.log' for host in lab.of_role('host')]
    return [file for file in files if file.exists()]
