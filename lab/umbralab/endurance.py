"""Many cutovers of one guest, back and forth: does anything grow that should not?"""
from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import sys
import time
from pathlib import Path

from . import cli, fleet, guests, hosts, nodes, services, state, usage
from .common import LabError, run, say, wait_until
from .state import Lab, Vm

VM = 'web'
WARM_UP = 0.2  # of the cutovers: allocators, caches and SQLite's files have their size by then
SAMPLES = 20
GROWTH_MIB = 8.0  # of a daemon's resident memory from then on


def daemons(lab: Lab) -> dict[str, int]:
    """Process ids as this machine counts."""
    return {f'{node.name} {service}': fleet.process_of(lab, node.name, service)
            for node in lab.nodes.values() for service in services.known(lab, node.name)}


def measure(lab: Lab) -> dict[str, float]:
    """What may grow, by name."""
    found: dict[str, float] = {}
    for name, pid in daemons(lab).items():
        found[f'{name}: MiB'] = round(usage.resident_mib(pid), 1)
        found[f'{name}: descriptors'] = len(os.listdir(f'/proc/{pid}/fd'))
        found[f'{name}: threads'] = len(os.listdir(f'/proc/{pid}/task'))
    for node in lab.nodes:
        space = ['ip', '-n', lab.netns(node)]
        found[f'{node}: routes'] = len(run([*space, 'route', 'show', 'table', 'all']).splitlines())
        found[f'{node}: neighbours'] = len(run([*space, 'neigh', 'show', 'nud', 'permanent']).splitlines())
        found[f'{node}: links'] = len(run([*space, '-o', 'link']).splitlines())
    for node in (*lab.of_role('host'), *lab.of_role('edge')):
        if (journal := lab.node_dir(node.name) / 'state/journal.sqlite').exists():
            with sqlite3.connect(f'file:{journal}?mode=ro', uri=True, timeout=5) as rows:
                found[f'{node.name}: journal rows'] = sum(
                    rows.execute(f'SELECT count(*) FROM {table}').fetchone()[0]
                    for (table,) in rows.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall())
            found[f'{node.name}: journal KiB'] = sum(file.stat().st_size for file in journal.parent.glob('journal.sqlite*')) // 1024
    return found


def move(lab: Lab, vm: Vm) -> float:
    """Milliseconds of blackout."""
    to = next(host.name for host in lab.of_role('host') if host.name != hosts.running_on(lab, vm.name))
    fleet.words(lab, 'shadow', 'keep', vm.name, '--to', to, '--tier', 'hot', deadline=90)
    fleet.await_tier(lab, vm, ('hot',), deadline=60)
    told = fleet.ask(lab, 'cutover', vm.name, '--reason', 'endurance', deadline=60)
    if told.get('outcome') != 'moved':
        raise LabError(f'the cutover ended {told.get("outcome")}: {told.get("detail")}')
    wait_until(f'{vm.name} is on {to} alone', lambda: list(hosts.whereabouts(lab).get(vm.name, {})) == [to], deadline=30, every=0.1)
    return float(told['blackout_ms'])


def grown(samples: list[dict[str, float]]) -> list[str]:
    """What is more at the end than after the warm-up; the rest may come and go by one or two."""
    after = samples[int(len(samples) * WARM_UP):]
    third = max(1, len(after) // 3)
    wrong = []
    for name in after[-1]:
        first, last = (statistics.median(sample[name] for sample in part) for part in (after[:third], after[-third:]))
        if last - first > (GROWTH_MIB if name.endswith('MiB') else 1024 if name.endswith('KiB') else 2):
            wrong.append(f'{name} grew from {first:g} to {last:g}')
    return wrong


def endure(lab: Lab, cutovers: int, file: Path | None) -> int:
    vm = guests.add(lab.name, VM, host=None, memory_mib=128, canary='32:32', transient=False, disk='shared:64M', wait=True)
    samples, blackouts, begun = [measure(lab)], [], time.monotonic()
    every = max(1, cutovers // SAMPLES)
    for number in range(1, cutovers + 1):
        blackouts.append(move(lab, vm))
        if number % every == 0 or number == cutovers:
            samples.append(measure(lab))
            say(f'{number} cutovers, {time.monotonic() - begun:.0f} s, median blackout {statistics.median(blackouts):.1f} ms')
    told = guests.canary(lab, vm)
    wrong = grown(samples) + ([f"the canary has {told['bad']} damaged pages"] if told['bad'] else [])
    for name, value in samples[-1].items():
        print(f'{name:32} {samples[0][name]:>8g} -> {samples[len(samples) // 2][name]:>8g} -> {value:>8g}')
    print(f'{cutovers} cutovers: blackout median {statistics.median(blackouts):.1f} ms, most {max(blackouts):.1f} ms')
    print('\n'.join(wrong) or 'nothing grew')
    if file:
        file.write_text(json.dumps({'cutovers': cutovers, 'blackout_ms': blackouts, 'samples': samples, 'grown': wrong}) + '\n')
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog='tests/endurance', description='Cutovers of one guest, back and forth; fails if anything grows.')
    parser.add_argument('--cutovers', type=int, default=300, metavar='N')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all that was measured there')
    parser.add_argument('--lab', default='endurance', metavar='NAME')
    wanted = parser.parse_args()
    try:
        cli.up(cli.parse(['--lab', wanted.lab, 'up', '--zones', 'a']))
        lab = state.load(wanted.lab)
        fleet.await_proof(lab)
        return endure(state.load(wanted.lab), wanted.cutovers, wanted.json)
    except LabError as error:
        print(f'tests/endurance: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if state.exists(wanted.lab):
            cli.down(cli.parse(['--lab', wanted.lab, 'down']))
