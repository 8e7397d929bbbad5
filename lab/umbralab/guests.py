"""Guests: their definition, start and end, their console, and what their canary says."""
from __future__ import annotations

import contextlib
import os
import re
import sys
import uuid
from pathlib import Path

from . import hosts, nodes, plumbing, storage
from .common import ROOT, LabError, run, say, wait_until
from .state import Lab, Vm, changing

XML = '''<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{vm.name}</name>
  <uuid>{vm.uuid}</uuid>
  <metadata>
    <umbra:vm xmlns:umbra='https://umbra.invalid/vm/1'><umbra:address>{vm.address}</umbra:address>{shared}</umbra:vm>
  </metadata>
  <memory unit='MiB'>{vm.memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{guest}/vmlinuz</kernel>
    <initrd>{guest}/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet ip4={vm.address}{canary}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <on_reboot>restart</on_reboot>
  <devices>
    <emulator>{emulator}</emulator>
    <interface type='ethernet'>
      <mac address='{vm.mac}'/>
      <target dev='{vm.tap}' managed='no'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'><log file='/var/log/libvirt/qemu/{vm.name}-console.log' append='on'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='virtio'/>{disk}
  </devices>{monitor}
</domain>
'''

# Where its QEMU listens, as the host sees it; who asks from outside finds it below the host's directory of the lab.
MONITOR = 'lib/qemu/{vm.name}.monitor'
MONITOR_ARGUMENTS = ('-qmp', 'unix:/var/lib/libvirt/qemu/{vm.name}.monitor,server=on,wait=off')

DISK = '''
    <disk type='file'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='{image}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='{medium}'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>'''

PROBE = Path(__file__).resolve().parent / 'probe.py'
HIGHEST_GUEST = 250  # 10.50.0.N


def add(lab_name: str, name: str, *, host: str | None, memory_mib: int, canary: str, transient: bool,
        disk: str = '', monitor: bool = False, wait: bool = True) -> Vm:
    """Starts a guest and waits until it answers through the edge."""
    if not re.fullmatch(r'[a-zA-Z0-9][a-zA-Z0-9._-]{0,30}', name):
        raise LabError(f"'{name}' is no name for a VM", 'use letters, digits, dot, hyphen and underscore')
    if canary and not re.fullmatch(r'[1-9][0-9]*:[0-9]+', canary):
        raise LabError(f"'{canary}' is no canary", 'write MIB:PAGES, like 96:256 for 96 MiB and about 50 MB/s')
    size = storage.size_of(disk)
    image = run([ROOT / 'lab/guest/build'], deadline=300).strip()
    with changing(lab_name) as lab:
        if name in lab.vms:
            raise LabError(f'there is a VM {name} already', f'umbra-lab vm stop {name}')
        taken = {vm.number for vm in lab.vms.values()}
        number = next((n for n in range(1, HIGHEST_GUEST) if n not in taken), None)
        if number is None:
            raise LabError('no address is left for another VM', 'stop one: umbra-lab vm stop NAME')
        home = lab.host(host or lab.of_role('host')[0].name).name
        vm = lab.vms[name] = Vm(name, number, str(uuid.uuid4()), home, memory_mib, canary, transient, size, monitor)
    try:
        _start(lab, vm, image)
        if wait:
            await_up(lab, vm)
    except BaseException:
        stop(lab_name, name)
        raise
    return vm


def _start(lab: Lab, vm: Vm, image: str) -> None:
    if lab.bare:
        plumbing.receive_on(lab, vm, vm.home)
        plumbing.point(lab, vm, vm.home)
    else:
        plumbing.add_tap(lab, vm, vm.home)
    canary = f' canary={vm.canary}' if vm.canary else ''
    disk, shared = (DISK.format(image=storage.create(lab, vm), medium=storage.medium(lab, vm)), '<umbra:shared-disks/>') if vm.disk else ('', '')
    monitor = ''.join(f"<qemu:arg value='{argument}'/>" for argument in monitor_arguments(vm)) if vm.monitor else ''
    definition = XML.format(vm=vm, guest=image, canary=canary, emulator=hosts.EMULATOR, disk=disk, shared=shared,
                            monitor=f'\n  <qemu:commandline>{monitor}</qemu:commandline>' if monitor else '')
    if vm.transient:
        hosts.virsh(lab, vm.home, 'create', '/dev/stdin', text=definition)
    else:
        hosts.virsh(lab, vm.home, 'define', '/dev/stdin', text=definition)
        hosts.virsh(lab, vm.home, 'start', vm.name)


def monitor_arguments(vm: Vm) -> list[str]:
    """What its QEMU is started with for a monitor of its own; Umbra's agents have to be told to take it."""
    return [argument.format(vm=vm) for argument in MONITOR_ARGUMENTS]


def monitor(lab: Lab, vm: Vm, host: str) -> Path:
    return lab.node_dir(host) / MONITOR.format(vm=vm)


def await_up(lab: Lab, vm: Vm) -> None:
    console = f'umbra-lab --lab {lab.name} vm console {vm.name}'
    wait_until(f'{vm.name} boots', lambda: f'guest-up {vm.address}' in log(lab, vm), deadline=90, every=0.2, remedy=console)
    say(f'{vm.name} is up on {vm.home}; waiting for it to answer through the edge')
    try:
        run(nodes.in_network_of(lab, edge_of(lab), sys.executable, PROBE, vm.address, '--first', 30), deadline=45)
    except LabError:
        raise LabError(f'{vm.name} runs, but does not answer through the edge',
                       f'look at its console ({console}) and at `ip route` on edge1 and {vm.home}') from None


def edge_of(lab: Lab) -> str:
    if edges := lab.of_role('edge'):
        return edges[0].name
    raise LabError('this lab has no edge', 'start it with --edges 1')


def stop(lab_name: str, name: str) -> None:
    """Ends the guest wherever it is, shadows too, and forgets it."""
    with changing(lab_name) as lab:
        vm = lab.vms.pop(lab.vm(name).name)
    for host, state in hosts.whereabouts(lab).get(name, {}).items():
        if state != 'shut off':
            hosts.virsh(lab, host, 'destroy', name, check=False)
        hosts.virsh(lab, host, 'undefine', name, check=False)
    if lab.bare:
        plumbing.forget(lab, vm)
    else:
        for host in lab.of_role('host'):
            plumbing.remove_tap(lab, vm, host.name)
    for file in hosts.console_logs(lab, name):
        file.unlink(missing_ok=True)
    storage.remove(lab, vm)


STAMP = re.compile(r'\b(\d{10}\.\d{3}) ')
ESCAPES = re.compile(r'\x1b\[[0-9;]*[A-Za-z]|\r')
PROMPT = 'guest# '
OTHERS = re.compile(r'(\d{10}\.|\[ *\d+\.)\d+\]? [^\n]*\n')  # lines of the guest's programs and of its kernel


def log(lab: Lab, vm: Vm) -> str:
    """What the guest wrote on its console, in the order in which it wrote it, whichever hosts it was on.

    The order is by the guest's own clock, which goes on across a move; a line without a stamp stays with its neighbours."""
    lines: list[tuple[float, str]] = []
    for file in hosts.console_logs(lab, vm.name):
        text = ESCAPES.sub('', file.read_text(errors='replace'))
        at = float(first[1]) if (first := STAMP.search(text)) else 0.0
        for line in text.splitlines():
            if stamp := STAMP.search(line):
                at = float(stamp[1])
            lines.append((at, line))
    return '\n'.join(line for _, line in sorted(lines, key=lambda entry: entry[0])) + '\n'


def canary(lab: Lab, vm: Vm) -> dict[str, object]:
    """The canary's last report, and what it or the kernel complained of."""
    text = log(lab, vm)
    reports = re.findall(r'(\d{10}\.\d{3}) canary writes (\d+) bad (\d+)', text)
    complaints = [line for line in text.splitlines()
                  if 'is damaged' in line or 'generations add up' in line or re.search(r'Out of memory|Kernel panic|\bBUG:|\bOops\b', line)]
    at, writes, bad = reports[-1] if reports else (0, 0, 0)
    return {'at': float(at), 'writes': int(writes), 'bad': max(int(bad), len(complaints)), 'complaints': complaints[:10]}


def has_echoed(text: str, line: str) -> bool:
    """Whether the shell has taken the line, which others may have written into the middle of."""
    return ''.join(line.split()) in ''.join(OTHERS.sub('', text).split())


def tell(lab: Lab, vm: Vm, line: str) -> None:
    """Types a line into the shell on the guest's serial console, and waits until the guest has echoed it."""
    pty = hosts.virsh(lab, hosts.running_on(lab, vm.name), 'ttyconsole', vm.name).strip()
    # QEMU looks once a second whether somebody has opened the pty, and forgets what was typed when it is closed before that.
    terminal = os.open(pty, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        def typed(text: str, answer: str, deadline: float) -> bool:
            before = len(log(lab, vm).rstrip('\n'))  # log() ends a line that the guest has not ended yet
            os.write(terminal, text.encode() + b'\n')

            def echoed() -> bool:
                with contextlib.suppress(BlockingIOError):
                    os.read(terminal, 4096)  # the log has it too, but unread it would hold up the guest
                return has_echoed(log(lab, vm)[before:], answer)

            with contextlib.suppress(LabError):
                return wait_until('an echo', echoed, deadline=deadline)
            return False

        # The shell may start later than what answers on the network; what is typed before is lost.
        ready = any(typed('', PROMPT, deadline=3) for _ in range(5))
        if not ready or not typed(line, line, deadline=10):
            raise LabError(f'{vm.name} does not take the line', 'is the guest still booting, or hung?')
    finally:
        os.close(terminal)


def console(lab: Lab, vm: Vm, *, attach: bool) -> None:
    """Shows what was written so far; then, if asked to, becomes `virsh console`."""
    sys.stdout.write(log(lab, vm))
    sys.stdout.flush()
    if attach:
        host = hosts.running_on(lab, vm.name)
        os.execvp('virsh', ['virsh', '-c', hosts.uri(lab, host), 'console', '--force', vm.name])


def listed(lab: Lab) -> list[dict[str, object]]:
    places = hosts.whereabouts(lab)
    return [{'name': vm.name, 'address': vm.address, 'memory_mib': vm.memory_mib, 'domains': places.get(vm.name, {}),
             'host': next((host for host, state in places.get(vm.name, {}).items() if state == 'running'), None),
             'canary': canary(lab, vm) if vm.canary else None}
            for vm in lab.vms.values()]
