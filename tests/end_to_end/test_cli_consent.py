"""`relay consent` beside the running relay: what an officer records, brings in and takes back binds the next message."""

import csv
import io

import pytest

from tests.support.fixtures import a_relay, an_upstream
from tests.support.service import ACCOUNTS, NEWS, message
from tests.support.terminal import LANGUAGES, Terminal

RULE = '\n[[rule]]\nid = "consent"\ncheck = "consent"\nbasis = ["explicit"]\naction = "reject"\n'
PURPOSE = "marketing:newsletter"

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(
    scope="module", workers=2, policy={"streams/newsletter.toml": [(r'refusals = "report"', 'refusals = "rcpt"'), (r"\Z", RULE)]}
)


def reply_to(relay, recipient):
    return relay.send(NEWS, [recipient], message(to=recipient, sender=NEWS))


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_agreed_is_written_to_until_they_take_it_back(relay, language):
    officer, ada = Terminal(relay, language), f"ada.{language}@example.org"
    code, reply = reply_to(relay, ada)
    assert (code, "[newsletter/consent]" in reply) == (550, True)
    officer.run("consent", "show", ada, "--for", PURPOSE, code=1)
    officer.run("consent", "add", ada, "--to", PURPOSE, code=2, quiet=True)  # without a proof nothing is recorded
    officer.run("consent", "add", ada, "--to", PURPOSE, "--evidence", officer.choose("官网表单", "form on our site"))
    assert reply_to(relay, ada)[0] == 250
    shown = officer.run("consent", "show", ada, "--for", PURPOSE)
    assert officer.choose("官网表单", "form on our site") in shown
    officer.run("consent", "withdraw", ada, "--evidence", officer.choose("来电", "called us"))
    assert reply_to(relay, ada)[0] == 550
    officer.run("consent", "show", ada, "--for", PURPOSE, code=1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_list_comes_in_once_and_goes_out_safe_to_open(relay, tmp_path, language):
    officer = Terminal(relay, language)
    people = [f"{name}.{language}@example.org" for name in ("bob", "carol")]
    table = tmp_path / "fair.csv"
    table.write_text("email,evidence\n" + "".join(f"{one},=cards in folder 12\n" for one in people) + "nobody,none\n", "utf-8")
    brought = ("consent", "import", table, "--to", PURPOSE, "--at", "2026-05-04")
    officer.run(*brought, "--dry-run", code=1)
    assert reply_to(relay, people[0])[0] == 550
    rejects = tmp_path / "rejects.csv"
    officer.run(*brought, "--rejects", rejects, code=1)  # one row names no mailbox; the others are taken
    assert "nobody" in rejects.read_text("utf-8")
    assert [reply_to(relay, one)[0] for one in people] == [250, 250]
    exported = tmp_path / "consents.csv"
    officer.run("consent", "export", "--out", exported)
    rows = list(csv.DictReader(io.StringIO(exported.read_text("utf-8").removeprefix("\ufeff"))))
    proofs = [row["evidence"] for row in rows if row["evidence"].endswith("cards in folder 12")]
    assert proofs
    assert all(proof.startswith("'=") for proof in proofs)
    assert not any(one in exported.read_text("utf-8") for one in people)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bare_name_of_a_stream_is_told_to_be_another_purpose(relay, language):
    officer, bob = Terminal(relay, language), f"bare.{language}@example.org"
    for words in (["add", bob, "--to", "newsletter"], ["withdraw", bob, "--from", "newsletter"]):
        said = officer.run("consent", *words, "--evidence", "x")
        assert officer.choose("该邮件流的用途写作 marketing:newsletter", "write marketing:newsletter for it") in said
    assert officer.choose("注意", "Note") not in officer.run(
        "consent", "add", bob, "--to", "share:Partner", "--evidence", "x", quiet=True
    )
