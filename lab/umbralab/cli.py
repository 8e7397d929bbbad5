"""The command line of umbra-lab."""
from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from pathlib import Path

from . import guests, hosts, nodes, peer, services, state, storage, umbra
from .common import LabError, say
from .faults import power
from .state import Lab

HERE = Path(__file__).resolve().parent


def up(wanted: argparse.Namespace) -> None:
    if os.geteuid() != 0:
        raise LabError('namespaces need root', 'run it as root')
    lab = Lab(state.valid_name(wanted.lab), bare=wanted.bare, faults=wanted.faults)
    with state.locked(lab.name):
        if state.exists(lab.name):
            raise LabError(f"lab '{lab.name}' is there already", f'umbra-lab --lab {lab.name} down, or choose another --lab')
        lab.nodes = nodes.plan(wanted.hosts, wanted.edges, wanted.zones.split(','))
        _apply_overrides(lab, wanted)
        if not lab.bare:
            umbra.binaries()
        try:
            _make(lab)
        except BaseException as failure:
            if not (wanted.keep and isinstance(failure, LabError)):
                say('that failed; taking down what was made')
                _unmake(lab)
                if isinstance(failure, LabError) and failure.remedy:
                    failure.remedy += ', which `up --keep` leaves there'
            raise
    say(f"lab '{lab.name}' is up: {', '.join(lab.nodes)}")


def _make(lab: Lab) -> None:
    lab.dir.mkdir(parents=True)
    lab.save()  # first, so that `down` knows of it whatever happens next
    nodes.make_network(lab)
    storage.make(lab)
    for host in lab.of_role('host'):
        hosts.prepare(lab, host)
    say(f'starting {len(lab.nodes)} nodes')
    nodes.boot(lab, list(lab.nodes.values()))
    hosts.start(lab, lab.of_role('host'))
    if not lab.bare:
        say('starting controller and agents')
        umbra.configure(lab)
        umbra.start(lab)


def _apply_overrides(lab: Lab, wanted: argparse.Namespace) -> None:
    for setting in wanted.set:
        key, equals, literal = setting.partition('=')
        target, _, inner = key.partition('.')
        of = [node for node in lab.nodes.values()
              if target == node.name or (target == 'agent' and node.role in ('host', 'edge'))]
        if not (equals and inner and of):
            raise LabError(f"cannot set '{setting}'", "write agent.SECTION.KEY=TOML, controller.SECTION.KEY=TOML or "
                                                     "NODE.SECTION.KEY=TOML, like agent.shadow.refresh_interval='\"2s\"'")
        for node in of:
            node.overrides[inner] = literal
    for capacity in wanted.host_capacity:
        name, _, rest = capacity.partition(':')
        node = lab.host(name)
        for item in rest.split(','):
            if re.fullmatch(r'cpus=[0-9.]+', item):
                node.overrides['capacity.cpus'] = item[5:]
            elif re.fullmatch(r'memory=[0-9]+[KMGT]iB', item):
                node.overrides['capacity.memory'] = f'"{item[7:]}"'
            else:
                raise LabError(f"'{item}' is no capacity", 'write HOST:cpus=N,memory=NGiB')


def down(wanted: argparse.Namespace) -> None:
    with state.locked(wanted.lab):
        try:
            lab = state.load(wanted.lab)
        except (LabError, ValueError, TypeError, KeyError):  # never made, or its file is damaged
            lab = Lab(wanted.lab)
        there = lab.dir.exists() or bool(nodes.namespaces(lab))
        if there and wanted.logs:
            services.keep_logs(lab, wanted.logs)
        _unmake(lab)
    say(f"lab '{lab.name}' is down" if there else f"there is no lab '{lab.name}'; nothing to do")


def _unmake(lab: Lab) -> None:
    nodes.unmake(lab)
    storage.unmake(lab)
    state.forget(lab)


def vm(wanted: argparse.Namespace) -> None:
    if wanted.verb == 'add':
        made = guests.add(wanted.lab, wanted.name, host=wanted.host, memory_mib=wanted.memory, canary=wanted.canary,
                          transient=wanted.transient, disk=wanted.disk, wait=wanted.wait)
        print(made.address)
        return
    lab = state.load(wanted.lab)
    if wanted.verb == 'list':
        _print_vms(guests.listed(lab), wanted.output)
    elif wanted.verb == 'stop':
        guests.stop(wanted.lab, wanted.name)
    elif wanted.verb == 'tell':
        guests.tell(lab, lab.vm(wanted.name), ' '.join(wanted.words))
    else:
        guests.console(lab, lab.vm(wanted.name), attach=sys.stdin.isatty() and not wanted.log)


def _print_vms(listed: list[dict], output: str) -> None:
    if output == 'json':
        print(json.dumps(listed))
        return
    print(f"{'NAME':<12} {'ADDRESS':<12} {'MEMORY':>9}  {'CANARY':<26} DOMAINS")
    for row in listed:
        canary = f"{row['canary']['writes']} writes, {row['canary']['bad']} bad" if row['canary'] else '-'
        places = ', '.join(f'{host}: {is_}' for host, is_ in row['domains'].items()) or 'none'
        print(f"{row['name']:<12} {row['address']:<12} {row['memory_mib']:>5} MiB  {canary:<26} {places}")


def execute(wanted: argparse.Namespace) -> None:
    lab = state.load(wanted.lab)
    command = nodes.inside(lab, lab.node(wanted.node).name, *wanted.command)
    os.execvp(command[0], command)


def ctl(wanted: argparse.Namespace) -> None:
    lab = state.load(wanted.lab)
    command = umbra.ctl_command(lab, wanted.command)
    os.execvpe(command[0], command, os.environ | umbra.ctl_environment(lab))


def probe(wanted: argparse.Namespace) -> None:
    """Probe and session: one program on the edge each, which prints its own JSON."""
    lab = state.load(wanted.lab)
    program = HERE / ('probe.py' if wanted.command_name == 'probe' else 'session.py')
    command = nodes.in_network_of(lab, guests.edge_of(lab), sys.executable, program, lab.vm(wanted.vm).address,
                                  '--seconds', wanted.seconds, '--rate', wanted.rate)
    os.execvp(command[0], command)


def peer_migrate(wanted: argparse.Namespace) -> None:
    lab = state.load(wanted.lab)
    print(json.dumps(peer.migrate(lab, lab.vm(wanted.vm), wanted.to, wanted.rate)))


def service(wanted: argparse.Namespace) -> None:
    lab = state.load(wanted.lab)
    node, name = lab.node(wanted.node).name, wanted.service
    if name not in services.known(lab, node):
        raise LabError(f'{node} has no service {name}', f"it has {', '.join(services.known(lab, node)) or 'none'}")
    if wanted.action in ('stop', 'restart'):
        services.stop(lab, node, name)
    elif wanted.action == 'kill':
        services.stop(lab, node, name, signal.SIGKILL)
    if wanted.action in ('start', 'restart'):
        services.restart(lab, node, name)
        if name == 'libvirtd':
            hosts.await_ready(lab, node)


def cut_power(wanted: argparse.Namespace) -> None:
    lab = state.load(wanted.lab)
    node, runs = lab.node(wanted.node).name, nodes.anchor(lab, wanted.node) is not None
    if runs == (wanted.action == 'on'):
        raise LabError(f"{node} is {'on' if runs else 'off'} already")
    (power.on if wanted.action == 'on' else power.off)(lab, node)


def agents(wanted: argparse.Namespace) -> None:
    lab = state.load(wanted.lab)
    if lab.bare:
        raise LabError('this lab was started without controller and agents', 'down, then up without --bare')
    (umbra.start if wanted.action == 'start' else umbra.stop)(lab)


def status(wanted: argparse.Namespace) -> None:
    lab = state.load(wanted.lab)
    shown = [{'name': node.name, 'role': node.role, 'zone': node.zone, 'address': node.address,
              'netns': lab.netns(node.name), 'pid': nodes.anchor(lab, node.name),
              'services': {name: services.running(lab, node.name, name) for name in services.known(lab, node.name)}}
             for node in lab.nodes.values()]
    listed = guests.listed(lab)
    if wanted.output == 'json':
        print(json.dumps({'lab': lab.name, 'dir': str(lab.dir), 'bare': lab.bare, 'nodes': shown, 'vms': listed}))
        return
    print(f"lab {lab.name} in {lab.dir}{' (bare)' if lab.bare else ''}")
    print(f"{'NODE':<11} {'ZONE':<6} {'ADDRESS':<12} SERVICES")
    for row in shown:
        running = ', '.join(f"{name}{'' if pid else ' (ended)'}" for name, pid in row['services'].items()) or '-'
        print(f"{row['name']:<11} {row['zone']:<6} {row['address']:<12} {running if row['pid'] else 'the node is not running'}")
    _print_vms(listed, 'table')


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog='umbra-lab', description='A fleet on one machine, with real guests.')
    top.add_argument('--lab', default='default', metavar='NAME', help='which lab; several may run at once (default)')
    anywhere = argparse.ArgumentParser(add_help=False)
    anywhere.add_argument('--lab', default=argparse.SUPPRESS, metavar='NAME', help=argparse.SUPPRESS)
    commands = top.add_subparsers(dest='command_name', required=True, metavar='COMMAND')

    def command(name: str, action, text: str, to=commands) -> argparse.ArgumentParser:
        added = to.add_parser(name, help=text, description=text, parents=[anywhere])
        added.set_defaults(action_of=action)
        return added

    one = command('up', up, 'Start a lab')
    one.add_argument('--hosts', type=int, default=2, metavar='N', help='hosts (2)')
    one.add_argument('--zones', default='a,b', metavar='A,B', help='zones, dealt to the hosts in turn (a,b)')
    one.add_argument('--edges', type=int, default=1, metavar='N', help='edges (1)')
    one.add_argument('--bare', action='store_true', help='no controller and no agents; the lab itself makes routes')
    one.add_argument('--set', action='append', default=[], metavar='KEY=TOML',
                     help="configuration of daemons, like agent.shadow.refresh_interval='\"2s\"'")
    one.add_argument('--host-capacity', action='append', default=[], metavar='HOST:cpus=N,memory=NGiB',
                     help='what the host says it has')
    one.add_argument('--faults', action='store_true', help='for tests/faults: agents stop at fault points, state directories are small')
    one.add_argument('--keep', action='store_true', help='if it fails, leave everything to be looked at until `down`')

    one = command('down', down, 'Take the lab down; leaves nothing behind')
    one.add_argument('--logs', type=Path, metavar='DIR', help="first copy every node's logs, journals and core dumps to DIR")

    verbs = command('vm', vm, 'Guests').add_subparsers(dest='verb', required=True, metavar='VERB')
    one = command('add', vm, 'Start a guest; prints its address once it answers', verbs)
    one.add_argument('name')
    one.add_argument('--host', help='where (the first host)')
    one.add_argument('--memory', type=int, default=256, metavar='MIB')
    one.add_argument('--canary', default='', metavar='MIB:PAGES', help='memory canary: its size, pages rewritten every 20 ms')
    one.add_argument('--disk', default='', metavar='shared[:SIZE]', help='a disk on storage that all hosts share (shared:256M)')
    one.add_argument('--transient', action='store_true', help='without a persistent definition')
    one.add_argument('--no-wait', dest='wait', action='store_false', help='do not wait until it answers')
    one = command('console', vm, 'Show what the guest wrote, on whichever host; on a terminal, then attach', verbs)
    one.add_argument('name')
    one.add_argument('--log', action='store_true', help='do not attach')
    one = command('tell', vm, "Type a line into the guest's shell, like `poweroff`", verbs)
    one.add_argument('name')
    one.add_argument('words', nargs='+')
    command('stop', vm, 'End a guest wherever it is, and forget it', verbs).add_argument('name')
    command('list', vm, 'Guests and where they are', verbs).add_argument('-o', dest='output', choices=['table', 'json'],
                                                                         default='table')

    one = command('exec', execute, 'Run a command in a node')
    one.add_argument('node')
    one.add_argument('command', nargs='*', metavar='-- CMD')
    command('ctl', ctl, 'umbractl as admin').add_argument('command', nargs='*', metavar='ARGS')
    for name, rate, text in (('probe', 500, 'ICMP echo from edge1 to a guest; JSON'),
                             ('session', 50, 'One TCP connection from edge1 to a guest; JSON')):
        one = command(name, probe, text)
        one.add_argument('vm')
        one.add_argument('--seconds', type=float, default=10)
        one.add_argument('--rate', type=float, default=rate, metavar='PPS')
    one = command('peer-migrate', peer_migrate, 'Move a guest with virsh, routes flipped as it resumes; JSON')
    one.add_argument('vm')
    one.add_argument('--to', required=True, metavar='HOST')
    one.add_argument('--rate', type=float, default=500, metavar='PPS', help='of the probe meanwhile')
    one = command('service', service, 'Stop, start or kill a daemon of a node')
    one.add_argument('node')
    one.add_argument('service', help='libvirtd, agent or controller')
    one.add_argument('action', choices=['start', 'stop', 'restart', 'kill'])
    one = command('power', cut_power, 'Cut the power of a node; or boot it: a host with its guard, libvirt with autostart, and agent')
    one.add_argument('node')
    one.add_argument('action', choices=['off', 'on'])
    command('agents', agents, 'Stop or start all agents and the controller').add_argument('action', choices=['start', 'stop'])
    command('status', status, 'Nodes, services, guests').add_argument('-o', dest='output', choices=['table', 'json'],
                                                                      default='table')
    return top


OURS = {'ctl': 1, 'exec': 2}  # words of these commands that are for umbra-lab, the command's name included


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """What is for umbra-lab, and what is for the program that `ctl` or `exec` starts."""
    at, ours = 0, 0
    while at < len(words):
        if words[at] == '--lab' or words[at].startswith('--lab='):
            at += 2 if words[at] == '--lab' else 1
            continue
        ours = ours or OURS.get(words[at], 0)
        if not ours or words[at].startswith('-'):
            break
        at, ours = at + 1, ours - 1
        if not ours:
            return words[:at], words[at + 1:] if words[at:at + 1] == ['--'] else words[at:]
    return words, []


def parse(words: list[str]) -> argparse.Namespace:
    """Split first: argparse would take the other program's options for ours, even behind a REMAINDER."""
    ours, theirs = _split(words)
    wanted = parser().parse_args(ours)
    if theirs:
        wanted.command = theirs
    return wanted


def _interrupted(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupted)
    wanted = parse(sys.argv[1:])
    try:
        state.valid_name(wanted.lab)
        wanted.action_of(wanted)
    except LabError as error:
        print(f'umbra-lab: {error}', file=sys.stderr)
        if error.remedy:
            print(f'umbra-lab: {error.remedy}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
