#!/usr/bin/env python3
"""The packages on hosts that boot with systemd: installed, configured wrongly and rightly, used, upgraded, removed, purged.

One fleet for all, and one guest; the tests run in the order of their names. As root; packaging/build comes first.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'lab'))
sys.dont_write_bytecode = True

from umbralab import containers, installed, nodes
from umbralab.common import LabError, run, wait_until
from umbralab.state import Lab

VM = 'web1'
ASK_PROMETHEUS = """
import sys, urllib.parse, urllib.request
query = urllib.parse.urlencode({'query': sys.argv[1]})
print(urllib.request.urlopen('http://127.0.0.1:9090/api/v1/query?' + query, timeout=10).read().decode())
"""


class Packages(unittest.TestCase):
    lab: Lab

    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = Lab(f'pkg{os.getpid()}', nodes=nodes.plan(2, 1, ['a']))
        cls.addClassCleanup(installed.down, cls.lab)
        cls.packages = Path(os.environ.get('UMBRA_PACKAGES', installed.PACKAGES)).resolve()
        cls.image = installed.up(cls.lab, cls.packages)

    def on(self, node: str, script: str, *, deadline: float = 60, check: bool = True) -> str:
        return containers.shell(self.lab, node, script, deadline=deadline, check=check).strip()

    def ctl(self, *words: str, deadline: float = 60) -> str:
        return installed.ctl(self.lab, *words, deadline=deadline)

    def property(self, node: str, unit: str, name: str) -> str:
        return self.on(node, f'systemctl show -P {name} {unit}')

    def shadow(self) -> dict:
        found = json.loads(self.ctl('shadows', '-o', 'json'))
        rows = found if isinstance(found, list) else found['shadows']
        return next((row for row in rows if row.get('vm') == VM or row.get('vm_name') == VM), {})

    def home(self) -> str:
        """The host that the VM runs on, once it does."""
        def runs(host: str) -> bool:
            return VM in self.on(host, 'virsh list --name --state-running').split()

        return wait_until(f'{VM} runs on one host', lambda: next((host for host in ('host1', 'host2') if runs(host)), ''), deadline=30)

    @staticmethod
    def other(host: str) -> str:
        return 'host2' if host == 'host1' else 'host1'

    def await_answer(self, address: str = '10.50.0.1') -> None:
        """Through the edge."""
        asked = nodes.in_network_of(self.lab, 'edge1', sys.executable, ROOT / 'lab/umbralab/probe.py', address, '--first', '5')

        def answered() -> bool:
            try:
                run(asked, deadline=30)
                return True
            except LabError:
                return False

        wait_until(f'{address} answers', answered, deadline=60, every=0.5)

    def qemus(self, host: str) -> list[str]:
        """Those of guests and shadows; another is the agent's own, which proves the hold."""
        return self.on(host, 'pgrep -u libvirt-qemu -x qemu-system-x86 || true').split()

    def keep(self, tier: str = 'hot') -> None:
        # Straight after a restart a host may be said to be away; whoever asks asks again.
        to = self.other(self.home())

        def kept() -> bool:
            try:
                self.ctl('shadow', 'keep', VM, '--to', to, '--tier', tier, deadline=120)
                return True
            except LabError as error:
                self.why = str(error)
                return False

        self.why = ''
        try:
            wait_until('a shadow is kept', kept, deadline=120, every=2)
        except LabError as error:
            raise LabError(f'{error}: {self.why}') from None

    def test_1_nothing_runs_until_it_is_configured(self) -> None:
        for node in self.lab.nodes.values():
            installed.install(self.lab, node)
            unit = 'umbra-controllerd' if node.role == 'controller' else 'umbra-agentd'
            self.assertEqual(self.on(node.name, f'systemctl is-enabled {unit}'), 'enabled')
            self.assertEqual(self.property(node.name, unit, 'ActiveState'), 'inactive')
            self.assertEqual(self.on(node.name, 'systemctl --failed --no-legend'), '')
        self.assertIn('umbra', self.on('host1', 'id -nG umbra').split())
        self.assertIn('libvirt', self.on('host1', 'id -nG umbra').split())
        self.assertEqual(self.on('host1', 'systemctl is-enabled umbra-guard'), 'enabled')
        left_alone = 'our %nrconf; do "/etc/needrestart/conf.d/umbra-agentd.conf" // die $@; print q(umbra-gate@x.service) =~ (keys %{$nrconf{override_rc}})[0];'
        self.assertEqual(self.on('host1', f"perl -we '{left_alone}'"), '1')

    def test_1b_the_test_that_the_packages_bring(self) -> None:
        """On the edge, which gets a controller for the while."""
        installed.install(self.lab, self.lab.nodes['edge1'], ['umbra-controller', 'umbra-cli'])
        script = (ROOT / 'packaging/debian/tests/one-machine').read_text()
        run(containers.inside(self.lab, 'edge1', 'sh', '-eu', '-s'), text=script, deadline=90)
        self.on('edge1', 'apt-get -qq purge -y umbra-agentd umbra-controller umbra-cli', deadline=150)
        self.assertEqual(self.on('edge1', 'ls -d /etc/umbra /var/lib/umbra 2> /dev/null || true'), '')
        installed.install(self.lab, self.lab.nodes['edge1'])

    def test_2_a_wrong_configuration_is_said_once(self) -> None:
        self.on('host2', 'printf "[agent]\\nnam = \\"host2\\"\\n" > /etc/umbra/agentd.toml; systemctl start umbra-agentd || true')
        time.sleep(3)
        self.assertEqual(self.property('host2', 'umbra-agentd', 'ActiveState'), 'failed')
        self.assertEqual(self.property('host2', 'umbra-agentd', 'NRestarts'), '0')
        self.assertEqual(self.property('host2', 'umbra-agentd', 'ExecMainStatus'), '78')
        self.assertIn('/etc/umbra/agentd.toml', self.on('host2', 'journalctl -u umbra-agentd -o cat'))
        self.on('host2', 'rm /etc/umbra/agentd.toml; systemctl reset-failed umbra-agentd')

    def test_3_the_first_shadow_and_the_first_move(self) -> None:
        # Agents come and go in these tests, which would be reason enough for the controller to move the guest in the middle of one.
        self.on('controller', 'mkdir -p /etc/umbra/controllerd.toml.d; printf "[brain]\\nautomatic = false\\n" > '
                '/etc/umbra/controllerd.toml.d/still.toml')
        installed.configure(self.lab)
        installed.add_guest(self.lab, VM, 1, 'host1')
        self.await_answer()
        wait_until('the controller says how the fleet is', lambda: self.property('controller', 'umbra-controllerd', 'StatusText').startswith(
            'nodes: 3 up; VMs: 1, '), deadline=30)
        said = installed.follow(self.lab, 'The first move')  # umbractl doctor has nothing to complain of, or ends with 1
        self.assertIn('moved', said)
        self.assertEqual(self.home(), 'host2')
        self.ctl('migrate', VM, '--to', 'host1', deadline=120)
        self.assertIn('VMs: ', self.property('host1', 'umbra-agentd', 'StatusText'))
        self.assertEqual(self.on('host1', 'ps -o user= -p $(systemctl show -P MainPID umbra-agentd)'), 'umbra')
        self.keep()
        for host in ('host1', 'host2'):  # started through systemd, as polkit allows the agent
            self.assertEqual(len(self.gates(host)), 1, self.on(host, 'systemctl list-units --all "umbra-gate@*"'))
        self.ctl('cutover', VM)
        self.assertEqual(self.home(), 'host2')
        self.await_answer()
        wait_until('the gates are gone', lambda: not self.gates('host1') and not self.gates('host2'), deadline=30)
        self.assertEqual(self.on('host1', 'systemctl --failed --no-legend'), '')

    def test_3b_a_missing_key_and_a_strange_ca_are_said_once(self) -> None:
        away, tls = self.other(self.home()), '/var/lib/umbra/agent/tls'
        self.on('controller', 'umbractl pki init --dir /tmp/strange')
        strange = self.on('controller', 'cat /tmp/strange/ca.crt; rm -r /tmp/strange')
        for harm, word in ((f'mv {tls}/key.pem {tls}/key.kept', f'{tls}/key.pem'),
                           (f'cp {tls}/ca.pem {tls}/ca.kept; cat > {tls}/ca.pem <<EOF\n{strange}\nEOF', 'install the CA certificate of the fleet')):
            self.on(away, f'{harm}\nsystemctl restart umbra-agentd || true')
            wait_until('it has given up', lambda: self.property(away, 'umbra-agentd', 'ActiveState') == 'failed', deadline=30)
            self.assertEqual(self.property(away, 'umbra-agentd', 'ExecMainStatus'), '78')
            self.assertEqual(self.property(away, 'umbra-agentd', 'NRestarts'), '0')
            self.assertIn(word, self.on(away, 'journalctl -u umbra-agentd -o cat -n 20'))
            self.on(away, f'for kept in {tls}/*.kept; do mv $kept ${{kept%.kept}}.pem; done; systemctl reset-failed umbra-agentd')
        self.on(away, 'systemctl start umbra-agentd')

    def test_3c_the_journal_knows_vms_and_cutovers_and_explains_itself(self) -> None:
        entries = [json.loads(line) for line in self.on('host1', f'journalctl -o json UMBRA_VM={VM}').splitlines()]
        moved = [entry for entry in entries if 'UMBRA_CUTOVER' in entry]
        self.assertTrue(moved, entries)
        self.assertIn('moved from host1 to host2', moved[0]['MESSAGE'])
        self.assertRegex(moved[0]['UMBRA_CUTOVER'], r'^[0-9a-f-]{36}/[0-9]+$')
        self.assertIn('umbractl why VM', self.on('host1', f'journalctl -x UMBRA_CUTOVER={moved[0]["UMBRA_CUTOVER"]}'))
        self.assertIn(VM, self.on('controller', f'journalctl -o cat UMBRA_VM={VM} UMBRA_KIND=cutover'))

    def test_3d_prometheus_scrapes_both_daemons(self) -> None:
        targets = {}
        for job, node, unit in (('umbra-agent', 'host1', 'agentd'), ('umbra-agent', 'host2', 'agentd'), ('umbra-agent', 'edge1', 'agentd'),
                                ('umbra-controller', 'controller', 'controllerd')):
            at = f'{self.lab.nodes[node].address}:9780'
            targets.setdefault(job, []).append(at)
            self.on(node, f'mkdir -p /etc/umbra/{unit}.toml.d; printf "[metrics]\\nlisten = \\"{at}\\"\\n" > /etc/umbra/{unit}.toml.d/metrics.toml; '
                    f'systemctl restart umbra-{unit}')
        with tempfile.TemporaryDirectory() as place:
            config = Path(place) / 'prometheus.yml'
            config.write_text(json.dumps({
                'global': {'scrape_interval': '1s', 'evaluation_interval': '1s'},
                'rule_files': [str(ROOT / 'metrics/rules/umbra.rules.yml')],
                'scrape_configs': [{'job_name': job, 'static_configs': [{'targets': all}]} for job, all in targets.items()]}))
            words = ['prometheus', f'--config.file={config}', f'--storage.tsdb.path={place}/data', '--web.listen-address=127.0.0.1:9090']
            prometheus = subprocess.Popen(nodes.in_network_of(self.lab, 'edge1', *words), stderr=subprocess.DEVNULL)
            try:
                def value(query: str) -> list[float]:
                    asked = nodes.in_network_of(self.lab, 'edge1', sys.executable, '-c', ASK_PROMETHEUS, query)
                    done = subprocess.run(asked, capture_output=True, text=True)
                    return [float(row['value'][1]) for row in json.loads(done.stdout)['data']['result']] if done.returncode == 0 else []

                wait_until('all are scraped', lambda: value('up') == [1.0] * 4, deadline=60)
                wait_until('all nodes are up', lambda: value('umbra_node_up') == [1.0] * 3, deadline=60)
                wait_until('agents are with their controller', lambda: value('umbra_controller_connected') == [1.0] * 3, deadline=60)
                wait_until('the VM runs', lambda: value('sum(umbra_vms_running)') == [1.0] and
                           value('umbra_fleet_vms{state="running"}') == [1.0], deadline=60)
                self.assertTrue(value('count({__name__=~"umbra_.*"}) > 50'))
                self.assertEqual(value('ALERTS{alertstate="firing"}'), [])
            finally:
                prometheus.terminate()
                prometheus.wait(timeout=30)

    def test_3e_a_reload_takes_a_new_certificate(self) -> None:
        before = self.property('controller', 'umbra-controllerd', 'MainPID')
        was = self.on('controller', 'openssl x509 -noout -serial -in /etc/umbra/controller/cert.pem')
        self.on('controller', 'umbractl pki renew --dir /root/pki --out /etc/umbra/controller; chown -R umbra-controller: /etc/umbra/controller; '
                'systemctl reload umbra-controllerd')
        wait_until('it tells so', lambda: 'new certificates' in self.on('controller', 'journalctl -u umbra-controllerd -o cat -n 20'), deadline=30)
        self.assertNotEqual(self.on('controller', 'openssl x509 -noout -serial -in /etc/umbra/controller/cert.pem'), was)
        self.assertEqual(self.property('controller', 'umbra-controllerd', 'MainPID'), before)
        self.ctl('hosts')

    def gates(self, host: str) -> list[str]:
        return self.on(host, 'systemctl list-units --no-legend --plain --state=active "umbra-gate@*" | cut -d" " -f1').split()

    def test_4_an_upgrade_under_a_shadow_keeps_it(self) -> None:
        self.keep()
        pids = {host: self.on(host, f'systemctl show -P MainPID {self.gates(host)[0]}') for host in ('host1', 'host2')}
        qemus = {host: self.qemus(host) for host in pids}
        for host in pids:
            before = self.property(host, 'umbra-agentd', 'MainPID')
            self.on(host, 'apt-get -qq install -y --reinstall --no-install-recommends /srv/packages/umbra-agentd_*.deb', deadline=300)
            self.assertEqual(self.property(host, 'umbra-agentd', 'ActiveState'), 'active')
            self.assertNotEqual(self.property(host, 'umbra-agentd', 'MainPID'), before)
        wait_until('the shadow is hot again', lambda: self.shadow().get('phase') == 'hot', deadline=60, every=0.5)
        self.assertEqual({host: self.on(host, f'systemctl show -P MainPID {self.gates(host)[0]}') for host in pids}, pids)
        self.assertEqual({host: self.qemus(host) for host in pids}, qemus)

    def test_5_an_agent_that_hangs_is_started_again(self) -> None:
        home = self.home()
        pid = self.property(home, 'umbra-agentd', 'MainPID')
        self.on(home, f'kill -STOP {pid}')
        wait_until('the watchdog has it started again', lambda: self.property(home, 'umbra-agentd', 'MainPID') not in (pid, '0') and
                   self.property(home, 'umbra-agentd', 'ActiveState') == 'active', deadline=90, every=0.5)
        self.await_answer()
        self.keep()

    def test_5b_without_libvirt_it_serves_and_says_so(self) -> None:
        away = self.other(self.home())
        self.ctl('shadow', 'drop', VM)
        self.on(away, 'systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd')
        self.on(away, 'systemctl restart umbra-agentd', deadline=60)
        self.assertEqual(self.property(away, 'umbra-agentd', 'ActiveState'), 'active')
        self.assertIn('libvirt is not reachable', self.property(away, 'umbra-agentd', 'StatusText'))
        self.on(away, 'systemctl start libvirtd.socket libvirtd')
        wait_until('it has found libvirt', lambda: 'VMs: 0' in self.property(away, 'umbra-agentd', 'StatusText'), deadline=60, every=0.5)
        self.keep()

    def test_5c_a_certificate_is_renewed_before_it_ends(self) -> None:
        """The agent has one that was made for a day, so it is due at once."""
        home = self.home()
        tls = '/var/lib/umbra/agent/tls'
        was = self.on(home, f'openssl x509 -noout -serial -enddate -in {tls}/cert.pem')
        key = self.on(home, f'cat {tls}/key.pem')
        made = (f'umbractl pki renew --dir /var/lib/umbra/controller/issuer --out /root/renewed --days 1')
        self.on('controller', f'mkdir -p /root/renewed; cat > /root/renewed/key.pem <<EOF\n{key}\nEOF\n'
                f'cat > /root/renewed/cert.pem <<EOF\n{self.on(home, f"cat {tls}/cert.pem")}\nEOF\n{made}')
        short = self.on('controller', 'cat /root/renewed/cert.pem; rm -r /root/renewed')
        self.on('controller', 'chown -R umbra-controller: /var/lib/umbra/controller/issuer')
        self.on(home, f'cat > {tls}/cert.pem <<EOF\n{short}\nEOF\nsystemctl restart umbra-agentd', deadline=60)
        wait_until('it has another', lambda: 'notAfter' in self.on(home, f'openssl x509 -noout -enddate -in {tls}/cert.pem') and
                   self.on(home, f'openssl x509 -noout -checkend {80 * 86400} -in {tls}/cert.pem || true').endswith('will not expire'),
                   deadline=60, every=0.5)
        self.assertNotEqual(self.on(home, f'openssl x509 -noout -serial -enddate -in {tls}/cert.pem'), was)
        self.assertEqual(self.on(home, f'cat {tls}/key.pem'), key)
        self.await_answer()

    def test_5d_a_reboot_moves_the_guests_first(self) -> None:
        home, away = self.home(), self.other(self.home())
        self.ctl('shadow', 'drop', VM)
        second = installed.add_guest(self.lab, 'web2', 2, home)
        wait_until('web2 is known', lambda: 'web2' in self.ctl('vms'), deadline=60)
        addresses = ('10.50.0.1', '10.50.0.2')
        for address in addresses:
            self.await_answer(address)
        patience = 'busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager InhibitDelayMaxUSec'
        self.assertEqual(self.on(home, patience), 't 300000000')  # logind has read the drop-in
        self.assertIn('Umbra', self.on(home, 'systemd-inhibit --list --no-pager'))
        tools = ROOT / 'lab/umbralab'
        watches = [subprocess.Popen(nodes.in_network_of(self.lab, 'edge1', sys.executable, tools / tool, address, *more), text=True,
                                    stdout=subprocess.PIPE)
                   for address in addresses for tool, more in (('probe.py', ['--seconds', '600', '--rate', '50']), ('echo.py', []))]
        try:
            time.sleep(2)
            self.on(home, 'systemctl reboot', check=False)
            wait_until('the host is down', lambda: nodes.anchor(self.lab, home) is None, deadline=300, every=0.5)
            time.sleep(3)
        finally:
            for watch in watches:
                watch.terminate()
            told = [json.loads(watch.communicate(timeout=30)[0]) for watch in watches]
        for probe, echo in zip(told[0::2], told[1::2]):
            self.assertEqual(probe['lost'], 0, told)
            self.assertEqual(echo['broken'], '', told)
            self.assertGreater(echo['exchanges'], 50, told)
        for vm in (VM, second.name):
            self.assertEqual(self.on(away, f'virsh domstate {vm}'), 'running')
        self.assertIn('shuts down; 2 VMs are moved away', self.ctl('events'))

        installed.boot(self.lab, self.lab.nodes[home], self.packages, self.image)
        containers.await_up(self.lab, self.lab.nodes[home])
        wait_until('it is back in the fleet', lambda: self.property(home, 'umbra-agentd', 'StatusText').startswith('VMs: '), deadline=60)
        self.assertEqual(self.on(away, f'virsh domstate {VM}'), 'running')
        self.assertEqual(self.qemus(home), [])
        self.on(away, 'virsh -q destroy web2; virsh -q undefine web2')

    def test_6_removed_from_the_standby_its_shadow_goes_and_the_guest_stays(self) -> None:
        home, away = self.home(), self.other(self.home())
        self.on(away, 'apt-get -qq remove -y umbra-agentd', deadline=150)
        self.assertEqual(self.on(away, 'virsh list --all --name'), '')
        self.assertEqual(self.qemus(away), [])
        self.assertEqual(self.home(), home)
        self.await_answer()
        self.on(away, 'apt-get -qq purge -y umbra-agentd', deadline=150)
        self.assertEqual(self.on(away, 'ls -d /etc/umbra /var/lib/umbra 2> /dev/null || true'), '')
        self.assertEqual(self.on(away, 'ip route show proto 117'), '')
        self.assertNotIn('tap1', self.on(away, 'ls /sys/class/net').split())

    def test_7_removed_from_under_a_guest_it_runs_on(self) -> None:
        home = self.home()
        guest = self.qemus(home)
        self.assertEqual(len(guest), 1)
        self.on(home, 'apt-get -qq remove -y umbra-agentd', deadline=150)
        self.assertEqual(self.qemus(home), guest)
        self.await_answer()  # its tap and routes stay as long as it runs
        self.assertEqual(self.on(home, 'systemctl --failed --no-legend'), '')
        self.on(home, 'apt-get -qq purge -y umbra-agentd', deadline=150)
        self.assertEqual(self.on(home, 'ls -d /etc/umbra /var/lib/umbra 2> /dev/null || true'), '')
        self.assertEqual(self.qemus(home), guest)
        self.await_answer()


if __name__ == '__main__':
    unittest.main(verbosity=2)
