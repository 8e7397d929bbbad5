#!/usr/bin/env python3
"""One TCP connection to a guest's echo service, kept for as long as asked; prints one JSON object.

usage: session.py ADDRESS --seconds S [--rate N]     until then, or until SIGTERM or SIGINT

  survived          the connection never broke, and every byte came back, in order
  sent echoed       messages
  longest_wait_ms   longest time a message was under way
  error             why it did not survive
"""
from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import struct
import time

MESSAGE = struct.Struct('!Q56x')
GRACE = 10.0  # a retransmission timer that has backed off needs seconds


class Session:
    def __init__(self, address: str):
        self.socket = socket.create_connection((address, 7), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent: list[float] = []
        self.echoed = 0
        self.longest = 0.0
        self.pending = b''
        self.stopping = False

    def send(self) -> None:
        self.sent.append(time.monotonic())
        self.socket.sendall(MESSAGE.pack(len(self.sent) - 1))

    def receive(self, seconds: float) -> None:
        if not select.select([self.socket], [], [], max(0.0, seconds))[0]:
            return
        if not (data := self.socket.recv(1 << 16)):
            raise ConnectionError('closed by the guest')
        self.pending += data
        while len(self.pending) >= MESSAGE.size:
            number, = MESSAGE.unpack_from(self.pending)
            if number != self.echoed or self.echoed >= len(self.sent):
                raise ConnectionError(f'message {self.echoed} was due and {number} came')
            self.pending = self.pending[MESSAGE.size:]
            self.longest = max(self.longest, time.monotonic() - self.sent[number])
            self.echoed += 1

    def run(self, seconds: float, rate: float) -> None:
        start = time.monotonic()
        while not self.stopping and (elapsed := time.monotonic() - start) < seconds:
            if len(self.sent) <= elapsed * rate:
                self.send()
            self.receive(start + len(self.sent) / rate - time.monotonic())
        end = time.monotonic() + GRACE
        while self.echoed < len(self.sent):
            if time.monotonic() > end:
                raise ConnectionError(f'{len(self.sent) - self.echoed} messages are unanswered')
            self.receive(end - time.monotonic())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('address')
    parser.add_argument('--seconds', type=float, default=10)
    parser.add_argument('--rate', type=float, default=50)
    wanted = parser.parse_args()
    error = ''
    session = None
    try:
        session = Session(wanted.address)

        def stop(*_: object) -> None:
            session.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        session.run(wanted.seconds, wanted.rate)
    except OSError as problem:
        error = str(problem)
    print(json.dumps({'survived': not error, 'sent': len(session.sent) if session else 0,
                      'echoed': session.echoed if session else 0,
                      'longest_wait_ms': round(session.longest * 1000, 2) if session else None, 'error': error}))


if __name__ == '__main__':
    main()
