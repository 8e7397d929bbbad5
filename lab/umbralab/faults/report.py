"""The matrix as a page."""
from __future__ import annotations

from .cell import Outcome


def row(outcome: Outcome) -> str:
    settled = f'{outcome.settled:.1f} s' if outcome.settled is not None else '–'
    verdict = 'ok' if not outcome.bad else '**' + '; '.join(outcome.bad) + '**'
    return (f'| {outcome.fault} | {outcome.phase} | {outcome.copies} | {outcome.canary} | {outcome.lost} | {settled} | {outcome.ended} '
            f'| {outcome.session or "-"} | {verdict} |')


def page(outcomes: list[Outcome], of: int, where: str) -> str:
    good = sum(not outcome.bad for outcome in outcomes)
    lines = ['# Faults on real guests',
             f'`tests/faults` on {where}. {len(outcomes)} of the {of} cells of the matrix were played, {good} of them within all bars: '
             'never more than one copy, no canary error, no block lost that the guest was told is durable, settled within 30 s after the '
             'fault was lifted, nothing left over.', '',
             'How it is measured: `lab/umbralab/faults/` – copies by the CPU time of QEMU\'s vCPU threads at 100 Hz and by the numbers of '
             'blocks on both hosts\' consoles (`copies.py`, `ledger.py`); what is left over after the shadow was dropped: domains, QEMUs, taps, '
             'ports, pid files, journal rows, the owner of the image (`world.py`). A power cut takes the link first, then all processes; the node '
             'boots again with its disks.', '',
             '| fault | at | copies | canary | blocks lost | settled | guest | TCP session | verdict |', '|---|---|---|---|---|---|---|---|---|',
             *map(row, outcomes), '']
    notes = [(outcome, note) for outcome in outcomes for note in outcome.notes]
    if notes:
        lines += ['## Said on the way', *(f'- {outcome.fault} at {outcome.phase}: {note}' for outcome, note in notes), '']
    return '\n'.join(lines)
