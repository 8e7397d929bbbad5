"""The lab's parts that need no namespace."""
import argparse
import contextlib
import errno
import importlib.machinery
import importlib.util
import io
import os
import struct
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from umbralab import bare, cli, demo, guests, nodes, plumbing, probe, state, storage, umbra
from umbralab.common import LabError, alone, run, wait_until
from umbralab.faults.copies import LAST, Copies
from umbralab.faults.main import CHOSEN, matrix
from umbralab.state import Lab, Vm


def a_vm(name: str = 'web', number: int = 3) -> Vm:
    return Vm(name, number, '11111111-2222-3333-4444-555555555555', 'host1', 256, '96:256', False)


def a_probe(sent: list[float], received: dict[int, float]) -> probe.Probe:
    made = object.__new__(probe.Probe)  # no raw socket
    made.sent, made.received = sent, received
    made.duplicates = made.skipped = made.dropped = 0
    return made


def copies(ran: list[tuple[float, list[int]]], alive: dict[int, float]) -> int:
    made = object.__new__(Copies)  # nothing runs
    made._ran, made._alive = ran, alive
    return made.most


def alone_from(qemu: int, begin: int, end: int) -> list[tuple[float, list[int]]]:
    return [(sample / 100, [qemu]) for sample in range(begin, end)]


class CopiesOfAGuest(unittest.TestCase):
    ALIVE = {1: 4.0, 2: 4.0}

    def test_a_guest_that_moves_is_one_copy(self):
        self.assertEqual(copies(alone_from(1, 0, 100) + [(1.0, [1, 2])] + alone_from(2, 101, 400), self.ALIVE), 1)

    def test_a_qemu_that_runs_after_another_has_run_since_is_a_second_copy(self):
        self.assertEqual(copies(alone_from(1, 0, 100) + alone_from(2, 105, 200) + alone_from(1, 200, 300), self.ALIVE), 2)

    def test_two_that_run_at_once_are_two_copies(self):
        self.assertEqual(copies(alone_from(1, 0, 100) + [(1 + t / 100, [1, 2]) for t in range(5)], self.ALIVE), 2)

    def test_the_last_work_of_a_qemu_that_is_being_ended_is_no_copy(self):
        ended = 2.5
        self.assertEqual(copies(alone_from(1, 0, 100) + alone_from(2, 105, 240) + alone_from(1, 240, 250) + alone_from(2, 251, 400),
                                {1: ended, 2: ended + LAST + 1}), 1)

    def test_nothing_ran(self):
        self.assertEqual(copies([], {}), 0)


class Faults(unittest.TestCase):
    def test_the_cells_that_tests_run_plays_are_cells_of_the_matrix(self):
        self.assertEqual(len(CHOSEN), 14)
        self.assertLessEqual(set(CHOSEN), set(matrix()))


class Disks(unittest.TestCase):
    def test_a_disk_has_a_size_or_the_usual_one(self):
        self.assertEqual([storage.size_of(word) for word in ('', 'shared', 'shared:1G')], ['', storage.DEFAULT_SIZE, '1G'])
        for wrong in ('local', 'shared:', 'shared:0M', 'shared:1', 'shared:1M '):
            with self.assertRaises(LabError):
                storage.size_of(wrong)


class ProbeReport(unittest.TestCase):
    def test_the_checksum_of_a_packet_with_its_checksum_in_place_is_zero(self):
        packet = struct.pack('!BBHHH', 8, 0, 0, 0x1234, 7) + b'\xff\xee\xdd\xcc'
        whole = packet[:2] + struct.pack('!H', probe.checksum(packet)) + packet[4:]
        self.assertEqual(probe.checksum(whole), 0)

    def test_a_gap_is_the_longest_time_between_replies(self):
        report = a_probe([0, 1, 2, 3], {0: 0.1, 1: 1.1, 2: 2.6, 3: 3.1}).report(False)
        self.assertEqual((report['sent'], report['lost']), (4, 0))
        self.assertEqual((report['longest_gap_ms'], report['longest_gap_at']), (1500, 1.1))
        self.assertEqual(report['max_rtt_ms'], 600)

    def test_silence_until_the_end_is_a_gap_too(self):
        report = a_probe([0, 1, 2, 3], {0: 0.25}).report(False)
        self.assertEqual((report['lost'], report['longest_gap_ms']), (3, 2750))

    def test_a_guest_that_never_answers_is_one_long_gap(self):
        report = a_probe([0, 1, 2], {}).report(False)
        self.assertEqual((report['lost'], report['longest_gap_ms'], report['max_rtt_ms']), (3, 2000, None))

    def test_losses_are_told_by_when_they_were_sent_and_those_close_together_as_one(self):
        sent = [number / 100 for number in range(100)]
        lost = {10, 11, 12, 50}
        report = a_probe(sent, {number: at for number, at in enumerate(sent) if number not in lost}).report(False)
        self.assertEqual(report['losses'], [[0.1, 3], [0.5, 1]])


class ProbeRuns(unittest.TestCase):
    """Against a network that answers at once, under a clock that moves as it is told."""

    def run_one(self, rate: float, seconds: float, cost: float = 0, stall: tuple[float, float] = (-1, 0), full: range = range(0)) -> probe.Probe:
        made, clock = a_probe([], {}), [0.0]
        made.stopping, made.nonce, made.socket = False, 1, mock.Mock()
        calls = iter(range(10**6))

        def send(_: bytes) -> None:
            clock[0] += cost
            if next(calls) in full:
                raise OSError(errno.ENOBUFS, 'full')

        def sleep(time_: float) -> None:
            clock[0] += max(0.0, time_)
            if stall[0] <= clock[0] < stall[0] + stall[1]:
                clock[0] = stall[0] + stall[1]

        def now() -> float:
            clock[0] += 1e-6
            return clock[0]

        made.socket.send = send
        made.wait, made.receive = sleep, lambda: made.received.update({number: 0.0 for number in range(len(made.sent))})
        with mock.patch.multiple(probe.time, monotonic=now, time=lambda: clock[0], sleep=sleep), \
                mock.patch.object(probe.os, 'sched_setscheduler'), mock.patch.object(probe.gc, 'disable'):
            made.run(seconds, rate)
        return made

    def test_all_that_was_asked_for_is_sent_evenly(self):
        for rate in (500, 5000):
            ran = self.run_one(rate, 2)
            self.assertAlmostEqual(len(ran.sent), 2 * rate, delta=1)
            self.assertEqual(ran.skipped, 0)
            self.assertLess(max(later - earlier for earlier, later in zip(ran.sent, ran.sent[1:])), 1.01 / rate)

    def test_what_a_short_stall_held_up_is_sent_and_what_a_long_one_did_is_skipped(self):
        short = self.run_one(5000, 1, stall=(0.5, 0.01))
        self.assertEqual(short.skipped, 0)
        long = self.run_one(5000, 1, stall=(0.5, 0.2))
        self.assertAlmostEqual(long.skipped, 5000 * (0.2 - probe.LATEST), delta=5)
        self.assertAlmostEqual(len(long.sent) + long.skipped, 5000, delta=2)
        self.assertEqual(long.report(False)['lost'], 0)

    def test_what_the_socket_did_not_take_is_neither_sent_nor_lost(self):
        ran = self.run_one(5000, 1, full=range(100, 130))
        self.assertEqual((ran.skipped, ran.report(False)['lost']), (30, 0))


class BareMoves(unittest.TestCase):
    LIVE = """<domain type='qemu' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <metadata><umbra:vm xmlns:umbra='https://umbra.invalid/vm/1'/></metadata>
  <devices><disk><source><seclabel model='dac' relabel='no'/></source></disk></devices>
  <seclabel type='dynamic' model='dac' relabel='yes'>
    <label>+64055:+64055</label>
  </seclabel>
  <seclabel type='dynamic' model='none'/>
  <qemu:commandline>
    <qemu:arg value='-qmp'/>
  </qemu:commandline>
</domain>"""

    def test_a_destination_waits_for_memory_once_and_is_otherwise_as_the_source(self):
        made = bare.paused_xml(self.LIVE)
        self.assertEqual(bare.paused_xml(made), made)
        self.assertEqual(made.count("<qemu:arg value='-incoming'/><qemu:arg value='defer'/></qemu:commandline>"), 1)
        self.assertNotIn("id='3'", made)
        self.assertNotIn('dynamic', made)
        self.assertIn("xmlns:umbra='https://umbra.invalid/vm/1'", made)
        self.assertIn("<seclabel model='dac' relabel='no'/>", made)


class BenchSummary(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        loader = importlib.machinery.SourceFileLoader('cutover', str(Path(__file__).resolve().parents[2] / 'bench/cutover'))
        cls.bench = importlib.util.module_from_spec(importlib.util.spec_from_loader('cutover', loader))
        loader.exec_module(cls.bench)

    def a_round(self, tool: str, of: float, lost: int = 0, **more: object) -> dict[str, object]:
        return {key: of for key, _ in self.bench.MEASURES} | {'tool': tool, 'lost': lost, 'sent': 1000, 'skipped': 1, 'tap_dropped': {'host1': 0}, 'tcp_survived': True,
                                                              'canary_bad': 0} | more

    def test_umbras_medians_stand_to_those_of_each_other_tool(self):
        own = {'blackout_ms': 9.0, 'reach_ms': 40.0}
        rounds = [self.a_round('umbra', of, umbra=own) for of in (10, 20, 30)] + \
                 [self.a_round('virsh', 200, lost=7, total_ms=400), self.a_round('virsh-tuned', 100), self.a_round('bare', 10)]
        told = self.bench.summary(rounds)
        self.assertEqual(list(told['ratios']), ['virsh', 'virsh-tuned', 'bare'])
        self.assertEqual(told['ratios']['virsh'], {'blackout': 0.1, 'resumed': 0.1, 'reach': 0.1, 'reach_to_command': 0.05})
        self.assertEqual(told['ratios']['bare']['blackout'], 2)
        self.assertEqual(told['umbra']['blackout_ms'], {'median': 20, 'min': 10, 'max': 30, 'q1': 15, 'q3': 25})
        self.assertEqual((told['umbra']['rounds_without_loss'], told['virsh']['rounds_without_loss']), (3, 0))
        self.assertEqual(told['umbra_says']['reach_ms']['median'], 40)

    def test_agents_are_told_of_a_stream_only_when_it_is_asked_for(self):
        for words, told in ((['--no-bare'], []), (['--no-bare', '--stream', 'tls'], ['agent.migration.stream="tls"']),
                            ([], ['agent.shadow.allowed_qemu_arguments=["-qmp unix:/var/lib/libvirt/qemu/bench.monitor,server=on,wait=off"]'])):
            with self.subTest(words), mock.patch.object(sys, 'argv', ['cutover', *words]):
                self.assertEqual(self.bench.settings(self.bench.parse()), told)


class Plans(unittest.TestCase):
    def test_zones_are_dealt_to_the_hosts_in_turn(self):
        planned = nodes.plan(3, 1, ['a', 'b'])
        self.assertEqual([planned[f'host{i}'].zone for i in (1, 2, 3)], ['a', 'b', 'a'])
        self.assertEqual(list(planned), ['host1', 'host2', 'host3', 'edge1', 'controller'])
        self.assertEqual(len({node.address for node in planned.values()}), 5)

    def test_every_router_but_the_guests_host_goes_by_that_host(self):
        lab = Lab('t', nodes=nodes.plan(2, 1, ['a']))
        self.assertEqual(plumbing.routes_to(lab, a_vm(), 'host2'),
                         {'host2': 'route replace 10.50.0.3/32 proto 117 dev tap3',
                          'edge1': 'route replace 10.50.0.3/32 proto 117 via 10.77.0.2',
                          'host1': 'route replace 10.50.0.3/32 proto 117 via 10.77.0.2'})

    def test_the_name_of_a_lab_cannot_reach_into_anothers_namespaces(self):
        for name in ('', 'a-b', '../x', 'A', 'a' * 21):
            with self.subTest(name), self.assertRaises(LabError):
                state.valid_name(name)
        with mock.patch('os.listdir', return_value=['umbra-a-host1', 'umbra-ab-host1', 'umbra-a-other', 'umbra-a-net']):
            self.assertEqual(nodes.namespaces(Lab('a')), ['umbra-a-host1', 'umbra-a-net'])


class Configuration(unittest.TestCase):
    def overrides(self, **given) -> Lab:
        lab = Lab('t', nodes=nodes.plan(2, 1, ['a', 'b']))
        cli._apply_overrides(lab, argparse.Namespace(**{'set': [], 'host_capacity': []} | given))
        return lab

    def test_a_setting_reaches_the_daemons_it_names(self):
        lab = self.overrides(set=['agent.shadow.refresh_interval="2s"', 'controller.brain.tick="1s"', 'host2.agent.log_level="debug"'])
        self.assertEqual(lab.nodes['edge1'].overrides, {'shadow.refresh_interval': '"2s"'})
        self.assertEqual(lab.nodes['controller'].overrides, {'brain.tick': '"1s"'})
        self.assertEqual(lab.nodes['host2'].overrides, {'shadow.refresh_interval': '"2s"', 'agent.log_level': '"debug"'})

    def test_a_capacity_becomes_configuration_of_that_host(self):
        lab = self.overrides(host_capacity=['host1:cpus=2,memory=1GiB'])
        self.assertEqual(lab.nodes['host1'].overrides, {'capacity.cpus': '2', 'capacity.memory': '"1GiB"'})

    def test_a_setting_for_nobody_is_an_error_with_a_remedy(self):
        for given in ({'set': ['nobody.a.b=1']}, {'set': ['agent']}, {'host_capacity': ['host1:speed=2']},
                      {'host_capacity': ['host9:cpus=1']}):
            with self.subTest(given), self.assertRaises(LabError) as caught:
                self.overrides(**given)
            self.assertTrue(caught.exception.remedy)

    def test_what_is_written_is_toml_and_holds_the_overrides(self):
        lab = self.overrides(set=['agent.shadow.refresh_interval="2s"'])
        node = lab.nodes['host1']
        written = tomllib.loads(umbra._toml(umbra._configuration(lab, node) | node.overrides))
        self.assertEqual(written['agent'] | {'state_dir': ''},
                         {'name': 'host1', 'role': 'host', 'zone': 'a', 'state_dir': '', 'log_level': 'info'})
        self.assertEqual(written['shadow']['refresh_interval'], '2s')
        self.assertEqual(written['controller']['endpoint'], '10.77.0.200:7700')


class CommandLine(unittest.TestCase):
    def test_what_follows_ctl_is_for_umbractl_and_what_follows_exec_and_its_node_for_that_command(self):
        for words, theirs in ((['ctl', '-o', 'json', 'vms'], ['-o', 'json', 'vms']),
                              (['ctl', '--help'], ['--help']),
                              (['ctl', '--version'], ['--version']),
                              (['ctl', '--', 'vms', '--', '-x'], ['vms', '--', '-x']),
                              (['ctl', 'vms', '--lab', 'z'], ['vms', '--lab', 'z']),
                              (['ctl'], []),
                              (['exec', 'host1', '--', 'ip', '-4', 'address'], ['ip', '-4', 'address']),
                              (['exec', 'host1', 'ip', '--help'], ['ip', '--help'])):
            for before in ([], ['--lab', 'ctl'], ['--lab=ctl']):
                with self.subTest(before + words):
                    wanted = cli.parse(before + words)
                    self.assertEqual(wanted.command, theirs)
                    self.assertEqual((wanted.lab, wanted.command_name), ('ctl' if before else 'default', words[0]))
        self.assertEqual(cli.parse(['exec', '--lab', 'z', 'host1', '--', 'ls', '-l']).lab, 'z')

    def test_other_commands_keep_their_options_to_themselves(self):
        wanted = cli.parse(['vm', 'tell', 'exec', 'reboot', '--lab', 'z'])
        self.assertEqual((wanted.lab, wanted.name, wanted.words), ('z', 'exec', ['reboot']))
        for words, told in ((['exec', '--help'], 'Run a command in a node'), (['exec'], 'required: node'), (['--la'], 'expected')):
            with self.subTest(words), self.assertRaises(SystemExit), \
                    contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
                cli.parse(words)
            self.assertIn(told, out.getvalue())


class Console(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        patch = mock.patch.dict(os.environ, {'UMBRA_LAB_DIR': directory.name})
        patch.start()
        self.addCleanup(patch.stop)
        self.lab, self.vm = Lab('t', nodes=nodes.plan(2, 1, ['a'])), a_vm()

    def wrote(self, host: str, *lines: str) -> None:
        directory = self.lab.node_dir(host) / 'log/qemu'
        directory.mkdir(parents=True)
        (directory / 'web-console.log').write_bytes('\r\n'.join(lines).encode())

    def test_the_logs_of_a_guest_that_moved_there_and_back_are_joined_in_its_order(self):
        self.wrote('host1', 'guest-up 10.50.0.3', '1700000001.000 tick 1', '1700000003.000 tick 3')
        self.wrote('host2', '1700000002.000 tick 2', 'guest# \x1b[6n')
        self.assertEqual(guests.log(self.lab, self.vm).splitlines(),
                         ['guest-up 10.50.0.3', '1700000001.000 tick 1', '1700000002.000 tick 2', 'guest# ',
                          '1700000003.000 tick 3'])

    def test_the_canarys_last_word_counts(self):
        self.wrote('host1', '1700000001.000 canary writes 10 bad 0')
        self.wrote('host2', '1700000002.000 canary page 7 generation 2 is damaged', '1700000002.500 canary writes 20 bad 1')
        self.assertEqual(guests.canary(self.lab, self.vm),
                         {'at': 1700000002.5, 'writes': 20, 'bad': 1,
                          'complaints': ['1700000002.000 canary page 7 generation 2 is damaged']})

    def test_a_line_counts_as_typed_though_others_wrote_into_its_echo(self):
        for echo in ('power off\n', 'p1700000001.000 canary writes 9600 bad 0\nower off\n', 'power o[   10.145] reboot\nff\n'):
            with self.subTest(echo):
                self.assertTrue(guests.has_echoed('1700000000.000 tick 1\n' + echo + 'guest# ', 'power off'))
        self.assertFalse(guests.has_echoed('p1700000001.000 canary writes 9600 bad 0\nower', 'power off'))

    def test_a_kernel_that_complains_is_damage_though_the_canary_is_silent(self):
        self.wrote('host1', '1700000001.000 canary writes 10 bad 0', '[    9.1] BUG: unable to handle page fault')
        self.assertEqual(guests.canary(self.lab, self.vm)['bad'], 1)

    def test_a_lab_reads_back_as_it_was_saved(self):
        self.lab.vms['web'] = self.vm
        self.lab.dir.mkdir(parents=True)
        self.lab.save()
        self.assertEqual(state.load('t'), self.lab)
        with state.changing('t') as lab:
            del lab.vms['web']
        self.assertEqual(state.load('t').vms, {})

    def test_a_lock_whose_file_its_holder_deleted_can_be_had_again(self):
        lock = self.lab.dir / 'lock'
        with alone(lock):
            lock.unlink()
        with alone(lock):
            self.assertTrue(lock.exists())


class Triggers(unittest.TestCase):
    def test_the_trigger_of_a_move_is_what_weighed_most_in_the_decision_to_make_it(self):
        def decision(action: str, **causes: float) -> dict:
            return {'action': action, 'causes': [{'name': name, 'probability': value} for name, value in causes.items()]}

        why = {'decisions': [decision('hold back: cooldown', maintenance=1), decision('cutover to host2', zone=0.2, capacity=0.9),
                             decision('cutover to host2', zone=0.9), decision('cutover to host3')]}
        self.assertEqual(demo.top_cause(why, 'host2'), 'capacity')
        self.assertEqual(demo.top_cause(why, 'host3'), '')
        self.assertEqual(demo.top_cause(why, 'host1'), '')


class Commands(unittest.TestCase):
    def test_a_failing_command_says_what_it_said(self):
        with self.assertRaisesRegex(LabError, 'no such thing'):
            run(['sh', '-c', 'echo no such thing >&2; exit 3'])

    def test_a_command_that_never_ends_is_ended(self):
        with self.assertRaisesRegex(LabError, 'within 0.1 s'):
            run(['sleep', '60'], deadline=0.1)

    def test_a_program_that_is_missing_says_where_to_get_it(self):
        with self.assertRaises(LabError) as caught:
            run(['/nowhere/to/be/found'])
        self.assertIn('install-packages', caught.exception.remedy)

    def test_waiting_has_a_deadline(self):
        with self.assertRaisesRegex(LabError, 'pigs fly: not within'):
            wait_until('pigs fly', lambda: False, deadline=0.01, every=0.001)


if __name__ == '__main__':
    unittest.main()
