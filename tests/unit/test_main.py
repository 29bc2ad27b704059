"""The root of the command: every verb is found, and `--version` waits for none of them."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from relay import __version__
from relay.cli.main import VERBS, main, root
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


def test_an_unknown_verb_is_a_usage_error():
    result = CliRunner().invoke(root, ["spam"])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_version_loads_no_library_that_it_does_not_need():
    code = "import sys; from relay.cli.main import root; root(['--version'], standalone_mode=False); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert __version__ in result.stdout
    loaded = set(result.stdout.split())
    assert not loaded & {"aiohttp", "redis", "pydantic", "dkim", "cel", "rich", "cryptography", "asyncio"}


def test_the_package_can_be_run_as_a_module():
    result = subprocess.run([sys.executable, "-m", "relay", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"relay, version {__version__}"


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (ConfigurationError("config.toml: no [[listen]]"), 3, "no [[listen]]"),
        (StoreUnavailable("empty", "the store is empty"), 4, "the store is empty"),
        (RecordsUnavailable("records.db is gone"), 4, "records.db is gone"),
        (PermissionError(13, "Permission denied", "out.zip"), 2, "out.zip: Permission denied"),
    ],
)
def test_faults_that_people_can_mend_end_with_a_text_and_a_code(fault, code, said, monkeypatch, capsys):
    def broken(**_):
        raise fault

    monkeypatch.setattr("relay.cli.main.root", broken)
    monkeypatch.setenv("RELAY_LANG", "en")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert said in capsys.readouterr().err


def test_an_operating_system_fault_without_a_file_is_not_hidden(monkeypatch):
    def broken(**_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("relay.cli.main.root", broken)
    with pytest.raises(OSError, match="Too many open files"):
        main()
