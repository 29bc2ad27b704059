"""`make test` gets what the tests talk to: whatever program a test asks for, .ci/servers knows its package."""

import ast
import re
from itertools import chain

import pytest

from tests.support.service import ROOT

# What Debian cannot be without, and what the tests put in the way of it themselves.
_ALWAYS_THERE = {"/bin/bash"}
_RUN = {"run", "Popen", "call", "check_output", "check_call"}


def package_of():
    """The table of .ci/servers: programs and the packages they are in."""
    table = re.search(r"package_of=\((.*?)\n\)", (ROOT / ".ci/servers").read_text("utf-8"), re.DOTALL)
    assert table
    return dict(re.findall(r"\[([\w-]+)\]=([\w-]+)", table[1]))


def programs(call):
    """The programs that a call in a test asks for by their names: `needs`, `which`, a subprocess."""
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    if name == "needs":
        asked = call.args
    elif name == "which":
        asked = call.args[:1]
    elif name in _RUN and call.args and isinstance(call.args[0], ast.List):
        asked = call.args[0].elts[:1]
    else:
        asked = []
    return {word.value for word in asked if isinstance(word, ast.Constant)} - _ALWAYS_THERE


def asked_for():
    """Programs, each with the file that asks for it."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        for program in set(chain.from_iterable(map(programs, calls))):
            yield program, path.relative_to(ROOT).as_posix()


def test_every_program_that_a_test_asks_for_is_installed_by_make_test():
    asked = sorted(asked_for())
    assert {"redis-server", "dovecot", "chromium", "promtool", "smtp-sink", "perl"} <= {program for program, _ in asked}
    assert [(program, path) for program, path in asked if program not in package_of()] == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_what_is_installed_is_named(readme):
    text = (ROOT / readme).read_text("utf-8")
    names = {"postfix": "Postfix", "perl": "Mail::DKIM", "chromium-driver": "Chromium", "prometheus": "promtool"}
    names |= {"chromium": "Chromium", "dovecot-imapd": "Dovecot", "procps": "pgrep"}
    packages = set(package_of().values()) - {"systemd", "mount"}  # without which there is no Debian server
    assert [package for package in packages if names.get(package, package) not in text] == []
