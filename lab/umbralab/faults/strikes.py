"""What can go wrong, and how it is put right again by whoever looks after the fleet."""
from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from .. import fleet, hosts, services
from ..common import LabError
from . import power
from .phases import Phase
from .world import VM, World


@dataclass(frozen=True)
class Fault:
    name: str
    strike: Callable[[World], None]
    lift: Callable[[World], None] = lambda world: None
    seconds: float = 1.0  # from the strike to the lift
    ends_guest: Callable[[Phase], bool] = lambda phase: False  # the only copy may go with it
    ends_session: bool = False  # a connection to the guest cannot outlive it
    on_shadow: bool = False
    outcome: Callable[[World], str] = lambda world: ''  # what is wrong in the end with what a person changed


def _service(role: str, service: str) -> Fault:
    def strike(world: World) -> None:
        services.stop(world.lab, world.node(role), service, signal.SIGKILL)

    def lift(world: World) -> None:
        services.restart(world.lab, world.node(role), service)
        if service == 'libvirtd':
            hosts.await_ready(world.lab, world.node(role))

    return Fault(f'kill {role} {service}' if service in ('agent', 'libvirtd') else f'kill {service}', strike, lift)


def _qemu(role: str) -> Fault:
    def strike(world: World) -> None:
        if (pid := power.qemu_of(world.lab, world.node(role), VM)) is None:
            world.said.append(f'there is no QEMU on the {role} yet')
        else:
            power.kill_qemu(pid)

    # The source's is the guest until the hand-over, the standby's is from then on; in between either may be.
    ends = (lambda phase: not phase.handed_over) if role == 'source' else (lambda phase: phase.handed_over)
    return Fault(f'kill {role} qemu', strike, ends_guest=ends, ends_session=True)


def _gate(role: str) -> Fault:
    """The process that carries the stream on that side; its agent does not start another for this shadow."""
    def strike(world: World) -> None:
        gates = power.gates_of(world.lab, world.node(role))
        if not gates:
            world.said.append(f'there is no gate on the {role} yet')
        for pid in gates:
            os.kill(pid, signal.SIGKILL)

    return Fault(f'kill {role} gate', strike)


def _power(role: str) -> Fault:
    ends = {'source': lambda phase: not phase.handed_over, 'standby': lambda phase: phase.after_promise}
    return Fault(f'power {role}', lambda world: power.off(world.lab, world.node(role)),
                 lambda world: power.on(world.lab, world.node(role)), seconds=5.0,
                 ends_guest=ends.get(role, lambda phase: False), ends_session=True)


def _cut(one: str, other: str) -> Fault:
    return Fault(f'cut {one} {other}', lambda world: power.cut(world.lab, world.node(one), world.node(other)),
                 lambda world: power.join(world.lab, world.node(one), world.node(other)), seconds=8.0)


def _late() -> Fault:
    """Shorter than any deadline: what was sent arrives by retransmission."""
    return Fault('messages late', lambda world: power.cut(world.lab, world.source, world.standby),
                 lambda world: power.join(world.lab, world.source, world.standby), seconds=1.5)


def _messages(how: str) -> Fault:
    return Fault(f'messages {how}', lambda world: power.spoil(world.lab, how, world.source, world.standby),
                 lambda world: power.spoil(world.lab, how, world.source, world.standby, lift=True), seconds=6.0)


def _full(role: str) -> Fault:
    return Fault(f'disk full {role}', lambda world: power.fill(world.lab, world.node(role)),
                 lambda world: power.empty(world.lab, world.node(role)), seconds=5.0)


def _virsh(role: str, name: str, *words: str, ends_guest: Callable[[Phase], bool] = lambda phase: False,
           undo: tuple[str, ...] = (), outcome: Callable[[World], str] = lambda world: '') -> Fault:
    """By hand; what libvirt refuses at that moment is no fault of Umbra's, and is told."""
    def by_hand(world: World, what: tuple[str, ...]) -> None:
        host = world.node(role)
        try:
            hosts.virsh(world.lab, host, *(word.format(vm=VM, shared=world.lab.shared, time=len(list(world.lab.shared.iterdir())))
                                           for word in what), deadline=20)
            world.by_hand = True
        except LabError as refused:
            world.said.append(f'virsh {what[0]} on {role}: {str(refused).splitlines()[-1]}')

    return Fault(f'virsh {name} {role}', lambda world: by_hand(world, words),
                 (lambda world: by_hand(world, undo)) if undo else (lambda world: None), seconds=2.0, ends_guest=ends_guest,
                 ends_session=name in ('destroy', 'suspend'), on_shadow=role == 'standby', outcome=outcome)


def _title(wanted: str) -> Callable[[World], str]:
    def wrong(world: World) -> str:
        there = hosts.virsh(world.lab, world.runner(), 'desc', VM, '--title', '--live').strip()
        there = '' if there.startswith('No title') else there
        return '' if there == wanted else f'the title is "{there}" instead of "{wanted}"'

    return wrong


def told(world: World) -> bool:
    """A device that is changed once the guest has left cannot follow it; that is said."""
    events = fleet.ask(world.lab, 'events', '--vm', VM, '--last', 30)['events']
    return any('in the moment it moved' in event['text'] and event['at_unix_ms'] > world.began for event in events)


def _disc(wanted: bool) -> Callable[[World], str]:
    def wrong(world: World) -> str:
        there = world.medium('sda')
        return '' if (there != '-') == wanted or told(world) else f"in the CD drive is {there}"

    return wrong


TITLE = 'edited by hand'
SNAPSHOT = ('snapshot-create-as', '{vm}', '--disk-only', '--atomic', '--no-metadata', '--diskspec', 'vda,file={shared}/{vm}.overlay{time}',
            '--diskspec', 'sda,snapshot=no')
EDIT = ('desc', '{vm}', '--title', '--live', '--new-desc', TITLE)
EJECT = ('change-media', '{vm}', 'sda', '--eject', '--force')

FAULTS = [
    *(_service(role, 'agent') for role in ('source', 'standby', 'edge')),
    _service('controller', 'controller'),
    *(_service(role, 'libvirtd') for role in ('source', 'standby')),
    *(_qemu(role) for role in ('source', 'standby')),
    *(_gate(role) for role in ('source', 'standby')),
    *(_power(role) for role in ('source', 'standby', 'edge', 'controller')),
    _cut('source', 'standby'), _cut('source', 'controller'), _cut('standby', 'controller'), _cut('source', 'edge'),
    _cut('standby', 'edge'),
    _late(), _messages('lost'), _messages('doubled'),
    *(_full(role) for role in ('source', 'standby', 'controller')),
    _virsh('source', 'snapshot', *SNAPSHOT),
    _virsh('source', 'edit', *EDIT, '--config', outcome=_title(TITLE)),
    _virsh('source', 'eject', *EJECT, outcome=_disc(False)),
    _virsh('source', 'suspend', 'suspend', '{vm}', undo=('resume', '{vm}')),
    _virsh('source', 'resume', 'resume', '{vm}'),
    _virsh('source', 'destroy', 'destroy', '{vm}', ends_guest=lambda phase: not phase.handed_over),
    _virsh('source', 'start', 'start', '{vm}'),
    _virsh('standby', 'snapshot', *SNAPSHOT),
    _virsh('standby', 'edit', *EDIT, outcome=_title('')),
    _virsh('standby', 'eject', *EJECT, outcome=_disc(True)),
    _virsh('standby', 'suspend', 'suspend', '{vm}', undo=('resume', '{vm}')),
    _virsh('standby', 'resume', 'resume', '{vm}'),
    _virsh('standby', 'destroy', 'destroy', '{vm}', ends_guest=lambda phase: phase.handed_over),
    _virsh('standby', 'start', 'start', '{vm}'),
]
