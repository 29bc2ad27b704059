"""Exit codes that scripts rely on, and that no verb of `relay --help` is left untried."""

import re
from pathlib import Path
from typing import Any

import click
import pytest

from relay.cli.main import VERBS, root
from tests.support.ports import free_port
from tests.support.service import Relay
from tests.support.terminal import LANGUAGES, Terminal

HERE = Path(__file__).parent
UPSTREAM = '[[upstream]]\nname = "up"\naddresses = ["127.0.0.1:25"]\ntls = "none"\n'

NEEDS_CONFIGURATION = {
    "check": ("check",),
    "serve": ("serve",),
    "explain": ("explain", "01J00000000000000000000000"),
    "lint": ("lint", __file__),
    "send": ("send", "--dry-run", __file__, "--to", __file__),
    "policy": ("policy", "show"),
    "suppress": ("suppress", "list"),
    "consent": ("consent", "show", "ada@example.org"),
    "dkim": ("dkim", "dns"),
    "records": ("records", "verify"),
    "evidence": ("evidence", "ada@example.org", "--out", "evidence.zip"),
    "users": ("users", "list"),
    "keys": ("keys", "show"),
    "streams": ("streams",),
    "transfers": ("transfers",),
    "upstream": ("upstream", "status"),
    "held": ("held", "list"),
    "backup": ("backup", "relay.backup"),
    "restore": ("restore", __file__),
    "tls": ("tls", "private-ca"),
}


@pytest.fixture
def relay(tmp_path):
    """A folder with a configuration; nothing runs."""
    return Relay(tmp_path, upstreams=UPSTREAM)


@pytest.mark.parametrize("verb", NEEDS_CONFIGURATION)
def test_a_wrong_configuration_is_3(verb, relay):
    relay.config.write_text(relay.config.read_text("utf-8") + '[lag]\nlevel = "info"\n', "utf-8")
    said = Terminal(relay, "en", afresh=True).run(*NEEDS_CONFIGURATION[verb], code=3, quiet=True)
    assert "lag" in said


@pytest.mark.parametrize(
    "words", [("suppress", "list"), ("policy", "show"), ("users", "list"), ("held", "--nonsense"), ("nonsense",)]
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_forked_command_is_like_one_that_was_started(language, words, relay):
    """Most tests run commands the quick way of tests/support/warm.py."""
    relay.command(*words)  # what the first command says of a new folder
    started, forked = (relay.command(*words, lang=language, afresh=afresh) for afresh in (True, False))
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_configuration_that_is_not_there_is_3(language, relay):
    relay.config.unlink()
    Terminal(relay, language).run("suppress", "list", code=3, quiet=True)


def test_every_verb_needs_a_configuration_but_those_that_make_one_up():
    assert set(NEEDS_CONFIGURATION) == set(VERBS) - {"demo", "init", "schema"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_store_that_does_not_answer_is_4(language, tmp_path):
    relay = Relay(tmp_path, store=f"redis://127.0.0.1:{free_port()}", upstreams=UPSTREAM)
    Terminal(relay, language).run("suppress", "list", code=4)
    Terminal(relay, language).run("suppress", "check", "ada@example.org", code=4)


def leaves(command=root, words=()):
    """Every command that does something, as the words that call it."""
    if not isinstance(command, click.Group):
        return [words]
    context = click.Context(command)
    names = command.list_commands(context)
    return [leaf for name in names for leaf in leaves(command.get_command(context, name), (*words, name))]


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_no_verb_is_left_untried(words):
    typed = r",\s*".join(f'"{word}"' for word in words)
    assert any(re.search(typed, path.read_text("utf-8")) for path in HERE.glob("test_*.py")), f"relay {' '.join(words)}"


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_verb_says_in_both_languages_what_it_does(words):
    command: Any = root
    for word in words:
        command = command.get_command(click.Context(command), word)
    said = command.help or ""
    assert re.search(r"[A-Za-z]{3}", said)
    assert re.search(r"[\u4e00-\u9fff]", said), said
