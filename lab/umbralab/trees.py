"""The Debian that an installed fleet's nodes boot: made once by debootstrap, kept outside the checkout, never changed after."""
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from .common import LabError, alone, run, say

CACHE = Path(os.environ.get('UMBRA_FLEET_CACHE', '/var/cache/umbra-fleet'))

# A KVM host as its administrator installs it, from backports as on Debian 12 they have to be.
BACKPORTS = ('systemd', 'systemd-sysv', 'libvirt-daemon-system', 'libvirt-clients', 'qemu-system-x86', 'qemu-utils')
STOCK = ('dbus', 'polkitd', 'iproute2', 'procps', 'util-linux', 'openssl', 'ca-certificates')


def mirror() -> str:
    """The machine's own source of Debian 12."""
    listed = run(['apt-get', 'indextargets', '--format', '$(REPO_URI) $(CODENAME) $(COMPONENT)'])
    for line in listed.splitlines():
        if line.split()[1:] == ['bookworm', 'main']:
            return line.split()[0]
    raise LabError('apt knows no source of bookworm main', 'is this Debian 12 with its own sources?')


def needed_by(packages: Path) -> list[str]:
    """What the packages need, but for each other: a fleet's nodes reach no mirror, as many hosts do not."""
    wanted: set[str] = set()
    own = set()
    for package in sorted(packages.glob('*.deb')):
        own.add(run(['dpkg-deb', '-f', package, 'Package']).strip())
        for need in run(['dpkg-deb', '-f', package, 'Depends']).split(','):
            wanted.add(need.split('|')[0].split('(')[0].strip())
    return sorted(need for need in wanted if need and need not in own)


def ready(packages: Path) -> Path:
    """Makes the tree where it is missing; some minutes. @return its root"""
    needs = needed_by(packages)
    key = hashlib.sha256(repr((BACKPORTS, STOCK, needs)).encode()).hexdigest()[:12]
    tree = CACHE / f'tree-{key}'
    CACHE.mkdir(parents=True, exist_ok=True)
    with alone(CACHE / 'lock'):
        if not tree.is_dir():
            say('making the Debian that hosts of the fleet boot; once, some two minutes')
            for old in CACHE.glob('*tree-*'):
                shutil.rmtree(old)
            made = CACHE / f'making-tree-{key}'
            _make(made, needs)
            made.rename(tree)
    return tree


def _make(root: Path, needs: list[str]) -> None:
    run(['debootstrap', '--variant=minbase', 'bookworm', root, mirror()], deadline=600)
    (root / 'etc/apt/sources.list').unlink()
    shutil.copytree('/etc/apt', root / 'etc/apt', dirs_exist_ok=True, symlinks=True)
    policy = root / 'usr/sbin/policy-rc.d'
    policy.write_text('#!/bin/sh\nexit 101\n')  # nothing is started in a tree
    policy.chmod(0o755)
    for file in ('resolv.conf', 'hosts'):
        shutil.copy(f'/etc/{file}', root / 'etc' / file)
    run(['mount', '-t', 'proc', 'proc', root / 'proc'])
    try:
        install = ['apt-get', '-qq', 'install', '-y', '--no-install-recommends']
        for words in (['apt-get', '-qq', 'update'], [*install, '-t', 'bookworm-backports', *BACKPORTS],
                      [*install, *STOCK, *needs], ['apt-get', 'clean']):
            _inside(root, words)
    finally:
        run(['umount', root / 'proc'])
    policy.unlink()
    (root / 'etc/machine-id').write_text('')  # each node makes its own
    (root / 'etc/resolv.conf').unlink()


def _inside(root: Path, words: list[str]) -> None:
    done = subprocess.run(['chroot', root, 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8',
                           'DEBIAN_FRONTEND=noninteractive', *words], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise LabError(f"`{' '.join(words)}` failed in {root}: {done.stderr[-2000:]}", 'is the mirror within reach?')
