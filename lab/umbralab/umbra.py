"""Umbra's own daemons in a lab: a fleet CA, configuration, start, and umbractl as admin."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from . import nodes, services
from .common import CACHE, ROOT, LabError, run, say, wait_until
from .state import AGENT_PORT, CONTROLLER_PORT, GATEWAY_ADDRESS, GATEWAY_MAC, ROUTE_PROTOCOL, Lab, Node

PROGRAMS = ('umbra-agentd', 'umbra-controllerd', 'umbra-gate', 'umbractl')


def binaries() -> Path:
    """$UMBRA_BIN, or else the newest build in this checkout."""
    places = [Path(os.environ['UMBRA_BIN'])] if 'UMBRA_BIN' in os.environ else ROOT.glob('build/*/bin')
    complete = [place for place in places if all((place / name).exists() for name in PROGRAMS)]
    if not complete:
        raise LabError(f"found no folder with {', '.join(PROGRAMS)}",
                       'build them (cmake --preset dev && cmake --build --preset dev), name their folder in UMBRA_BIN, '
                       'or start the lab without them: up --bare')
    return max(complete, key=lambda place: (place / PROGRAMS[0]).stat().st_mtime)


def _controller_endpoint(lab: Lab) -> str:
    return f"{lab.nodes['controller'].address}:{CONTROLLER_PORT}"


def issue_certificates(lab: Lab) -> None:
    ctl, pki = binaries() / 'umbractl', lab.dir / 'pki'
    run([ctl, 'pki', 'init', '--dir', pki])
    roles = {node.name: 'agent' if node.role == 'host' else node.role for node in lab.nodes.values()} | {'admin': 'admin'}
    for name, role in roles.items():
        run([ctl, 'pki', 'issue', '--dir', pki, '--role', role, '--name', name, '--out', lab.dir / 'certificates' / name])


def _text(value: object) -> str:
    return json.dumps(str(value))  # a JSON string is a TOML basic string


def _configuration(lab: Lab, node: Node) -> dict[str, str]:
    """TOML literals by dotted key."""
    certificates = lab.dir / 'certificates' / node.name
    state = lab.node_dir(node.name) / 'state'
    common = {'tls.ca': _text(certificates / 'ca.pem'), 'tls.certificate': _text(certificates / 'cert.pem'),
              'tls.key': _text(certificates / 'key.pem')}
    if node.role == 'controller':
        return common | {'controller.name': _text(node.name), 'controller.state_dir': _text(state),
                         'controller.log_level': _text('info'), 'listen.endpoint': _text(_controller_endpoint(lab))}
    return common | {
        'agent.name': _text(node.name), 'agent.role': _text(node.role), 'agent.zone': _text(node.zone),
        'agent.state_dir': _text(state), 'agent.log_level': _text('info'),
        'controller.endpoint': _text(_controller_endpoint(lab)), 'controller.name': _text('controller'),
        'listen.endpoint': _text(f'{node.address}:{AGENT_PORT}'), 'libvirt.uri': _text('qemu:///system'),
        'network.underlay_address': _text(node.address), 'network.gateway_mac': _text(GATEWAY_MAC),
        'network.gateway_address': _text(GATEWAY_ADDRESS), 'network.route_protocol': str(ROUTE_PROTOCOL),
        # the guests' kernel and disks
        'shadow.allowed_paths': json.dumps([str(CACHE), str(lab.dir / 'shared'), '/tmp'])}


def _toml(values: dict[str, str]) -> str:
    tables: dict[str, list[str]] = {}
    for key, literal in values.items():
        table, _, name = key.rpartition('.')
        tables.setdefault(table, []).append(f'{name} = {literal}')
    return '\n\n'.join('\n'.join([f'[{table}]', *lines]) for table, lines in tables.items()) + '\n'


def configure(lab: Lab) -> None:
    issue_certificates(lab)
    for node in lab.nodes.values():
        (lab.node_dir(node.name) / 'state').mkdir(parents=True, exist_ok=True)
        (lab.node_dir(node.name) / 'umbra.toml').write_text(_toml(_configuration(lab, node) | node.overrides))


def _service(node: Node) -> str:
    return 'controller' if node.role == 'controller' else 'agent'


def start(lab: Lab) -> None:
    """Starts controller and agents, and waits until the controller has heard of every host."""
    where = binaries()
    for node in sorted(lab.nodes.values(), key=lambda node: node.role != 'controller'):
        program = where / ('umbra-controllerd' if node.role == 'controller' else 'umbra-agentd')
        holding = ['env', f'UMBRA_FAULT_POINTS={lab.points(node.name)}'] if lab.faults else []
        services.start(lab, node.name, _service(node), [*holding, program, '--config', lab.node_dir(node.name) / 'umbra.toml'])
    say('waiting for the agents to report to the controller')
    wait_until('all hosts report to the controller', lambda: _all_report(lab), deadline=60, every=0.2,
               remedy=f'see {lab.dir}/nodes/*/agent.log and nodes/controller/controller.log')


def _all_report(lab: Lab) -> bool:
    for node in lab.nodes.values():
        if not services.running(lab, node.name, _service(node)):
            raise LabError(f'{_service(node)} on {node.name} ended: {services.tail(lab, node.name, _service(node))}',
                           f'see {services.log_of(lab, node.name, _service(node))}')
    answer = subprocess.run(ctl_command(lab, ['hosts', '-o', 'json']), env=os.environ | ctl_environment(lab),
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if answer.returncode != 0:
        return False
    up = {host['node']['name'] for host in json.loads(answer.stdout).get('hosts', []) if host.get('up')}
    return up >= {host.name for host in lab.of_role('host')}


def stop(lab: Lab) -> None:
    """Stops agents and controller; guests and routes stay as they are."""
    for node in lab.nodes.values():
        services.stop(lab, node.name, _service(node))


def ctl_environment(lab: Lab) -> dict[str, str]:
    admin = lab.dir / 'certificates/admin'
    return {'UMBRA_CONTROLLER': _controller_endpoint(lab), 'UMBRA_CA': str(admin / 'ca.pem'),
            'UMBRA_CERT': str(admin / 'cert.pem'), 'UMBRA_KEY': str(admin / 'key.pem')}


def ctl_command(lab: Lab, words: list[str]) -> list[str]:
    """umbractl on the controller's network but in the caller's directory, so that file names mean what the caller means."""
    if lab.bare:
        raise LabError('this lab was started without controller and agents', 'down, then up without --bare')
    return nodes.in_network_of(lab, 'controller', binaries() / 'umbractl', *words)
