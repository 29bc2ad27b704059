"""What a person at a terminal checks of a `relay` command: its exit code, its language, its words."""

import json
import re

LANGUAGES = ("en", "zh")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


class Terminal:
    """Types commands on one relay's configuration in one language.

    run(...)   the words it printed; asserts the exit code, and that texts for people are in the language asked for
    json(...)  the same command with --json, read
    """

    def __init__(self, relay, language):
        self.relay = relay
        self.language = language

    def run(self, *words, code=0, stdin=None, quiet=False):
        """Both streams together; `quiet` for output that is in no language: lists, keys, JSON Schema."""
        done = self.relay.command(*words, stdin=stdin, lang=self.language)
        said = done.stdout + done.stderr
        assert done.returncode == code, f"relay {' '.join(map(str, words))}: exit {done.returncode}\n{said}"
        assert "Traceback" not in said, said
        if not quiet:
            assert bool(_CHINESE.search(said)) == (self.language == "zh"), f"relay {' '.join(map(str, words))}:\n{said}"
        return said

    def json(self, *words, code=0):
        done = self.relay.command(*words, "--json", lang=self.language)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def choose(self, zh, en):
        return zh if self.language == "zh" else en
