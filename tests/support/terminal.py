"""What a person at a terminal checks of a `relay` command: its exit code, its language, its words."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress

from tests.support.service import ROOT

LANGUAGES = ("en", "zh")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


class Terminal:
    """Types commands on one relay's configuration in one language; `afresh` in processes that import the relay first.

    run(...)   the words it printed; asserts the exit code, and that texts for people are in the language asked for
    json(...)  the same command with --json, read
    """

    def __init__(self, relay, language, *, afresh=False):
        self.relay = relay
        self.language = language
        self.afresh = afresh

    def run(self, *words, code=0, stdin=None, quiet=False):
        """Both streams together; `quiet` for output that is in no language: lists, keys, JSON Schema."""
        done = self.relay.command(*words, stdin=stdin, lang=self.language, afresh=self.afresh)
        said = done.stdout + done.stderr
        assert done.returncode == code, f"relay {' '.join(map(str, words))}: exit {done.returncode}\n{said}"
        assert "Traceback" not in said, said
        if not quiet:
            assert bool(_CHINESE.search(said)) == (self.language == "zh"), f"relay {' '.join(map(str, words))}:\n{said}"
        return said

    def json(self, *words, code=0):
        done = self.relay.command(*words, "--json", lang=self.language, afresh=self.afresh)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def choose(self, zh, en):
        return zh if self.language == "zh" else en


def screen(config, *words, lang="en"):
    """What a `relay` command writes to a real terminal, control sequences and all; asserts that it succeeds."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "relay", "--config", config, "--lang", lang, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(its)
    shown = b""
    with suppress(OSError):  # EIO is how Linux says that nobody has it open any more
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(120) == 0, shown.decode()
    return shown.decode()
