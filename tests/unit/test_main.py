"""The root of the command: every verb is found, and `--version` waits for none of them."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from relay import __version__
from relay.cli import policy
from relay.cli.main import VERBS, root
from relay.errors import ConfigurationError, RecordsUnavailable, StoreUnavailable


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_of_the_table_is_there_and_says_what_it_does(name):
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_help_lists_every_verb_in_the_language_asked_for():
    english = CliRunner().invoke(root, ["--lang", "en", "-h"]).output
    chinese = CliRunner().invoke(root, ["--lang", "zh", "-h"]).output
    for name, verb in VERBS.items():
        assert f"  {name} " in english
        assert verb.en in english
        assert verb.zh in chinese


def every_command(command, *path):
    """The command lines of a command and of all below it."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, *path, name)


COMMANDS = [path for name in VERBS for path in every_command(root.get_command(click.Context(root), name), name)]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_takes_the_language_where_people_write_it(path):
    done = CliRunner().invoke(root, [*path, "--lang", "zh", "--help"])
    assert done.exit_code == 0, done.output
    assert done.output.count("  --lang ") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lang", "zh", "schema", "--lang", "en"], "it is gone\n"),
        (["schema", "--lang", "zh"], "无法使用存储"),
        (["schema", "--lang", "ZH"], "无法使用存储"),
        (["--lang", "en", "schema", "--lang", "zh"], "无法使用存储"),
    ],
)
def test_the_language_that_is_named_last_is_spoken(words, said, monkeypatch):
    monkeypatch.setenv("RELAY_LANG", "en")

    @click.command("schema")
    def broken():
        raise RecordsUnavailable("it is gone")

    monkeypatch.setattr(policy, "schema", broken)
    stderr = CliRunner().invoke(root, words).stderr
    assert said in stderr
    assert ("无法使用存储" in stderr) is (said == "无法使用存储")


def test_an_unknown_verb_is_a_usage_error():
    result = CliRunner().invoke(root, ["spam"])
    assert result.exit_code == 2
    assert "No such command" in result.output
    assert "Did you mean" not in result.output


def test_a_mistyped_verb_is_told_the_nearest():
    result = CliRunner().invoke(root, ["polcy", "show"])
    assert result.exit_code == 2
    assert "No such command 'polcy'. Did you mean 'policy'?" in result.output


def test_version_loads_no_library_that_it_does_not_need():
    code = "import sys; from relay.cli.main import root; root(['--version'], standalone_mode=False); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert __version__ in result.stdout
    loaded = set(result.stdout.split())
    assert not loaded & {"aiohttp", "redis", "pydantic", "dkim", "cel", "rich", "cryptography", "asyncio"}


def test_the_client_of_redis_is_loaded_by_those_who_use_redis():
    code = "import sys, relay.cli.suppress, relay.cli.serve, relay.service.worker; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "relay.stores.sqlite" in loaded
    assert "redis" not in loaded


def test_the_package_can_be_run_as_a_module():
    result = subprocess.run([sys.executable, "-m", "relay", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"relay, version {__version__}"


def test_a_terminal_without_chinese_letters_is_no_fault():
    command = [sys.executable, "-m", "relay", "--lang", "zh", "--help"]
    result = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert "运行服务".encode("ascii", "backslashreplace") in result.stdout


def ends_with(fault, monkeypatch, language):
    @click.command("schema")
    def broken():
        raise fault

    monkeypatch.setattr(policy, "schema", broken)
    return CliRunner().invoke(root, ["--lang", language, "schema"])


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (ConfigurationError("config.toml: no [[listen]]"), 3, {"en": "no [[listen]]", "zh": "no [[listen]]"}),
        (StoreUnavailable("empty", "it is empty"), 4, {"en": "cannot be used: it is empty", "zh": "无法使用存储：it is empty"}),
        (RecordsUnavailable("it is gone"), 4, {"en": "cannot be used: it is gone", "zh": "无法使用存储：it is gone"}),
        (PermissionError(13, "Permission denied", "out.zip"), 2, {"en": "out.zip: Permission", "zh": "out.zip：Permission"}),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_faults_that_people_can_mend_end_with_a_text_and_a_code(fault, code, said, language, monkeypatch):
    result = ends_with(fault, monkeypatch, language)
    assert result.exit_code == code
    assert said[language] in result.stderr
    assert not result.stdout


def test_an_operating_system_fault_without_a_file_is_not_hidden(monkeypatch):
    fault = OSError(24, "Too many open files")
    assert ends_with(fault, monkeypatch, "en").exception is fault
