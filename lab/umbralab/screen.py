"""What a person watching sees: chapters, events as they come, one line that tells the present, tables. Plain when piped."""
from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
import time

STYLES = {'strong': '1', 'faint': '2', 'good': '32', 'bad': '31', 'warn': '33'}


class Screen:
    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._colours = self._terminal and 'NO_COLOR' not in os.environ
        self._lock = threading.Lock()
        self._present = self._told = ''
        self._begun = time.monotonic()

    def styled(self, text: str, style: str) -> str:
        return f'\x1b[{STYLES[style]}m{text}\x1b[0m' if self._colours else text

    def _width(self) -> int:
        return max(60, min(140, shutil.get_terminal_size((120, 40)).columns))

    def _print(self, text: str) -> None:
        with self._lock:
            wiped = '\r\x1b[K' if self._terminal and self._present else ''
            print(wiped + text, flush=True)
            if self._terminal and self._present:
                print(self._present, end='', flush=True)

    def chapter(self, title: str, *told: str) -> None:
        self.present('')
        self._print('\n' + self.styled(f'== {title}', 'strong'))
        for text in told:
            self._print(textwrap.fill(text, self._width()))

    def line(self, text: str, style: str = '') -> None:
        at = f'{time.monotonic() - self._begun:6.1f}s  '
        first, *more = textwrap.wrap(text, self._width() - len(at)) or ['']
        shown = '\n'.join([first, *(' ' * len(at) + part for part in more)])
        self._print(self.styled(at, 'faint') + (self.styled(shown, style) if style else shown))

    def block(self, text: str) -> None:
        margin = ' ' * 9 + '| '
        for line in text.rstrip('\n').splitlines():
            indent = margin + ' ' * (len(line) - len(line.lstrip()))
            self._print(textwrap.fill(line, self._width(), initial_indent=margin, subsequent_indent=indent,
                                      drop_whitespace=bool(line.strip())) or margin.rstrip())

    def present(self, text: str, key: str = '') -> None:
        """The line that tells what is. A terminal sees each change of it in place, a file only what changes `key`."""
        if self._terminal:
            with self._lock:
                self._present = text[:self._width() - 1]
                print('\r\x1b[K' + self._present, end='', flush=True)
        elif text and key != self._told:
            self.line(text)
        self._told = key

    def table(self, heads: list[str], rows: list[list[object]]) -> None:
        cells = [[('-' if cell is None else str(cell)) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in [heads, *cells]) for i in range(len(heads))]
        right = [all(row[i][:1].isdigit() or row[i] in ('-', '') for row in cells) for i in range(len(heads))]

        def put(row: list[str]) -> str:
            return '  '.join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right)).rstrip()

        self._print(self.styled(put(heads), 'strong'))
        for row in cells:
            self._print(put(row))
