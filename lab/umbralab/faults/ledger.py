"""What the guest said it had written, against what is there."""
from __future__ import annotations

import re
import struct
import tempfile
from collections import Counter
from pathlib import Path

from .. import hosts
from ..common import run
from ..state import Lab, Vm

PLACES, BLOCK = 1024, 4096  # lab/guest/blocks.c
TOLD = re.compile(rb'^\d{10}\.\d{3} block (\d+)\r*\n', re.M)
COMPLAINTS = (re.compile(rb'canary [^\n]*(?:is damaged|add up)[^\n]*\n'), re.compile(rb'block (?:lost|error):[^\n]*\n'),
              re.compile(rb'[^\n]*(?:Kernel panic|BUG:|Oops|I/O error)[^\n]*\n'))


class Ledger:
    """Of the consoles on all hosts, from now on."""

    def __init__(self, lab: Lab, vm: Vm):
        self._lab, self._vm = lab, vm
        self._begin = {file: file.stat().st_size for file in hosts.console_logs(lab, vm.name)}

    def _texts(self) -> list[bytes]:
        return [file.read_bytes()[self._begin.get(file, 0):] for file in hosts.console_logs(self._lab, self._vm.name)]

    def told(self) -> Counter[int]:
        return Counter(int(number) for text in self._texts() for number in TOLD.findall(text))

    def complaints(self) -> list[str]:
        return [found.decode(errors='replace').strip()
                for text in self._texts() for pattern in COMPLAINTS for found in pattern.findall(text)]

    def written_twice(self) -> list[int]:
        """Blocks that more than one copy of the guest wrote."""
        return sorted(number for number, times in self.told().items() if times > 1)

    def lost(self, image: Path) -> list[int]:
        """Blocks that were told and are not in the image, nor a newer one in their place."""
        newest: dict[int, int] = {}
        for number in self.told():
            newest[number % PLACES] = max(newest.get(number % PLACES, 0), number)
        there = places_of(image)
        return sorted(number for place, number in newest.items() if there[place] < number)


def places_of(image: Path) -> list[int]:
    """Number in each place, whether a QEMU uses the image or not."""
    with tempfile.NamedTemporaryFile() as raw:
        run(['qemu-img', 'dd', '-U', '-f', 'qcow2', '-O', 'raw', f'bs={BLOCK}', f'count={PLACES}', f'if={image}', f'of={raw.name}'])
        data = Path(raw.name).read_bytes().ljust(PLACES * BLOCK, b'\0')
    return [struct.unpack_from('<Q', data, place * BLOCK)[0] for place in range(PLACES)]
