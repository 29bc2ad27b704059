"""Every command in every document is typed here, on a machine that has what the document assumes; both languages give the same.

The documents for a start (README.md, docs/install.md) begin with the sources
alone.  The others begin where `relay init` and `relay serve` have left off, with
one newsletter sent through an upstream that behaves like NetEase.
"""

import re
import shlex
import smtplib
import ssl

import click
import pytest

from relay.cli.main import VERBS, root
from tests.support.beginner import write_answers
from tests.support.dns_server import DnsServer
from tests.support.documents import (
    DOCUMENTS,
    blocks,
    commands,
    is_chinese,
    mentioned,
    name_of,
    outside_of_blocks,
    twin_of,
)
from tests.support.machine import Machine, is_root, today
from tests.support.needs import needs
from tests.support.netease import NetEase
from tests.support.ports import free_port
from tests.support.waiting import wait_until

NEWS, PASSWORD = "news@example.com", "ABCDEFGHIJKLMNOP"
MAIL = (
    f"From: {NEWS}\r\nTo: ada@example.org\r\nSubject: News\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
).encode()

# What cannot run here, why, and what runs in its place.
INSTEAD = {
    "make demo": ("tests/end_to_end/test_demo.py runs the demo, and this checkout has its .venv", "make --dry-run demo"),
    "make test": ("this is a part of it", "make --dry-run test"),
    "promtool check config /etc/prometheus/prometheus.yml": (
        "there is no Prometheus here",
        "promtool check rules docs/monitoring/alerts.yml",
    ),
}
OURS = re.compile(r"(sudo (-u \S+ )?)?relay (--config \S+ )?")
# What is not "0 and done" on such a machine, without sudo and --config: the exit code, and a text that must be there.
ENDS = {
    "check": (1, "Still to do:"),
    "check --dns": (1, "DMARC"),
    "check --public": (1, "takes one-click refusals"),
    "explain message.eml": (1, "base/suppression"),
    "suppress check ada@example.org": (1, "ada@example.org"),
    "records search ada@example.org": (0, "delivered"),
    "dkim verify received.eml": (0, ": valid"),
    'held release --recipient ada@example.org --reason "the customer asked for it" --by "Wang Min"': (1, "nothing that is held"),
    'held retry --why authentication --reason "the password is corrected" --by "Wang Min"': (1, "nothing that is held"),
    'held drop --stream newsletter --reason "wrong price list" --by "Wang Min"': (1, "nothing that is held"),
}
# A day in the documents that stands for one of the reader's own.
DAY = "2026-11-01"
STARTS = ("README.md", "docs/install.md")
ENGLISH = [path for path in DOCUMENTS if not is_chinese(path)]
WITH_TWIN = [path for path in ENGLISH if twin_of(path)]
GUIDES = ("install", "clients", "netease", "upstreams", "held", "unsubscribe-url", "policies", "security", "mailbox")


def names(paths):
    return [name_of(path) for path in paths]


# What can be said without running anything ----------------------------------------------------------------------------


def test_the_guides_have_a_twin():
    assert {f"docs/{name}.md" for name in GUIDES} <= set(names(WITH_TWIN))


@pytest.mark.parametrize("path", WITH_TWIN, ids=names(WITH_TWIN))
def test_both_languages_give_the_same_commands(path):
    twin = twin_of(path)
    assert twin
    assert [one.text for one in commands(path)] == [one.text for one in commands(twin)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_no_command_hides_outside_of_a_block(path):
    assert outside_of_blocks(path) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_what_running_text_mentions_can_be_typed(path):
    for text in mentioned(path):
        words = [re.sub(r"[A-Z]{2,}(:[A-Z]{2,})*", "1:00", word) for word in shlex.split(text)[1:]]
        _parse(root, "relay", words, text)


def _parse(command, name, words, text):
    """Let click read the words as far as they go; what is left out is asked of nobody."""
    context = command.make_context(name, list(words), resilient_parsing=True)
    if isinstance(command, click.Group) and context._protected_args + context.args:
        rest = context._protected_args + context.args
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"`{text}`: there is no {rest[0]}"
        _parse(inner, rest[0], rest[1:], text)
    else:
        assert not context.args, f"`{text}`: {context.args}"


def test_no_command_of_ours_is_left_out():
    typed = {one.text for path in DOCUMENTS for one in commands(path)}
    assert set(INSTEAD) <= typed
    assert not any(OURS.match(command) for command in INSTEAD)
    assert len([verb for verb in VERBS if any(f" {verb}" in command for command in typed)]) > len(VERBS) // 2


# Typing them ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upstream():
    with NetEase(NEWS, PASSWORD) as upstream:
        yield upstream


@pytest.fixture
def empty(tmp_path, upstream):
    with Machine(tmp_path, upstream) as machine:
        yield machine


def ten_answers(machine):
    """What is typed when `relay init` asks."""
    own = ["netease", "example.com", "", "示例公司 | Example Ltd.", "示例路 1 号", "", "", f"127.0.0.1:{free_port()}"]
    return "\n".join([*own, f"http://127.0.0.1:{machine.public}", "", ""])


@pytest.fixture(scope="module")
def settled(tmp_path_factory, upstream):
    """An afternoon later: the relay runs, and Ada has had the newsletter. All documents but those for a start share it."""
    with Machine(tmp_path_factory.mktemp("settled"), upstream) as machine:
        _settle(machine, upstream)
        yield machine


def _settle(machine, upstream):
    answers = write_answers(
        machine.home,
        provider=f"netease {upstream.address}",
        ca_file=upstream.ca_file,
        domain="example.com",
        account=NEWS,
        refusal_mailbox=NEWS,
        listener=f"127.0.0.1:{free_port()}",
        public_url=f"http://127.0.0.1:{machine.public}",
        privacy_url="https://127.0.0.1:9/privacy",
    )
    for command in ("pip install .", f"relay init --private-ca --answers {answers.name}"):
        assert machine.type(command)[0] == 0, command
    machine.type('printf "[auth]\\nusers_file = \\"users.toml\\"\\n" >> config.toml')
    machine.type("relay serve")
    before = len(upstream.accepted)
    host, port = machine.ready["listen"]["submission"].rsplit(":", 1)
    context = ssl.create_default_context(cafile=machine.home / "tls/ca.crt")
    with smtplib.SMTP_SSL(host, int(port), context=context, timeout=60) as client:
        client.login(NEWS, PASSWORD)
        client.sendmail(NEWS, ["ada@example.org"], MAIL)
    (machine.home / "received.eml").write_bytes(upstream.accepted[before].data)


def lay_out(path, machine):
    """The files that a document tells its reader to have."""
    (machine.home / "message.eml").write_bytes(MAIL)
    (machine.home / "customers.csv").write_text("bob@example.org\n", "utf-8")
    (machine.home / "words-2026-1.txt").write_text("I agree to the newsletter.\n", "utf-8")
    (machine.home / "list.csv").write_text("email,event,purpose,at\nbob@example.org,granted,marketing,2026-05-04\n", "utf-8")
    for block in blocks(path.read_text("utf-8"), "toml"):
        if block.startswith("provider = "):
            (machine.home / "answers.toml").write_text(block, "utf-8")


def with_our_dns(machine, command, dns):
    """No test asks the world's DNS: what would be asked there is told."""
    if "check --dns" in command:
        return f"{command} --dns-server {dns.address}"
    if "dkim verify" in command:
        _, said = machine.type("relay dkim dns")
        name, text = re.search(r"name: +(\S+)", said)[1], re.search(r"value: +(v=DKIM1\S* .*)", said)[1]
        return f"{command} --key {shlex.quote(f'{name}={text}')}"
    return command


def prepare(machine, command):
    """What the text around a command says has happened."""
    if command in ("relay explain message.eml", "relay suppress check ada@example.org"):  # somebody was refused
        machine.type("relay suppress add ada@example.org --reason manual")
    if command.startswith("relay init --answers"):  # another way to do what was done above
        machine.stop()
        assert machine.type("mkdir -p ../other && mv config.toml data dkim tls ../other/ && mv policies ../other/")[0] == 0


def wait_for_the_new_key(machine):
    """The running relay follows its key file within seconds; what comes next needs it."""
    wait_until(lambda: "is answered by this relay" in machine.type("relay check --public")[1])


def typed_into(machine, command):
    if re.search(r"\brelay\b.* init\b(?!.*--answers)", command):
        return ten_answers(machine)
    if "upstream probe" in command:
        return f"{PASSWORD}\n"
    return "correct horse battery\n" * 2 if " users " in command else ""


@pytest.mark.parametrize("path", ENGLISH, ids=names(ENGLISH))
def test_every_command_does_what_it_says(path, request):
    wanted = commands(path)
    if not wanted:
        return
    needs("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles")
    if any(command.startswith("promtool") for _, command in wanted):
        needs("promtool")
    machine = request.getfixturevalue("empty" if name_of(path) in STARTS else "settled")
    lay_out(path, machine)
    with DnsServer({}) as dns:
        for place, command in wanted:
            prepare(machine, command)
            text = INSTEAD[command][1] if command in INSTEAD else with_our_dns(machine, command, dns)
            code, said = machine.type(text.replace(DAY, today()), typed_into(machine, command))
            expected, words = ENDS.get(OURS.sub("", command), (0, ""))
            if command.startswith("systemd-tmpfiles") and not is_root():
                continue  # only root gives folders away
            assert code == expected, f"{place}: {text}: exit {code}\n{said}"
            assert words in said, f"{place}: {text}\n{said}"
            assert "Traceback" not in said, f"{place}: {text}\n{said}"
            if "keys rotate" in command and machine.home / "config.toml" == machine.config:
                wait_for_the_new_key(machine)
