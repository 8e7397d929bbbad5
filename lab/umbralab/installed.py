"""A fleet of containers on which Umbra is installed from its packages: `umbra-fleet`, and what docs/install.md does by hand."""
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import containers, guests, hosts, manual, nodes, state, trees
from .common import ROOT, LabError, run, say, wait_until
from .state import Lab, Node, Vm

PACKAGES = ROOT / 'build/packages'
OF_ROLE = {'host': ['umbra-agentd'], 'edge': ['umbra-agentd'], 'controller': ['umbra-controller', 'umbra-cli']}
JOIN = re.compile(r'On (\S+), as root:\n +(umbra-agentd enroll .*)')
IMAGE = Path('/var/lib/libvirt/images')  # on the nodes; other hosts' domains may use what is there


def up(lab: Lab, packages: Path) -> Path:
    """@return where the guests' image is"""
    if not list(packages.glob('*.deb')):
        raise LabError(f'there are no packages in {packages}', 'make them: packaging/build')
    tree = trees.ready(packages)
    image = Path(run([ROOT / 'lab/guest/build'], deadline=300).strip())
    lab.dir.mkdir(parents=True)
    lab.save()
    nodes.make_network(lab)
    for node in lab.nodes.values():
        containers.prepare(lab, node, tree)
        boot(lab, node, packages, image)
    for node in lab.nodes.values():
        containers.await_up(lab, node)
    return image


def boot(lab: Lab, node: Node, packages: Path, image: Path) -> None:
    for path, at in ((packages, '/srv/packages'), (image, str(IMAGE))):
        (containers.root(lab, node.name) / at.lstrip('/')).mkdir(parents=True, exist_ok=True)
    containers.boot(lab, node, [f'{packages}:/srv/packages', f'{image}:{IMAGE}'])


def install(lab: Lab, node: Node, packages: list[str] | None = None) -> None:
    files = ' '.join(f'/srv/packages/{name}_*.deb' for name in packages or OF_ROLE[node.role])
    containers.shell(lab, node.name, f'apt-get -qq install -y --no-install-recommends {files}', deadline=300)


def follow(lab: Lab, section: str) -> str:
    """Does what docs/install.md says there, word for word. @return what was printed"""
    said = ''
    for names, script in manual.blocks(section):
        for name in names:
            if name in lab.nodes:
                said += containers.shell(lab, name, f'set -e; cd /srv/packages\n{script}', deadline=150)
        for name, command in JOIN.findall(said):
            join(lab, name, command)
    return said


def join(lab: Lab, name: str, command: str) -> None:
    joined = '/etc/umbra/agentd.toml'
    if name in lab.nodes and containers.shell(lab, name, f'test -e {joined} || echo no').strip() == 'no':
        containers.shell(lab, name, command)


def configure(lab: Lab) -> None:
    """As docs/install.md has it, for two hosts and an edge; further nodes likewise."""
    for section in ('The packages', 'The controller', 'Hosts and edges'):
        follow(lab, section)
    for node in lab.nodes.values():
        if containers.shell(lab, node.name, 'ls /etc/umbra').strip() == '':
            role = 'edge' if node.role == 'edge' else 'host'
            for name, command in JOIN.findall(ctl(lab, 'invite', node.name, '--zone', node.zone, '--role', role)):
                join(lab, name, command)
            containers.shell(lab, node.name, 'systemctl start umbra-agentd', deadline=150)


def ctl(lab: Lab, *words: str, deadline: float = 60, check: bool = True) -> str:
    """umbractl as admin, on the controller."""
    return run(containers.inside(lab, 'controller', 'umbractl', *words), deadline=deadline, check=check)


def add_guest(lab: Lab, name: str, number: int, host: str) -> Vm:
    vm = Vm(name, number, str(uuid.uuid4()), host, memory_mib=160, canary='64:64', transient=False)
    definition = guests.XML.format(vm=vm, guest=IMAGE, canary=f' canary={vm.canary}', emulator=hosts.EMULATOR, disk='', shared='', monitor='')
    run(containers.inside(lab, host, 'virsh', '-q', 'define', '/dev/stdin'), text=definition)
    # The agent makes the tap of what is defined.
    wait_until(f'the tap of {name}', lambda: vm.tap in containers.shell(lab, host, 'ls /sys/class/net').split(), deadline=30)
    containers.shell(lab, host, f'virsh -q start {name}')
    return vm


def down(lab: Lab) -> None:
    with state.locked(lab.name):
        nodes.unmake(lab)
        containers.unmount(lab)
        state.forget(lab)


def main() -> int:
    parser = argparse.ArgumentParser(prog='umbra-fleet', description='A fleet of containers that boot Debian with systemd, on which '
                                     'Umbra is installed from its packages.')
    parser.add_argument('--lab', default='fleet', metavar='NAME', help='of several at once (fleet)')
    verbs = parser.add_subparsers(dest='verb', required=True)
    start = verbs.add_parser('up', help='boot the nodes, install the packages, configure and start Umbra')
    start.add_argument('--packages', type=Path, default=PACKAGES, metavar='DIR', help='of packaging/build (build/packages)')
    start.add_argument('--hosts', type=int, default=2, metavar='N')
    start.add_argument('--bare', action='store_true', help='nodes alone: nothing is installed')
    enter = verbs.add_parser('exec', help='run a command on a node')
    enter.add_argument('node')
    enter.add_argument('command', nargs=argparse.REMAINDER)
    asked = verbs.add_parser('ctl', help='run umbractl as admin')
    asked.add_argument('words', nargs=argparse.REMAINDER)
    verbs.add_parser('down', help='take it all away')
    wanted = parser.parse_args()
    try:
        if os.geteuid() != 0:
            raise LabError('containers need root', 'run it as root')
        if wanted.verb == 'up':
            if state.exists(wanted.lab):
                raise LabError(f"fleet '{wanted.lab}' is there already", f'umbra-fleet --lab {wanted.lab} down')
            lab = Lab(state.valid_name(wanted.lab), nodes=nodes.plan(wanted.hosts, 1, ['a', 'b']))
            try:
                up(lab, wanted.packages.resolve())
                if not wanted.bare:
                    with ThreadPoolExecutor(2) as pool:
                        list(pool.map(lambda node: install(lab, node), lab.nodes.values()))
                    configure(lab)
            except BaseException:
                down(lab)
                raise
            say(f"fleet '{lab.name}' is up: {', '.join(lab.nodes)}")
        elif wanted.verb == 'down':
            down(state.load(wanted.lab) if state.exists(wanted.lab) else Lab(state.valid_name(wanted.lab)))
        elif wanted.verb == 'ctl':
            print(ctl(state.load(wanted.lab), *wanted.words), end='')
        else:
            words = wanted.command[1:] if wanted.command[:1] == ['--'] else wanted.command
            return subprocess.run(containers.inside(state.load(wanted.lab), wanted.node, *words)).returncode
    except LabError as error:
        say(f'{error}' + (f'; {error.remedy}' if error.remedy else ''))
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
