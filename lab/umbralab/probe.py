#!/usr/bin/env python3
"""ICMP echo at a steady rate from the network namespace it is started in; prints one JSON object.

usage: probe.py ADDRESS --seconds S --rate PPS [--replies]     until then, or until SIGTERM or SIGINT
       probe.py ADDRESS --first SECONDS                        exits 0 as soon as one reply came, 1 if none did

  sent lost duplicates   packets; a reply counts if it comes within two seconds after the last was sent
  skipped                packets that were due and never left, because this program or its socket came too late: not sent, not lost
  dropped                replies that came and found the probe's own socket full: they count as lost, and are not the network's
  losses                 [when the first of them was sent, Unix seconds, how many] of lost packets that are close together; the first 20
  longest_gap_ms         longest time without a reply (by the kernel's receive stamps), from the first packet sent to the last
  longest_gap_at         when it began, Unix seconds
  median_rtt_ms max_rtt_ms
  replies                with --replies: when each came, Unix seconds
"""
from __future__ import annotations

import argparse
import errno
import gc
import json
import os
import select
import signal
import socket
import statistics
import struct
import sys
import time

SO_TIMESTAMPNS, SO_RXQ_OVFL, SO_RCVBUFFORCE = 35, 40, 33  # <asm-generic/socket.h>; Python 3.11 has no names for them
ECHO, ECHO_REPLY = 8, 0
GRACE = 2.0
ROOM = 1 << 26  # bytes of replies that wait for us: a guest that was away sends thousands at once
LATEST = 0.02  # seconds by which a packet may leave late; what is due longer is skipped, for a burst would be another load than was asked for
WAKES = 1000  # a second; with more packets than that, replies are collected when the next one is due
CLOSE = 0.05  # seconds between losses that are told as one
FULL = (errno.EAGAIN, errno.ENOBUFS)  # of our own socket
BODY = struct.Struct('!QI')  # who asks, and which packet


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


class Probe:
    def __init__(self, address: str):
        self.nonce = int.from_bytes(os.urandom(8), 'big')
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        self.socket.connect((address, 0))  # the kernel drops what others answer
        self.sent: list[float] = []
        self.received: dict[int, float] = {}
        self.duplicates = self.skipped = self.dropped = 0
        self.stopping = False

    def send(self) -> None:
        number = len(self.sent)
        body = BODY.pack(self.nonce, number)
        head = struct.pack('!BBHHH', ECHO, 0, 0, self.nonce & 0xffff, number & 0xffff)
        sum_ = checksum(head + body)
        at = time.time()
        try:
            self.socket.send(head[:2] + struct.pack('!H', sum_) + head[4:] + body)
        except OSError as error:
            if error.errno in FULL:
                self.skipped += 1
                return
            # no route at this moment: sent, and lost
        self.sent.append(at)

    def receive(self) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self.socket.recvmsg(256, 64)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error that the kernel reports on the socket
            seconds, nanoseconds = divmod(time.time_ns(), 10**9)
            for _, kind, data in ancillary:
                if kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack('ll', data)
                elif kind == SO_RXQ_OVFL:
                    self.dropped, = struct.unpack('I', data)
            icmp = packet[(packet[0] & 15) * 4:]
            if len(icmp) < 8 + BODY.size or icmp[0] != ECHO_REPLY:
                continue
            nonce, number = BODY.unpack_from(icmp, 8)
            if nonce != self.nonce:
                continue
            if number in self.received:
                self.duplicates += 1
            else:
                self.received[number] = seconds + nanoseconds / 1e9

    def wait(self, seconds: float) -> None:
        if select.select([self.socket], [], [], max(0.0, seconds))[0]:
            self.receive()

    def run(self, seconds: float, rate: float) -> None:
        # Real-time, or the guests' own CPU load delays the probe and is taken for a gap of the network.
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
        except PermissionError:
            pass
        gc.disable()
        start = time.monotonic()
        slot = 0  # which packet is due next, sent or not
        while not self.stopping:
            elapsed = time.monotonic() - start
            if elapsed >= seconds:
                break
            if (late := int((elapsed - LATEST) * rate) - slot) > 0:
                self.skipped += late
                slot += late
            if slot <= elapsed * rate:
                self.send()
                slot += 1
            ahead = start + slot / rate - time.monotonic()
            if rate <= WAKES:
                self.wait(ahead)
            elif ahead > 0:
                time.sleep(ahead)
                self.receive()
        end = time.monotonic() + GRACE
        while len(self.received) < len(self.sent) and time.monotonic() < end:
            self.wait(end - time.monotonic())

    def first(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self.received and time.monotonic() < end:
            self.send()
            self.wait(0.1)
        return bool(self.received)

    def losses(self) -> list[list[float]]:
        found: list[list[float]] = []
        last = 0.0
        for number, at in enumerate(self.sent):
            if number in self.received:
                continue
            if found and at - last <= CLOSE:
                found[-1][1] += 1
            else:
                found.append([round(at, 4), 1])
            last = at
        return found

    def report(self, with_replies: bool) -> dict[str, object]:
        arrivals = sorted(self.received.values())
        edges = [self.sent[0], *arrivals, max(self.sent[-1], arrivals[-1] if arrivals else 0)]
        gap, begin = max((later - earlier, earlier) for earlier, later in zip(edges, edges[1:]))
        trips = [(at - self.sent[number]) * 1000 for number, at in self.received.items()]
        report = {'sent': len(self.sent), 'lost': len(self.sent) - len(arrivals), 'duplicates': self.duplicates,
                  'skipped': self.skipped, 'dropped': self.dropped, 'losses': self.losses()[:20],
                  'longest_gap_ms': round(gap * 1000, 2), 'longest_gap_at': round(begin, 4),
                  'median_rtt_ms': round(statistics.median(trips), 3) if trips else None,
                  'max_rtt_ms': round(max(trips), 3) if trips else None}
        return report | ({'replies': [round(at, 6) for at in arrivals]} if with_replies else {})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('address')
    parser.add_argument('--seconds', type=float, default=10)
    parser.add_argument('--rate', type=float, default=500)
    parser.add_argument('--replies', action='store_true')
    parser.add_argument('--first', type=float)
    wanted = parser.parse_args()
    probe = Probe(wanted.address)
    if wanted.first is not None:
        return 0 if probe.first(wanted.first) else 1

    def stop(*_: object) -> None:
        probe.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    probe.run(wanted.seconds, wanted.rate)
    print(json.dumps(probe.report(wanted.replies)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
