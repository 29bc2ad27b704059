"""Somebody's first afternoon: a folder, answers, and the commands that people type into it."""

import os
import subprocess
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner

from relay.cli.main import root
from tests.support import warm

ANSWERS = {
    "provider": "netease",
    "domain": "qingshan.test",
    "account": "news@qingshan.test",
    "legal_name": "青山科技有限公司 | Qingshan Technology Ltd.",
    "postal_address": "杭州市西湖区文三路 1 号 | 1 Wensan Road, Hangzhou",
    "privacy_url": "https://www.qingshan.test/privacy",
    "refusal_mailbox": "tuiding@qingshan.test",
    "listener": "relay.qingshan.test:465",
    "public_url": "https://www.qingshan.test/mail",
}


def write_answers(folder, *without, **changes) -> Path:
    """A file of answers; a change to None, or a key in `without`, leaves that answer out."""
    answers = {**ANSWERS, **changes}
    lines = [f'{key} = "{text}"' for key, text in answers.items() if key not in without and text is not None]
    path = Path(folder, "answers.toml")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def relay(folder, *arguments, stdin=None, lang="en") -> subprocess.CompletedProcess:
    """Run the command in the folder, as its owner would."""
    return warm.run(*arguments, stdin=stdin, cwd=folder, env={**os.environ, "RELAY_LANG": lang})


def begin(folder, *options, **changes) -> str:
    """`relay init` with a file of answers, in this process; it must succeed. What it said."""
    answers = write_answers(folder, **changes)
    with chdir(folder):
        done = CliRunner().invoke(root, ["--lang", "en", "init", "--answers", str(answers), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
