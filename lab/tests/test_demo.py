"""The demo as a newcomer runs it, and the figures that it reports. Needs root, and Umbra built."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from umbralab import umbra

FIGURES = {'blackout_ms', 'reach_ms', 'lost', 'longest_gap_ms', 'canary_bad', 'tcp_survived'}


class Demo(unittest.TestCase):
    def test_both_guests_are_moved_before_the_trouble_and_the_report_has_the_figures_of_every_move(self):
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / 'report.json'
            done = subprocess.run([HERE.parent / 'demo', '--report', report], env=os.environ | {'UMBRA_BIN': str(umbra.binaries())},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280)
            self.assertEqual(done.returncode, 0, done.stdout)
            told = json.loads(report.read_text())
        self.assertEqual((told['ok'], told['failures']), (True, []))
        self.assertEqual([(move['vm'], move['tool'], move['trigger']) for move in told['moves']],
                         [('web1', 'umbra', 'zone health'), ('db1', 'umbra', 'forecast'),
                          ('web1', 'virsh', 'command'), ('db1', 'virsh', 'command')])
        for move in told['moves']:
            with self.subTest(vm=move['vm'], tool=move['tool']):
                self.assertLessEqual(FIGURES, set(move))
                self.assertLess(0, move['blackout_ms'])
                self.assertLess(move['blackout_ms'], move['reach_ms'])
                self.assertEqual((move['canary_bad'], move['tcp_survived']), (0, True))


if __name__ == '__main__':
    unittest.main()
