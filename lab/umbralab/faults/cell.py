"""One cell of the matrix: a fault at a phase, and what came of it."""
from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

from .. import fleet, guests, hosts, state
from ..common import LabError, wait_until
from ..observe import finish, start_session
from ..state import Lab
from .copies import Copies
from .ledger import Ledger
from .phases import Phase
from .strikes import Fault
from .world import VM, World, left_over, put_back, restart_guest, unsettled

SETTLE = 30.0
EVERY = 0.7  # seconds between two looks: each starts some programs
STAY = 1.5  # seconds for which it must stay settled


@dataclass
class Outcome:
    fault: str
    phase: str
    copies: int = 0
    canary: int = 0
    lost: int = 0
    twice: int = 0
    settled: float | None = None  # seconds after the lift
    ended: str = ''  # where the guest runs, or that it ended with the fault
    session: str = ''
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples_per_second: float = 0.0
    broken: str = ''  # the cell could not be played
    struck: bool = False  # the phase was reached, and the fault came

    @property
    def bad(self) -> list[str]:
        wrong = [self.broken] if self.broken else []
        if self.copies > 1:
            wrong.append(f'{self.copies} copies ran')
        if self.twice:
            wrong.append(f'{self.twice} blocks written by two copies')
        if self.canary:
            wrong.append(f'{self.canary} canary errors')
        if self.lost:
            wrong.append(f'{self.lost} blocks lost')
        if self.settled is None and not self.broken:
            wrong.append(f'not settled within {SETTLE:g} s')
        return wrong + [f'left over: {what}' for what in self.left]

    def json(self) -> dict[str, object]:
        return asdict(self) | {'ok': not self.bad}


def prepare(lab: Lab) -> None:
    """One running guest without a shadow."""
    if VM not in lab.vms:
        guests.add(lab.name, VM, host=None, memory_mib=128, canary='32:32', transient=False, disk='shared:64M', wait=True)
        put_back(World(state.load(lab.name)))
        return
    if not [how for how in hosts.whereabouts(lab).get(VM, {}).values() if how == 'running']:
        world = World.__new__(World)
        world.lab, world.vm = lab, lab.vm(VM)
        restart_guest(world)
    drop_shadow(lab)
    fleet.no_shadow(lab, lab.vm(VM))
    put_back(World(lab))


def drop_shadow(lab: Lab) -> None:
    """And what asked for it, so that the brain builds no other."""
    def dropped() -> bool:
        try:
            fleet.words(lab, 'shadow', 'drop', VM)
        except LabError as error:
            if 'is moving' in str(error):
                return False
            if 'has no shadow' not in str(error):
                raise
        return True

    wait_until('the controller knows how its cutover ended', dropped, deadline=SETTLE, every=0.5)


def play(lab: Lab, fault: Fault, phase: Phase) -> Outcome:
    outcome = Outcome(fault.name, phase.name)
    world = World(lab)
    ledger, copies = Ledger(lab, world.vm), Copies(lab, VM)
    session = start_session(lab, world.vm)
    began = time.monotonic()
    dead = fault.ends_guest(phase)
    try:
        phase.reach(world)
        outcome.struck = True
        fault.strike(world)
        world.disarm()
        time.sleep(fault.seconds)
        fault.lift(world)
        outcome.settled = settle(world, dead, outcome)
        if world.by_hand and world.runner() and not (fault.on_shadow and phase.handed_over):  # by then it is the VM that is changed
            outcome.broken = fault.outcome(world)
    except LabError as error:
        outcome.broken = str(error)
    finally:
        world.disarm()
        world.close()
        echoed = echoed_by(session)
        outcome.samples_per_second = round(copies.samples / (time.monotonic() - began))
        copies.close()
    outcome.copies = copies.most
    outcome.session = 'survived' if echoed.get('survived') else str(echoed.get('error', ''))
    outcome.notes += world.said
    outcome.ended = f'runs on {"source" if world.runner() == world.source else "standby"}' if world.runner() else 'ended with the fault'
    if outcome.broken or outcome.settled is None:
        outcome.notes.append(f'domains {world.domains()}')
    judge(world, ledger, outcome)
    return outcome


def echoed_by(session) -> dict:
    try:
        return finish(session)
    except (LabError, ValueError):
        return {'survived': False, 'error': 'the session did not end'}


def settle(world: World, dead: bool, outcome: Outcome) -> float | None:
    """Seconds after the lift from which on it stays settled."""
    lifted, why, since = time.monotonic(), '', None
    while (now := time.monotonic()) - lifted < SETTLE + STAY:
        if why := unsettled(world, dead):
            since = None
        elif now - (since := since or now) >= STAY:
            return round(since - lifted, 1)
        time.sleep(EVERY)
    outcome.notes.append(why)
    return None


def judge(world: World, ledger: Ledger, outcome: Outcome) -> None:
    """What the guest says of itself, and what is left once its shadow was let go."""
    try:
        complaints = ledger.complaints()
        outcome.canary = sum(line.startswith('canary') or 'block' not in line for line in complaints)
        outcome.notes += complaints[:3]
        outcome.twice = len(ledger.written_twice())
        outcome.lost = len(ledger.lost(world.image())) + sum('block lost' in line for line in complaints)
        drop_shadow(world.lab)
        wait_until('nothing is left over', lambda: not left_over(world), deadline=15, every=0.5)
    except LabError as error:
        outcome.left = left_over(world) or outcome.left
        if not outcome.left:
            outcome.notes.append(str(error))
