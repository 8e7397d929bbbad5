#!/usr/bin/env python3
"""One TCP session to a guest's echo service, from the network namespace it is started in; prints one JSON object at its end.

usage: echo.py ADDRESS     until SIGTERM

  exchanges   numbers that were sent and came back, in order
  longest_ms  the longest of them
  broken      why the session ended by itself; empty: it did not
"""
from __future__ import annotations

import json
import signal
import socket
import sys
import time

PORT, PAUSE, PATIENCE = 7, 0.02, 60.0  # the guest's services.c; seconds


def main() -> int:
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    exchanges, longest, broken = 0, 0.0, ''
    try:
        with socket.create_connection((sys.argv[1], PORT), timeout=PATIENCE) as session:
            session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not told:
                word, began, answer = b'%d\n' % exchanges, time.monotonic(), b''
                session.sendall(word)
                while not answer.endswith(b'\n'):
                    if not (piece := session.recv(64)):
                        raise OSError('the guest closed it')
                    answer += piece
                if answer != word:
                    raise OSError(f'{word!r} came back as {answer!r}')
                exchanges += 1
                longest = max(longest, time.monotonic() - began)
                time.sleep(PAUSE)
    except OSError as error:
        broken = str(error)
    print(json.dumps({'exchanges': exchanges, 'longest_ms': round(longest * 1000, 1), 'broken': broken}))
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
