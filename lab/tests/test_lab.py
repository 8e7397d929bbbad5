"""A lab with real guests, as a user drives it. Needs root."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LAB = Path(__file__).resolve().parents[1] / 'umbra-lab'


def names() -> set[str]:
    return set(os.listdir('/run/netns')) if os.path.isdir('/run/netns') else set()


class LabTest(unittest.TestCase):
    """Every test gets a lab name of its own, which is taken down whatever happens."""

    def setUp(self):
        self.name = f't{os.getpid()}'
        self.addCleanup(lambda: self.lab('down'))

    def lab(self, *words: str, fails: bool = False, deadline: float = 120, name: str = '') -> str:
        done = subprocess.run([LAB, '--lab', name or self.name, *words], capture_output=True, text=True, timeout=deadline)
        if (done.returncode != 0) != fails:
            raise AssertionError(f"umbra-lab {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stderr if fails else done.stdout

    def node_processes(self, lab: str) -> list[str]:
        found = subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True).stdout.splitlines()
        return [line for line in found if f'/{lab} ' in line and 'node-init' in line]

    def assert_nothing_left(self, name: str = ''):
        lab = name or self.name
        self.assertEqual([space for space in names() if space.startswith(f'umbra-{lab}-')], [])
        self.assertEqual(self.node_processes(lab), [])
        self.assertFalse((Path('/run/umbra-lab') / lab).exists())


class Life(LabTest):
    def test_a_lab_that_was_killed_while_it_started_is_taken_down_whole(self):
        for seconds in ('0.2', '0.5', '0.8', '1.2'):
            subprocess.run(['timeout', '--foreground', '-s', 'KILL', seconds, LAB, '--lab', self.name, 'up', '--bare'],
                           capture_output=True)
            self.lab('down')
            self.assert_nothing_left()

    def test_a_start_that_fails_takes_back_what_it_made_and_says_why(self):
        self.assertIn('build them', subprocess.run(
            [LAB, '--lab', self.name, 'up'], env=os.environ | {'UMBRA_BIN': '/nowhere'}, capture_output=True, text=True).stderr)
        self.assertIn('cannot set', self.lab('up', '--bare', '--set', 'nonsense', fails=True))
        self.assert_nothing_left()

    def test_a_start_that_fails_late_names_file_and_key_and_leaves_nothing(self):
        told = self.lab('up', '--set', 'agent.shadow.refresh_interval="5 parsecs"', fails=True)
        self.assertRegex(told, r"/nodes/\w+/umbra\.toml:\d+: shadow\.refresh_interval: '5 parsecs' is not a duration")
        self.assertIn('up --keep', told)
        self.assert_nothing_left()

    def test_two_labs_at_once_do_not_meet(self):
        labs = [self.name, f'{self.name}b']
        self.addCleanup(lambda: self.lab('down', name=labs[1]))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.lab('up', '--bare', name=name), labs))
        self.lab('exec', 'host1', '--', 'ip', 'route', 'add', '10.9.9.9/32', 'via', '10.77.0.2')
        self.lab('exec', 'host1', '--', 'touch', '/etc/libvirt/mine')
        self.assertIn('10.9.9.9', self.lab('exec', 'host1', '--', 'ip', 'route'))
        self.assertNotIn('10.9.9.9', self.lab('exec', 'host1', '--', 'ip', 'route', name=labs[1]))
        self.lab('exec', 'host1', '--', 'test', '!', '-e', '/etc/libvirt/mine', name=labs[1])
        for name in labs:
            self.assertEqual(self.lab('exec', 'host1', '--', 'pgrep', '-c', '-x', 'libvirtd', name=name), '1\n')
        self.lab('down')
        self.assert_nothing_left()
        self.assertEqual(self.lab('exec', 'host2', '--', 'virsh', '-q', 'list', '--all', name=labs[1]).strip(), '')
        self.lab('down', name=labs[1])
        self.assert_nothing_left(labs[1])

    def test_down_works_after_the_crash_of_a_hosts_every_process(self):
        self.lab('up', '--bare')
        pid = next(node['pid'] for node in json.loads(self.lab('status', '-o', 'json'))['nodes'] if node['name'] == 'host1')
        os.kill(pid, 9)
        with tempfile.TemporaryDirectory() as logs:
            self.lab('down', '--logs', logs)
            self.assertTrue((Path(logs) / 'host2/libvirtd.log').exists())
        self.assert_nothing_left()
        self.lab('down')  # and once more, with nothing to do

    def test_nodes_have_names_networks_and_processes_of_their_own(self):
        self.lab('up', '--bare', '--zones', 'x,y')
        self.assertEqual(self.lab('exec', 'host2', '--', 'hostname'), 'host2\n')
        self.assertIn('10.77.0.101/24', self.lab('exec', 'edge1', '--', 'ip', '-o', '-4', 'address'))
        self.assertEqual(self.lab('exec', 'host1', '--', 'virsh', '-q', 'list', '--all').strip(), '')
        self.lab('exec', 'host1', '--', 'pkill', '-KILL', '-x', 'libvirtd')  # reaches the one libvirtd only
        shown = {node['name']: node for node in json.loads(self.lab('status', '-o', 'json'))['nodes']}
        self.assertIsNone(shown['host1']['services']['libvirtd'])
        self.assertIsNotNone(shown['host2']['services']['libvirtd'])
        self.assertEqual([shown['host1']['zone'], shown['host2']['zone']], ['x', 'y'])
        self.lab('service', 'host1', 'libvirtd', 'start')
        self.assertEqual(self.lab('exec', 'host1', '--', 'virsh', '-q', 'list', '--all').strip(), '')
        self.assertIn('lab', self.lab('up', '--bare', fails=True))


class Guests(LabTest):
    def setUp(self):
        super().setUp()
        self.lab('up', '--bare')

    def domains(self, name: str) -> dict[str, str]:
        return next(vm['domains'] for vm in json.loads(self.lab('vm', 'list', '-o', 'json')) if vm['name'] == name)

    def test_a_guest_goes_there_and_back_by_virsh_with_its_memory_and_its_session_whole(self):
        self.assertEqual(self.lab('vm', 'add', 'web', '--memory', '160', '--canary', '32:64'), '10.50.0.1\n')
        quiet = json.loads(self.lab('probe', 'web', '--seconds', '2', '--rate', '100'))
        self.assertEqual((quiet['sent'], quiet['lost']), (200, 0))
        for home, to in (('host1', 'host2'), ('host2', 'host1')):
            move = json.loads(self.lab('peer-migrate', 'web', '--to', to))
            self.assertEqual((move['from'], move['to'], move['canary_bad'], move['tcp_survived']), (home, to, 0, True))
            self.assertLess(0, move['blackout_ms'])
            self.assertLess(move['blackout_ms'], move['reach_ms'])
            self.assertLess(move['reach_ms'], move['total_ms'] + 1500)
            self.assertEqual(self.domains('web'), {to: 'running'})
        ticks = [int(line.split()[-1]) for line in self.lab('vm', 'console', 'web', '--log').splitlines() if ' tick ' in line]
        self.assertEqual(ticks, list(range(1, len(ticks) + 1)))

    def test_a_guest_reboots_and_powers_off_as_told(self):
        self.lab('vm', 'add', 'a', '--memory', '128', '--host', 'host2')
        self.lab('vm', 'tell', 'a', 'reboot')
        self.until(lambda: self.lab('vm', 'console', 'a', '--log').count('guest-up') == 2)
        self.lab('exec', 'host2', '--', 'virsh', 'shutdown', 'a')
        self.until(lambda: self.domains('a') == {'host2': 'shut off'})
        self.lab('vm', 'stop', 'a')
        self.assertEqual(self.lab('vm', 'list', '-o', 'json'), '[]\n')
        self.assertNotIn('tap', self.lab('exec', 'host2', '--', 'ip', '-o', 'link'))

    def until(self, ready) -> None:
        sys.path.insert(0, str(LAB.parent))
        from umbralab.common import wait_until
        wait_until('the guest obeys', ready, deadline=60, every=0.5)

    def test_bad_wishes_are_refused_with_a_remedy(self):
        self.assertIn('hosts are host1, host2', self.lab('vm', 'add', 'x', '--host', 'edge1', fails=True))
        self.assertIn('MIB:PAGES', self.lab('vm', 'add', 'x', '--canary', '12', fails=True))
        self.assertIn('vm add nobody', self.lab('probe', 'nobody', fails=True))
        self.assertIn('--bare', self.lab('ctl', 'hosts', fails=True))


if __name__ == '__main__':
    unittest.main()
