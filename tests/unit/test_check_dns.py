"""`relay check --dns` against a real DNS server: what is right, what is missing, what is wrong."""

import pytest
from click.testing import CliRunner
from dns.resolver import NoResolverConfiguration

from relay.cli.main import root
from relay.render.signing import dns_record, load_signer
from tests.support.beginner import begin, relay
from tests.support.dns_server import DnsServer
from tests.support.netease import NetEase

NAME = "relay1._domainkey.qingshan.test"
SPF = "v=spf1 include:spf.qiye.163.com ~all"
DMARC = "v=DMARC1; p=none"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("afternoon")
    with NetEase("news@qingshan.test", "secret") as upstream:
        begin(folder, "--private-ca", provider=f"netease {upstream.address}", ca_file=upstream.ca_file)
        yield folder


@pytest.fixture(scope="module")
def record(folder):
    """What our key asks to be published."""
    pem = (folder / "dkim/qingshan.test.relay1.pem").read_bytes()
    return "".join(dns_record(load_signer(pem, "qingshan.test", "relay1"))[1])


def check(folder, dns, lang="en"):
    arguments = ["--config", str(folder / "config.toml"), "--lang", lang, "check", "--dns", "--dns-server", dns.address]
    return CliRunner().invoke(root, arguments, catch_exceptions=False)


def published(record, **changes):
    """Everything as it should be, but for changes: spf, dkim, dmarc as lists of texts, more names as a dict."""
    names = {
        "qingshan.test": changes.get("spf", [SPF]),
        "spf.qiye.163.com": ["v=spf1 ip4:192.0.2.0/24 -all"],
        NAME: changes.get("dkim", [record]),
        "_dmarc.qingshan.test": changes.get("dmarc", [DMARC]),
        **changes.get("more", {}),
    }
    return {name: texts for name, texts in names.items() if texts}


def test_everything_is_in_dns(folder, record):
    with DnsServer(published(record)) as dns:
        said = check(folder, dns).output
    assert "✓ SPF of qingshan.test (spf.qiye.163.com)" in said
    assert f"✓ DKIM {NAME} is our key" in said
    assert "✓ DMARC of qingshan.test (p=none)" in said
    assert "✗" not in said
    assert sorted(dns.asked) == sorted(set(dns.asked)), "a name was asked twice"


def test_the_configured_resolvers_are_asked_where_there_are_any(folder, record):
    with DnsServer(published(record)) as dns:
        config = folder / "with_resolvers.toml"
        config.write_text(f'{(folder / "config.toml").read_text("utf-8")}\n[dns]\nservers = ["{dns.address}"]\n', "utf-8")
        arguments = ["--config", str(config), "--lang", "en", "check", "--dns"]
        said = CliRunner().invoke(root, arguments, catch_exceptions=False).output
    assert f"✓ DKIM {NAME} is our key" in said
    assert NAME in dns.asked


def test_a_machine_without_resolvers_is_told_where_to_write_some(folder, monkeypatch):
    def none_here(self, *_: object) -> None:
        raise NoResolverConfiguration

    monkeypatch.setattr("dns.resolver.Resolver.read_resolv_conf", none_here)
    arguments = ["--config", str(folder / "config.toml"), "--lang", "en", "check", "--dns"]
    done = CliRunner().invoke(root, arguments, catch_exceptions=False)
    assert done.exit_code == 3
    assert "this machine names no resolvers" in done.output


def test_nothing_is_in_dns(folder, record):
    with DnsServer({}) as dns:
        english, chinese = check(folder, dns), check(folder, dns, "zh")
    assert english.exit_code == 1
    assert "publish TXT: v=spf1 include:spf.qiye.163.com ~all" in english.output
    assert "relay dkim dns prints what to publish" in english.output
    assert "publish TXT: v=DMARC1; p=none" in english.output
    assert "没有 SPF 记录" in chinese.output
    assert "没有 DKIM 记录" in chinese.output


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"spf": ["v=spf1 -all"]}, 1, "add include:spf.qiye.163.com"),
        ({"spf": [SPF, "v=spf1 mx -all"]}, 3, "2 SPF records (TXT) count as none"),
        ({"spf": ["v=spf1 mx a ptr exists:e.test a:b.test mx:c.test a d a e a/24 mx/24 a a include:spf.qiye.163.com ~all"]}, 3,
         "more than 10 lookups"),
        ({"spf": ["something else"]}, 1, "there is no SPF record"),
        ({"dkim": ["v=DKIM1; k=rsa; p=AAAA"]}, 3, "is not our key"),
        ({"dkim": ["v=DKIM1; k=rsa; p="]}, 3, "is not our key"),
        ({"dkim": ["nonsense"]}, 3, "is not our key"),
        ({"dmarc": ["v=DMARC1"]}, 1, "no DMARC record that can be used"),
        ({"dmarc": ["hello"]}, 1, "no DMARC record that can be used"),
        ({"dmarc": ["v=DMARC10; p=none"]}, 1, "no DMARC record that can be used"),
        ({"dmarc": ["v=dmarc1; p=none"]}, 1, "no DMARC record that can be used"),
        ({"dmarc": ["p=none; v=DMARC1"]}, 1, "no DMARC record that can be used"),
        ({"dmarc": [DMARC, "v=DMARC1; p=reject"]}, 3, "_dmarc.qingshan.test: 2 DMARC records (TXT) count as none"),
        ({"dmarc": ["v=DMARC1; p=banana"]}, 3, "_dmarc.qingshan.test: p=banana in the DMARC record (TXT) means nothing"),
        ({"dmarc": ["v=DMARC1; p=none; sp=all"]}, 3, "sp=all in the DMARC record (TXT) means nothing"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_dns_is_named(folder, record, changes, code, said):
    with DnsServer(published(record, **changes)) as dns:
        done = check(folder, dns)
    assert said in done.output
    assert done.exit_code == code
    (spoilt,) = changes
    assert {"spf": "✓ SPF of", "dkim": f"✓ DKIM {NAME}", "dmarc": "✓ DMARC of"}[spoilt] not in done.output


@pytest.mark.parametrize("dmarc", [["V = DMARC1 ;p=None"], ["v=DMARC1; p=quarantine; sp=reject", "google-site-verification=x"]])
def test_a_dmarc_record_that_receivers_can_read(folder, record, dmarc):
    with DnsServer(published(record, dmarc=dmarc)) as dns:
        assert "✓ DMARC of qingshan.test" in check(folder, dns).output


def test_two_dmarc_records_below_hide_the_one_above(tmp_path):
    """RFC 7489 section 6.6.3: the search ends at the name that has any."""
    begin(tmp_path)
    stream = tmp_path / "policies/streams/newsletter.toml"
    stream.write_text(stream.read_text("utf-8").replace("news@qingshan.test", "news@mail.qingshan.test"), "utf-8")
    with DnsServer({"_dmarc.mail.qingshan.test": [DMARC, "v=DMARC1; p=reject"], "_dmarc.qingshan.test": [DMARC]}) as dns:
        said = check(tmp_path, dns).output
    assert "_dmarc.mail.qingshan.test: 2 DMARC records" in said
    assert "✓ DMARC" not in said


def test_the_provider_may_be_included_by_an_include(folder, record):
    more = {"all.qingshan.test": ["v=spf1 include:spf.qiye.163.com -all"]}
    for spf in ("v=spf1 include:all.qingshan.test -all", "v=spf1 redirect=all.qingshan.test", "v=spf1 INCLUDE:ALL.qingshan.test"):
        with DnsServer(published(record, spf=[spf], more=more)) as dns:
            assert "✓ SPF of qingshan.test" in check(folder, dns).output


def test_an_spf_record_that_includes_itself_ends(folder, record):
    with DnsServer(published(record, spf=["v=spf1 include:qingshan.test include:spf.qiye.163.com -all"])) as dns:
        assert "✓ SPF of qingshan.test" in check(folder, dns).output


def test_a_key_that_is_written_with_blanks_is_ours(folder, record):
    with DnsServer(published(record, dkim=[record.replace("; p=", ";p= ")])) as dns:
        assert "is our key" in check(folder, dns).output


def test_a_server_that_does_not_answer_is_unreachable(folder, monkeypatch):
    monkeypatch.setattr("relay.cli.check_dns._SECONDS", 0.2)
    with DnsServer({}, silent=True) as dns:
        done = check(folder, dns)
    assert done.exit_code == 4
    assert "DNS does not answer, try relay check --dns again later" in done.output


@pytest.mark.parametrize(("dmarc", "aligned"), [("v=DMARC1; p=none", True), ("v=DMARC1; p=reject; adkim=s", False)])
def test_a_signature_of_the_parent_domain_is_aligned_unless_dmarc_is_strict(tmp_path, dmarc, aligned):
    begin(tmp_path)
    stream = tmp_path / "policies/streams/newsletter.toml"
    stream.write_text(stream.read_text("utf-8").replace("news@qingshan.test", "news@mail.qingshan.test"), "utf-8")
    with DnsServer({"_dmarc.qingshan.test": [dmarc]}) as dns:
        said = check(tmp_path, dns).output
    assert ("✓ DMARC of mail.qingshan.test" in said) is aligned
    assert ("adkim=s asks for a signature of mail.qingshan.test itself" in said) is not aligned


def test_a_sender_whose_domain_nobody_signs_for_does_not_meet_dmarc(tmp_path):
    begin(tmp_path)
    stream = tmp_path / "policies/streams/newsletter.toml"
    stream.write_text(stream.read_text("utf-8").replace("news@qingshan.test", "news@other.test"), "utf-8")
    with DnsServer({}) as dns:
        assert "other.test: no [[dkim]] signs for it" in check(tmp_path, dns).output


def test_dns_is_asked_only_when_it_is_wanted(folder):
    with DnsServer({}) as dns:
        relay(folder, "check", "--dns-server", dns.address)
    assert dns.asked == []
