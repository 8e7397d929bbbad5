"""The moments of a shadow's life at which a fault can strike, and how the fleet is brought there and held there."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .world import VM, World


@dataclass(frozen=True)
class Phase:
    name: str
    reach: Callable[[World], None]
    after_promise: bool = False  # the source has promised: the guest may end up on either side
    handed_over: bool = False  # the guest is, or will be, the standby's


def _staging(point: str) -> Callable[[World], None]:
    def reach(world: World) -> None:
        world.arm('source', point)
        world.begin('shadow', 'keep', VM, '--to', world.standby, '--tier', 'warm')
        world.reached('source', point)

    return reach


def _parked(world: World) -> None:
    world.keep()


def _refreshing(world: World) -> None:
    world.keep()
    world.arm('source', 'refreshing')
    world.reached('source', 'refreshing')


def _cutover(role: str, point: str) -> Callable[[World], None]:
    def reach(world: World) -> None:
        world.keep()
        world.arm(role, point)
        world.begin('cutover', VM)
        world.reached(role, point)

    return reach


def _during_the_copy(world: World) -> None:
    _staging('bulk-copy')(world)
    world.disarm()
    time.sleep(0.1)  # the copy runs; it takes some tenths of a second


PHASES = [
    Phase('staging', _staging('staging')),
    Phase('bulk-copy', _during_the_copy),
    Phase('parked', _parked),
    Phase('refreshing', _refreshing),
    Phase('arm', _cutover('source', 'arm')),
    Phase('converge', _cutover('source', 'converge')),
    Phase('promise', _cutover('source', 'promise')),
    Phase('flip', _cutover('source', 'flip'), after_promise=True),
    Phase('stop', _cutover('source', 'stop'), after_promise=True),
    Phase('pre-switchover', _cutover('source', 'pre-switchover'), after_promise=True),
    Phase('hand-over', _cutover('standby', 'hand-over'), after_promise=True, handed_over=True),
    Phase('serving', _cutover('standby', 'serving'), after_promise=True, handed_over=True),
    Phase('clean-up', _cutover('source', 'clean-up'), after_promise=True, handed_over=True),
]
