"""No public URL: unsubscribing by mail alone, from the ten questions to the refusal that binds, with a real mailbox."""

import re
import smtplib
from pathlib import Path

import pytest

from relay.config import load_config
from relay.policy.sets.parse import parse_policies
from relay.service.policies import read_folder
from tests.support import letters
from tests.support.afternoon import MAIL, NEWS, PASSWORD, Afternoon
from tests.support.dovecot import Dovecot
from tests.support.netease import NetEase


@pytest.fixture(scope="module")
def mailbox():
    with Dovecot(password=PASSWORD) as mailbox:
        mailbox.maildir(NEWS)
        yield mailbox


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory, mailbox):
    folder = tmp_path_factory.mktemp("afternoon")
    with NetEase(NEWS, PASSWORD) as upstream:
        authorities = folder / "provider-ca.pem"
        authorities.write_bytes(Path(upstream.ca_file).read_bytes() + mailbox.ca_file.read_bytes())
        afternoon = Afternoon(folder, upstream)
        try:
            yield afternoon.live(
                public_url="none",
                password=PASSWORD,
                ca_file="provider-ca.pem",
                imap=f"127.0.0.1:{mailbox.tls_port}",
                refusal_mailbox=NEWS,
            )
        finally:
            afternoon.end()


def test_init_chooses_the_mailbox_and_says_what_that_means(afternoon):
    said = afternoon.initialised.stdout
    assert "one_click = false and mailto = true" in said
    assert "Gmail asks one-click unsubscribing (RFC 8058)" in said
    assert PASSWORD not in said
    unsubscribe = parse_policies(read_folder(afternoon.folder / "policies")).stream("newsletter").unsubscribe
    assert (unsubscribe.one_click, unsubscribe.mailto) == (False, True)
    config = load_config(str(afternoon.folder / "config.toml"))
    secret = config.path(config.account[0].password_file)
    assert secret.read_text("utf-8") == f"{PASSWORD}\n"
    assert secret.stat().st_mode & 0o777 == 0o600


def test_check_logs_in_and_says_what_gmail_and_yahoo_ask(afternoon, mailbox):
    said = afternoon.checked.stdout
    assert f"✓ mailbox netease (127.0.0.1:{mailbox.tls_port}): read for refusals, bounces and complaints" in said
    assert "unsubscribing by mail only. Gmail wants one-click (one_click) of whoever sends it more than 5,000 a day" in said
    assert "✗" not in said


def test_a_refusal_by_mail_stops_the_next_newsletter(afternoon, mailbox):
    before = len(afternoon.upstream.accepted)
    assert afternoon.send(["ada@reader.test", "bob@reader.test"], MAIL) == {}
    copies = {copy.recipients[0]: copy.data for copy in afternoon.upstream.accepted[before:]}
    ours = copies["ada@reader.test"]
    assert b"List-Unsubscribe-Post" not in ours
    assert b"http://" not in ours
    assert b"https://" not in ours
    field = re.search(rb"(?ims)^List-Unsubscribe:(.*?)\r\n(?=\S)", ours)[1]
    (token,) = re.findall(rb"<mailto:news@qingshan\.test\?subject=([A-Za-z0-9_-]{75})>", field)
    mailbox.drop(NEWS, letters.mail("ada@reader.test", token.decode(), ""))
    afternoon.wait(lambda: afternoon.run("relay suppress check ada@reader.test").returncode == 1)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        afternoon.send(["ada@reader.test"], MAIL)
    assert refused.value.smtp_code == 550
    assert b"[base/suppression]" in refused.value.smtp_error
    assert afternoon.send(["bob@reader.test"], MAIL) == {}
    assert afternoon.upstream.violations == []
