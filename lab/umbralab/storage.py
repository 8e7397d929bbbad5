"""Storage that all hosts share, and the guests' disks on it."""
from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .common import LabError, run
from .state import Lab, Vm

DEFAULT_SIZE = '256M'
# Like NFS it keeps owners and modes but none of the `trusted.*` attributes in which libvirt remembers, on a local file
# system, who else uses an image and whose it was.
FILE_SYSTEM = 'ramfs'
STATE_SIZE = '16M'  # of a daemon's state directory whose disk is to be filled


def make(lab: Lab) -> None:
    lab.shared.mkdir()
    run(['mount', '-t', FILE_SYSTEM, '-o', 'mode=755', f'umbra-{lab.name}', lab.shared])
    for node in lab.nodes.values() if lab.faults else ():
        lab.points(node.name).mkdir(parents=True)
        state = lab.node_dir(node.name) / 'state'
        state.mkdir()
        run(['mount', '-t', 'tmpfs', '-o', f'size={STATE_SIZE},mode=700', f'umbra-{lab.name}', state])


def unmake(lab: Lab) -> None:
    for mounted in (lab.shared, *(lab.dir / 'nodes').glob('*/state')):
        if not os.path.ismount(mounted):
            continue
        for file in mounted.iterdir():  # a mount namespace that was copied from ours would keep the memory
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        run(['umount', '--lazy', mounted])


def size_of(wanted: str) -> str:
    """Of `shared` or `shared:SIZE`; nothing for nothing."""
    if not wanted:
        return ''
    if not (found := re.fullmatch(r'shared(?::([1-9][0-9]*[MG]))?', wanted)):
        raise LabError(f"'{wanted}' is no disk", 'write shared, or shared:SIZE with SIZE like 512M or 2G')
    return found[1] or DEFAULT_SIZE


def create(lab: Lab, vm: Vm) -> Path:
    image = lab.disk(vm)
    run(['qemu-img', 'create', '-q', '-f', 'qcow2', image, vm.disk])
    image.chmod(0o600)
    return image


def medium(lab: Lab, vm: Vm) -> Path:
    """The disc in its CD drive, as an installation leaves one there."""
    image = lab.shared / f'{vm.name}.iso'
    image.write_bytes(bytes(1 << 20))
    return image


def remove(lab: Lab, vm: Vm) -> None:
    """Its image and those that snapshots have put on top of it."""
    if vm.disk:
        for image in lab.shared.glob(f'{vm.name}.*'):
            image.unlink()
