"""What is known of a lab: its nodes and guests, in one JSON file that concurrent callers change under a lock."""
from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .common import LabError, alone

UNDERLAY = '10.77.0'
GUESTS = '10.50.0'
GATEWAY_ADDRESS = '169.254.1.1'
GATEWAY_MAC = 'ee:ee:ee:ee:ee:01'
CONTROLLER_PORT = 7700
AGENT_PORT = 7701
ROUTE_PROTOCOL = 117


def base_dir() -> Path:
    return Path(os.environ.get('UMBRA_LAB_DIR', '/run/umbra-lab'))


@dataclass
class Node:
    name: str
    role: str  # host, edge or controller
    zone: str
    address: str  # in the underlay
    overrides: dict[str, str] = field(default_factory=dict)  # TOML literals by dotted key, for this node's daemon


@dataclass
class Vm:
    name: str
    number: int
    uuid: str
    home: str  # the host it was started on
    memory_mib: int
    canary: str
    transient: bool
    disk: str = ''  # size of its disk on shared storage, as qemu-img words it; empty: none
    monitor: bool = False  # its QEMU has a monitor of its own beside libvirt's

    @property
    def address(self) -> str:
        return f'{GUESTS}.{self.number}'

    @property
    def mac(self) -> str:
        return f'52:54:00:55:00:{self.number:02x}'

    @property
    def tap(self) -> str:
        return f'tap{self.number}'


@dataclass
class Lab:
    name: str
    bare: bool = False
    faults: bool = False  # daemons stop at fault points, and their disks can be filled
    nodes: dict[str, Node] = field(default_factory=dict)
    vms: dict[str, Vm] = field(default_factory=dict)

    @property
    def dir(self) -> Path:
        return base_dir() / self.name

    @property
    def shared(self) -> Path:
        """Where storage is mounted that all hosts share."""
        return self.dir / 'shared'

    def points(self, node: str) -> Path:
        """Where the node's agent looks for fault points (base/fault_point.hpp)."""
        return self.node_dir(node) / 'points'

    def disk(self, vm: Vm) -> Path:
        return self.shared / f'{vm.name}.qcow2'

    def node_dir(self, node: str) -> Path:
        return self.dir / 'nodes' / node

    def netns(self, node: str) -> str:
        return f'umbra-{self.name}-{node}'

    def of_role(self, role: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.role == role]

    def node(self, name: str) -> Node:
        if name in self.nodes:
            return self.nodes[name]
        raise LabError(f"lab '{self.name}' has no node {name}", f"its nodes are {', '.join(self.nodes)}")

    def host(self, name: str) -> Node:
        if (node := self.node(name)).role == 'host':
            return node
        raise LabError(f'{name} is no host', f"hosts are {', '.join(host.name for host in self.of_role('host'))}")

    def vm(self, name: str) -> Vm:
        if name in self.vms:
            return self.vms[name]
        raise LabError(f"lab '{self.name}' has no VM {name}", f'add it: umbra-lab vm add {name}')

    def save(self) -> None:
        fresh = self.dir / 'lab.json.new'
        fresh.write_text(json.dumps(asdict(self), indent=1))
        fresh.replace(self.dir / 'lab.json')


def valid_name(name: str) -> str:
    # No hyphen: it separates lab and node in the names of namespaces. Short: unix socket paths hold 107 bytes.
    if not re.fullmatch(r'[a-z0-9_]{1,20}', name):
        raise LabError(f"'{name}' is no name for a lab", 'use 1 to 20 of a-z, 0-9 and _')
    return name


def exists(name: str) -> bool:
    return (base_dir() / valid_name(name) / 'lab.json').exists()


def load(name: str) -> Lab:
    try:
        raw = json.loads((base_dir() / valid_name(name) / 'lab.json').read_text())
    except FileNotFoundError:
        raise LabError(f"there is no lab '{name}'", f'start it: umbra-lab --lab {name} up') from None
    raw['nodes'] = {key: Node(**value) for key, value in raw['nodes'].items()}
    raw['vms'] = {key: Vm(**value) for key, value in raw['vms'].items()}
    return Lab(**raw)


def _lock_file(name: str) -> Path:
    return base_dir() / f'.{valid_name(name)}.lock'  # beside the lab, which may vanish while the lock is held


def locked(name: str) -> contextlib.AbstractContextManager[None]:
    """Held while a lab is made, changed or taken down."""
    return alone(_lock_file(name))


def forget(lab: Lab) -> None:
    """Removes all that is on disk of the lab, whose lock is held."""
    if lab.dir.exists():
        shutil.rmtree(lab.dir)
    _lock_file(lab.name).unlink()
    with contextlib.suppress(OSError):
        base_dir().rmdir()  # if it was the last one


@contextlib.contextmanager
def changing(name: str) -> Iterator[Lab]:
    """The lab, to be changed and saved at the end, alone."""
    with locked(name):
        lab = load(name)
        yield lab
        lab.save()
