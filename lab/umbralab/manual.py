"""The commands of docs/install.md: shell blocks that name the nodes they are run on (```sh host1 host2)."""
from __future__ import annotations

import re

from .common import ROOT, LabError

BLOCK = re.compile(r'^```sh ([a-z0-9 ]+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(section: str) -> list[tuple[list[str], str]]:
    """Of the section with that title, in their order: nodes, and a script."""
    text = (ROOT / 'docs/install.md').read_text()
    found = re.search(rf'^## {re.escape(section)}\n(.*?)(?=^## |\Z)', text, re.MULTILINE | re.DOTALL)
    blocks = [(names.split(), script) for names, script in BLOCK.findall(found[1])] if found else []
    if not blocks:
        raise LabError(f'docs/install.md has no commands under "{section}"')
    return blocks
