"""The command line of tests/faults."""
from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import signal
import sys
import time
from pathlib import Path

from .. import cli, fleet, state
from ..common import LabError, say
from ..state import Lab
from .cell import Outcome, play, prepare
from .phases import PHASES, Phase
from .report import page, row
from .strikes import FAULTS, Fault

Cell = tuple[Fault, Phase]
# One of each kind, where it hurts most: what tests/run plays.
CHOSEN = ['kill source agent/promise', 'kill source agent/hand-over', 'kill standby agent/serving', 'kill standby agent/flip',
          'kill controller/stop', 'kill source libvirtd/converge', 'kill standby qemu/pre-switchover', 'kill source gate/converge', 'kill standby gate/pre-switchover', 'power standby/parked',
          'cut source standby/pre-switchover', 'disk full source/promise', 'messages late/flip', 'virsh suspend source/refreshing']


def matrix() -> dict[str, Cell]:
    return {f'{fault.name}/{phase.name}': (fault, phase) for fault in FAULTS for phase in PHASES}


def chosen(wanted: argparse.Namespace) -> list[str]:
    cells = matrix()
    if wanted.chosen:
        return CHOSEN
    names = [name for name in cells if re.search(wanted.cells, name)]
    if not names:
        raise LabError(f"no cell matches '{wanted.cells}'", '--list tells their names')
    if wanted.resume:
        names = [name for name in names if name not in {f'{one.fault}/{one.phase}' for one in played(wanted.json) if not one.bad}]
    if wanted.random:
        return random.Random(wanted.seed).choices(names, k=wanted.random)
    return names


def up(name: str) -> Lab:
    # One zone: a host that was away makes its zone look ill, and the brain would move the guest by itself.
    cli.up(cli.parse(['--lab', name, 'up', '--faults', '--zones', 'a', '--set', 'agent.shadow.refresh_interval="2s"']))
    lab = state.load(name)
    fleet.await_proof(lab)
    return lab


def fresh(name: str) -> Lab:
    """A lab whose fleet is in disorder is of no use to the next cell."""
    if state.exists(name):
        down(name)
    return up(name)


def down(name: str, logs: Path | None = None) -> None:
    cli.down(cli.parse(['--lab', name, 'down', *(['--logs', str(logs)] if logs else [])]))


def attempt(name: str, lab: Lab | None, fault: Fault, phase: Phase) -> tuple[Lab | None, Outcome]:
    outcome = Outcome(fault.name, phase.name)
    try:
        lab = lab or fresh(name)
        prepare(state.load(name))
        outcome = play(state.load(name), fault, phase)
    except LabError as error:
        outcome.broken = str(error)
    return lab, outcome


def run(wanted: argparse.Namespace) -> int:
    names, cells = chosen(wanted), matrix()
    if wanted.list:
        print('\n'.join(names))
        return 0
    outcomes: list[Outcome] = []
    lab: Lab | None = None
    end = time.monotonic() + wanted.minutes * 60
    try:
        for number, name in enumerate(names):
            if time.monotonic() > end:
                say(f'{len(names) - number} cells were not played: {wanted.minutes:g} minutes have passed')
                break
            lab, outcome = attempt(wanted.lab, lab, *cells[name])
            if outcome.broken and not outcome.struck:  # nothing was struck, so nothing was learned: once more, from the start
                say(f'{name} is played again: {outcome.broken}')
                lab, outcome = attempt(wanted.lab, None, *cells[name])
            outcomes.append(outcome)
            print(row(outcome), flush=True)
            for note in outcome.notes:
                say(f'  {note}')
            if wanted.json:
                with open(wanted.json, 'a') as file:
                    file.write(json.dumps(outcome.json()) + '\n')
            if outcome.bad and lab:
                down(wanted.lab, wanted.logs / re.sub(r'\W+', '-', name) if wanted.logs else None)
                lab = None
    finally:
        if state.exists(wanted.lab):
            down(wanted.lab)
    if wanted.report:
        where = f'{platform.system()} {platform.release()}, {os.cpu_count()} cores, QEMU under TCG'
        wanted.report.write_text(page(played(wanted.json) if wanted.json else outcomes, len(matrix()), where))
    good = sum(not outcome.bad for outcome in outcomes)
    print(f'{good} of {len(outcomes)} cells are within the bars')
    return 0 if outcomes and good == len(outcomes) else 1


def played(file: Path) -> list[Outcome]:
    """The last of each cell, in the matrix's order."""
    last: dict[str, Outcome] = {}
    for line in file.read_text().splitlines():
        said = json.loads(line)
        said.pop('ok')
        last[f"{said['fault']}/{said['phase']}"] = Outcome(**said)
    return [last[name] for name in matrix() if name in last]


def main() -> int:
    parser = argparse.ArgumentParser(prog='tests/faults', description='Strikes a fleet with real guests at every moment of a cutover.')
    parser.add_argument('--cells', default='', metavar='PATTERN', help='regular expression on FAULT/PHASE (all)')
    parser.add_argument('--chosen', action='store_true', help='the fourteen cells that tests/run plays')
    parser.add_argument('--report', type=Path, metavar='FILE', help='the matrix as Markdown')
    parser.add_argument('--json', type=Path, metavar='FILE', help='append one object a cell; the report is then of all that the file holds')
    parser.add_argument('--resume', action='store_true', help='leave out what that file has as within the bars')
    parser.add_argument('--random', type=int, metavar='N', help='N cells by chance, of those that match')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--list', action='store_true', help='name the cells, play none')
    parser.add_argument('--minutes', type=float, default=1e6, metavar='N', help='begin no cell later')
    parser.add_argument('--lab', default='faults', metavar='NAME')
    parser.add_argument('--logs', type=Path, metavar='DIR', help='keep the logs of cells that fail')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    try:
        wanted = parser.parse_args()
        if wanted.resume and not (wanted.json and wanted.json.exists()):
            raise LabError('there is nothing to resume', 'name the file of the run before: --json FILE')
        return run(wanted)
    except LabError as error:
        print(f'tests/faults: {error}', file=sys.stderr)
        if error.remedy:
            print(f'tests/faults: {error.remedy}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
