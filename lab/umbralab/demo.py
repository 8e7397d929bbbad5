"""The main job on real guests, told as it happens: trouble comes, Umbra moves two guests before it; then virsh does the same."""
from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import sys
import time
from pathlib import Path

from . import cli, fleet, guests, peer, ready, state, umbra
from .common import ROOT, LabError, wait_until
from .observe import Watch
from .screen import Screen
from .state import Lab, Vm

HISTORY = ROOT / 'lab/data/nab/ec2_cpu_utilization_5f5533.csv'
NOW = 2259  # rows before this one are the past; the next is the climb from 39 to 50 %
STEP = 300  # seconds, of the history and of the forecast
CORES = 0.44  # of host2: enough for the last half hour of that history, too few for what follows
RATE = 500
MOST_LOST = 1
CAUSES = {'zone health': 'zone health', 'forecast': 'capacity'}  # by what a story is about: the cause that must have moved its guest
COLUMNS = ('vm', 'tool', 'trigger', 'blackout_ms', 'reach_ms', 'lost', 'longest_gap_ms', 'canary_bad', 'tcp_survived')

CONFIGURATION = ('controller.brain.tick="1s"', 'controller.brain.cooldown="20s"',
                 # The demo lasts minutes; what counts is the history that it imports, not what an idle lab guest uses.
                 'agent.telemetry.interval="1h"')


def top_cause(why: dict, to: str) -> str:
    """What weighed most in the last decision to cut over to that host; empty if there was none."""
    made = next((decision for decision in why['decisions'] if decision['action'] == f'cutover to {to}'), None)  # newest first
    causes = sorted(made['causes'], key=lambda cause: cause['probability']) if made else []
    return causes[-1]['name'] if causes else ''


class Demo:
    def __init__(self, name: str):
        self.name, self.screen = name, Screen()
        self.moves: list[dict[str, object]] = []
        self.failures: list[str] = []
        self.feed = Lab(name).dir / 'zones.json'
        self.history = Lab(name).dir / 'history.csv'

    def lab(self, *words: str) -> None:
        wanted = cli.parser().parse_args(['--lab', self.name, *words])
        wanted.action_of(wanted)

    def run(self) -> None:
        self.screen.chapter('A fleet', 'Two zones, a host in each, an edge router, a controller; each host with its own '
                            'libvirtd, real guests under QEMU. Both guests check their own memory all the time.')
        settings = [*CONFIGURATION, f'controller.zones.feed="{self.feed}"']
        self.lab('up', '--hosts', '2', '--zones', 'a,b', '--edges', '1', '--host-capacity', f'host2:cpus={CORES}',
                 *(word for setting in settings for word in ('--set', setting)))
        first, second = self.start('web1', 'host1'), self.start('db1', 'host2')
        lab = state.load(self.name)
        follower = fleet.Follower(lab, self.heard)
        try:
            self.zone_story(lab, first, follower)
            self.forecast_story(lab, second, follower)
        finally:
            follower.close()
        self.peer_story(lab, [(first, 'host1'), (second, 'host2')])
        self.compare()

    def start(self, name: str, host: str) -> Vm:
        vm = guests.add(self.name, name, host=host, memory_mib=256, canary='96:256', transient=False, wait=True)
        self.screen.line(f'{name} runs on {host}, {vm.address}, 256 MiB, its canary rewrites 50 MB/s')
        return vm

    # What happens, and why.

    def heard(self, event: dict) -> None:
        style = {'warning': 'warn', 'alert': 'bad'}.get(event['severity'], 'good' if event['text'].startswith('moved') else '')
        if event['kind'] in ('zone', 'decision', 'shadow', 'cutover'):
            self.screen.line(f"{event['kind']:<8} {event['vm'] or event['node']}  {event['text']}", style)

    def say_zone(self, health: float, reason: str) -> None:
        fresh = self.feed.with_suffix('.new')
        fresh.write_text(json.dumps({'zones': {'a': {'health': health, 'reason': reason}}}))
        fresh.replace(self.feed)

    def look(self, lab: Lab, vm: Vm) -> dict:
        """Shows what the controller thinks of the guest now."""
        seen = fleet.view(lab, vm)
        shadow = seen['shadow']
        told = f"{vm.name} on {seen['host']}: {100 * seen['migration_probability']:.0f} % to move, tier {seen['tier']}"
        key = f"{seen['migration_probability']:.2f} {seen['tier']}"
        if shadow:
            total, left = shadow['total_bytes'] >> 20, shadow['remaining_bytes'] >> 20
            told += f", shadow on {shadow['standby']} is {shadow['phase']}"
            key += shadow['phase']
            if shadow['phase'] == 'precopy' and total:
                told += f", {left} of {total} MiB to send at {shadow['rate_bytes_per_second'] / 1e6:.0f} MB/s"
        self.screen.present(told, key)
        return seen

    def until_moved(self, lab: Lab, vm: Vm, follower: fleet.Follower, why_at: float):
        explained = False

        def moved():
            nonlocal explained
            if found := follower.moved(vm):
                return found
            seen = self.look(lab, vm)
            if not explained and seen['migration_probability'] >= why_at:
                explained = True
                self.screen.block(fleet.words(lab, 'why', vm.name, '--last', '1'))
            return None

        return wait_until(f'{vm.name} is moved', moved, deadline=120, every=0.5,
                          remedy=f'look at {lab.node_dir("controller")}/controller.log')

    def record(self, lab: Lab, vm: Vm, watch: Watch, trigger: str, begin: dict, said) -> None:
        self.screen.present('')
        seen = watch.result(said[2])
        self.screen.line(f'route at the edge  {fleet.route_at_edge(lab, vm)}')
        if said[6]:
            self.screen.line(f'phases of the cutover, ms: {said[6].removesuffix(" ms")}')
        cause = top_cause(fleet.ask(lab, 'why', vm.name), said[2])
        if cause != CAUSES[trigger]:
            self.failures.append(f"{vm.name} was moved because of {cause or 'nothing that a decision tells'}, not of {CAUSES[trigger]}")
            trigger = cause or 'unknown'
        self.add({'tool': 'umbra', 'trigger': trigger, 'from': said[1]} | seen |
                 {'umbra_blackout_ms': float(said[4]), 'umbra_reach_ms': float(said[5]), 'epoch': int(said[3]),
                  'asked_unix_ms': begin['at_unix_ms']})

    def add(self, move: dict[str, object]) -> None:
        self.moves.append(move)
        told = f"{move['vm']} by {move['tool']}"
        if move['canary_bad']:
            self.failures.append(f"{told}: {move['canary_bad']} damaged pages")
        if not move['tcp_survived']:
            self.failures.append(f'{told}: the TCP session broke')
        if move['reach_ms'] is None:
            self.failures.append(f'{told}: no packet was answered after it')
        if move['tool'] == 'umbra' and move['lost'] > MOST_LOST:
            self.failures.append(f"{told}: {move['lost']} packets lost")

    def zone_story(self, lab: Lab, vm: Vm, follower: fleet.Follower) -> None:
        self.screen.chapter("web1: its zone's health sinks",
                            f'A feed tells of the zones in a file. Nobody asks for a move. A probe of {RATE} packets a second '
                            'and a TCP session go through the edge all the while.')
        self.screen.line(f'route at the edge  {fleet.route_at_edge(lab, vm)}')
        with Watch(lab, vm, RATE) as watch:
            self.screen.line('feed     zone a: health 0.60', 'warn')
            self.say_zone(0.6, 'cooling loop A degraded')
            wait_until('the shadow is warm', lambda: (self.look(lab, vm)['shadow'] or {}).get('phase') in ('warm', 'hot'),
                       deadline=90, every=0.5, remedy=f'umbra-lab --lab {self.name} ctl events')
            self.screen.line('feed     zone a: health 0.10', 'warn')
            self.say_zone(0.1, 'cooling loop A lost')
            begin, said = self.until_moved(lab, vm, follower, 0.8)
            watch.ask(begin['at_unix_ms'] / 1000)
            watch.done()
        self.record(lab, vm, watch, 'zone health', begin, said)

    def forecast_story(self, lab: Lab, vm: Vm, follower: fleet.Follower) -> None:
        self.screen.chapter('db1: its host will run short of CPU',
                            f'Zone a is well again. host2 has {CORES} cores. Eight days of CPU history of a real EC2 instance '
                            'are imported for db1, up to a quiet moment before a climb from 39 to 50 % of a core.')
        self.say_zone(1.0, 'repaired')
        fleet.no_shadow(lab, state.load(self.name).vm('web1'))
        wait_until('zone a is trusted', lambda: all(zone['health'] == 1 for zone in fleet.ask(lab, 'zones')['zones']),
                   deadline=30, every=0.5)
        self.screen.line(f'route at the edge  {fleet.route_at_edge(lab, vm)}')
        self.write_history(vm)
        with Watch(lab, vm, RATE) as watch:
            self.screen.line(fleet.words(lab, 'telemetry', 'import', self.history).strip())
            begin, said = self.until_moved(lab, vm, follower, 0.5)
            watch.ask(begin['at_unix_ms'] / 1000)
            watch.done()
        self.record(lab, vm, watch, 'forecast', begin, said)

    def write_history(self, vm: Vm) -> None:
        with open(HISTORY, newline='') as file:
            values = [float(row['value']) / 100 for row in csv.DictReader(file)]  # percent of the one vCPU
        last = int(time.time()) // STEP * STEP - STEP // 2  # within the last step that is over
        with open(self.history, 'w', newline='') as file:
            rows = csv.writer(file)
            rows.writerow(('vm', 'metric', 'timestamp', 'value'))
            rows.writerows((vm.name, 'cpu', last - STEP * (NOW - 1 - at), f'{value:.4f}') for at, value in enumerate(values[:NOW]))

    def peer_story(self, lab: Lab, moves: list[tuple[Vm, str]]) -> None:
        self.screen.chapter('The same guests by virsh migrate --live',
                            "Umbra's agents are stopped. Tap and neighbour are made beforehand, routes are flipped the moment "
                            'the destination resumes.')
        for vm, _ in moves:
            fleet.no_shadow(lab, vm)
        umbra.stop(lab)
        for vm, to in moves:
            self.screen.line(f'virsh migrate --live {vm.name} to {to}')
            self.add({'trigger': 'command'} | peer.migrate(lab, vm, to, RATE))
            self.screen.line(f'route at the edge  {fleet.route_at_edge(lab, vm)}')

    def compare(self) -> None:
        self.screen.chapter('Compared', 'Both tools seen from outside, in the same way: blackout from STOP to RESUME by QEMU, '
                            "reach from the request to the first reply of the new host. In the last two columns, Umbra's own figures.")
        rows = [[move[key] for key in COLUMNS] + [move.get('umbra_blackout_ms'), move.get('umbra_reach_ms')] for move in self.moves]
        self.screen.table(['VM', 'TOOL', 'TRIGGER', 'BLACKOUT ms', 'REACH ms', 'LOST', 'GAP ms', 'CANARY BAD', 'TCP',
                           'SAYS BLACKOUT', 'SAYS REACH'],
                          [['survived' if cell is True else 'broke' if cell is False else cell for cell in row] for row in rows])

    def report(self) -> dict[str, object]:
        keys = (*COLUMNS, 'from', 'to', 'sent', 'total_ms', 'tcp_longest_wait_ms', 'umbra_blackout_ms', 'umbra_reach_ms')
        return {'ok': not self.failures, 'failures': self.failures,
                'moves': [{key: move[key] for key in keys if key in move} for move in self.moves]}

    def clean(self) -> None:
        self.screen.present('')
        self.lab('down')


def _interrupted(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    parser = argparse.ArgumentParser(prog='demo', description='Umbra moves two real guests away from trouble; then virsh does the same.')
    parser.add_argument('--report', type=Path, metavar='FILE', help='write the figures as JSON')
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    demo = Demo(f'demo_{os.getpid()}')
    try:
        demo.screen.line('packages and build, if anything is missing')
        ready.prepare()
        try:
            demo.run()
        finally:
            demo.clean()
    except LabError as error:
        demo.failures.append(f'{error}' + (f'; {error.remedy}' if error.remedy else ''))
    except KeyboardInterrupt:
        demo.failures.append('interrupted')
    if wanted.report:
        wanted.report.write_text(json.dumps(demo.report(), indent=1) + '\n')
    for failure in demo.failures:
        print(f'demo: {failure}', file=sys.stderr)
    print('demo: failed' if demo.failures else 'demo: both guests were moved before the trouble came', flush=True)
    return 1 if demo.failures else 0
