"""Whether domains take mail: what a resolver makes of answers, and how often, how long and about whom it is asked."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from dns.resolver import BaseResolver, NoResolverConfiguration

from relay import domains as domains_module
from relay.config import Dns
from relay.domains import MOST_KNOWN, REFUSES_SECONDS, TAKES_SECONDS, UNKNOWN_SECONDS, Domains, Said, kept_seconds
from relay.errors import ConfigurationError
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.cases.domain_mail import DomainMail
from relay.resolver import Resolver
from relay.tasks import spawn
from relay.telemetry import domain_lookups_total
from tests.support.clocks import Clock
from tests.support.dns_server import SERVFAIL, SILENCE, DnsServer
from tests.support.policies import a_policy

STREAM = a_policy().stream("newsletter")
MAIL = {
    "two.example": ["MX 10 mx.two.example.", "MX 20 mx2.two.example."],
    "null.example": ["MX 0 ."],
    "half-null.example": ["MX 0 .", "MX 10 mx.two.example."],  # RFC 7505 section 3: nobody may publish that, it says nothing
    "implicit.example": ["A 192.0.2.1"],
    "six.example": ["AAAA 2001:db8::1"],
    "txt.example": ["TXT v=spf1"],
    "alias.example": ["CNAME two.example."],
    "null-alias.example": ["CNAME null.example."],
    "dangling.example": ["CNAME nowhere.example."],
    "xn--fiqs8s.example": ["MX 10 mx.two.example."],
    "servfail.example": SERVFAIL,
    "quiet.example": SILENCE,
}


def asking(*servers, **keys):
    return Dns.model_validate({"servers": servers or ("192.0.2.53",), **keys})


@pytest.mark.parametrize(
    ("domain", "mail"),
    [
        ("two.example", DomainMail.TAKES),
        ("null.example", DomainMail.NULL_MX),
        ("half-null.example", DomainMail.TAKES),
        ("implicit.example", DomainMail.TAKES),
        ("six.example", DomainMail.TAKES),
        ("txt.example", DomainMail.NONE),
        ("alias.example", DomainMail.TAKES),
        ("null-alias.example", DomainMail.NULL_MX),
        ("dangling.example", DomainMail.NONE),
        ("xn--fiqs8s.example", DomainMail.TAKES),
        ("nowhere.example", DomainMail.NONE),
        ("servfail.example", DomainMail.UNKNOWN),
        ("quiet.example", DomainMail.UNKNOWN),
    ],
)
async def test_what_answers_mean(domain, mail):
    with DnsServer({}, mail=MAIL, ttl=77) as server:
        seconds = "0.4s" if MAIL.get(domain) == SILENCE else "15s"  # who answers may be slow: the machine is busy
        said = await Resolver(asking(server.address, timeout=seconds)).look_up(domain)
    assert said == Said(mail, 0.0 if mail is DomainMail.UNKNOWN else 77)


async def test_the_next_server_is_asked_when_one_says_nothing():
    with DnsServer({}, mail=MAIL, silent=True) as deaf, DnsServer({}, mail=MAIL) as server:
        said = await Resolver(asking(deaf.address, server.address, timeout="6s")).look_up("two.example")
    assert (said.mail, deaf.asked, server.asked) == (DomainMail.TAKES, ["two.example"], ["two.example"])


def test_a_machine_without_resolvers_is_told_what_to_write(monkeypatch):
    def none(*_):
        raise NoResolverConfiguration

    monkeypatch.setattr(BaseResolver, "read_resolv_conf", none)
    with pytest.raises(ConfigurationError, match=r"\[dns\] servers.*本机没有配置"):
        Resolver(asking("system"))


class Slow:
    """A resolver that answers when it is told to: `say` ends the question about a domain."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._said: dict[str, asyncio.Future[Said]] = {}

    async def look_up(self, domain: str) -> Said:
        self.asked[domain] += 1
        self._said[domain] = asyncio.get_running_loop().create_future()
        return await self._said[domain]

    async def say(self, domain: str, mail: DomainMail = DomainMail.TAKES, ttl: float = 3600.0) -> None:
        self._said[domain].set_result(Said(mail, ttl))
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
async def domains(slow, monkeypatch):
    """They wait as long as a test runs, unless it has them wait less."""
    monkeypatch.setattr(domains_module, "_resolver", lambda _: slow)
    made = Domains(asking(timeout="15s"), Clock())
    yield made
    await made.aclose()


def of(domains, *names, mail="01A"):
    people = [Recipient(Mailbox.parse(f"p{number}@{name}")) for number, name in enumerate(names)]
    return domains.of(mail, STREAM, people, frozenset())


def at_once(coroutine):
    """What a coroutine returns that never waits."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


async def begun(coroutine):
    task = spawn(coroutine, "a mail")
    await turns()
    return task


async def test_without_servers_nobody_is_asked():
    assert at_once(of(Domains(Dns(), Clock()), "two.example")) == {}


async def test_a_stream_without_such_a_rule_asks_nobody(domains, slow):
    silent = replace(STREAM, rules=tuple(rule for rule in STREAM.rules if not rule.asks_domain))
    recipient = Recipient(Mailbox.parse("ada@two.example"))
    assert at_once(domains.of("01A", silent, [recipient], frozenset())) == {}
    assert not slow.asked


async def test_all_domains_of_a_mail_are_asked_together_and_each_once(domains, slow):
    people = ["a.example", "b.example", "a.example", "A.example", "b.example"]
    waiting = await begun(of(domains, *people))
    other = await begun(of(domains, "b.example", mail="01B"))
    assert slow.asked == {"a.example": 1, "b.example": 1}
    await slow.say("b.example", DomainMail.NONE)
    assert await other == {"b.example": DomainMail.NONE}
    assert not waiting.done()
    await slow.say("a.example")
    assert await waiting == {"a.example": DomainMail.TAKES, "b.example": DomainMail.NONE}


@pytest.mark.parametrize(
    ("mail", "ttl", "kept"),
    [
        (DomainMail.TAKES, 5, TAKES_SECONDS[0]),
        (DomainMail.TAKES, 1800, 1800),
        (DomainMail.TAKES, 10**9, TAKES_SECONDS[1]),
        (DomainMail.NONE, 0, REFUSES_SECONDS[0]),
        (DomainMail.NONE, 90, 90),
        (DomainMail.NONE, 86400, REFUSES_SECONDS[1]),
        (DomainMail.NULL_MX, 86400, REFUSES_SECONDS[1]),
        (DomainMail.UNKNOWN, 0, UNKNOWN_SECONDS),
    ],
)
async def test_an_answer_is_believed_as_long_as_its_ttl_within_bounds(domains, slow, mail, ttl, kept):
    assert kept_seconds(Said(mail, ttl)) == kept
    waiting = await begun(of(domains, "a.example"))
    await slow.say("a.example", mail, ttl)
    assert await waiting == {"a.example": mail}
    domains._monotonic.pass_(kept - 1)
    assert at_once(of(domains, "a.example")) == {"a.example": mail}
    domains._monotonic.pass_(1)
    waiting = await begun(of(domains, "a.example"))
    assert slow.asked["a.example"] == 2
    await slow.say("a.example")
    assert await waiting == {"a.example": DomainMail.TAKES}


async def test_a_mail_waits_as_long_as_its_patience_from_its_first_rcpt_to_its_last(domains, slow):
    domains._patience = 0.05
    for _ in range(12):  # once the whole of it, then tenths
        assert await of(domains, "a.example") == {"a.example": DomainMail.UNKNOWN}
    assert at_once(of(domains, "b.example")) == {"b.example": DomainMail.UNKNOWN}  # its patience is used up
    await turns()
    await slow.say("b.example")  # but it was asked, for whoever comes next
    assert at_once(of(domains, "b.example", mail="01B")) == {"b.example": DomainMail.TAKES}
    await slow.say("a.example", DomainMail.NULL_MX)
    assert at_once(of(domains, "a.example")) == {"a.example": DomainMail.NULL_MX}


async def test_a_domain_whose_servers_are_dead_does_not_make_the_next_one_unknown(domains, slow):
    domains._patience = 0.2
    assert await of(domains, "dead.example") == {"dead.example": DomainMail.UNKNOWN}
    waiting = await begun(of(domains, "a.example"))
    await slow.say("a.example")
    assert await waiting == {"a.example": DomainMail.TAKES}


async def test_only_so_many_are_asked_at_once(domains, slow, monkeypatch):
    monkeypatch.setattr(domains_module, "AT_ONCE", 2)
    made = Domains(asking(), Clock())
    waiting = await begun(of(made, "a.example", "b.example", "c.example"))
    assert set(slow.asked) == {"a.example", "b.example"}
    await slow.say("a.example")
    await turns()
    assert set(slow.asked) == {"a.example", "b.example", "c.example"}
    await slow.say("b.example")
    await slow.say("c.example")
    assert set((await waiting).values()) == {DomainMail.TAKES}


async def test_whom_nobody_waits_for_any_more_is_not_asked_about(slow, domains, monkeypatch):
    monkeypatch.setattr(domains_module, "AT_ONCE", 1)
    made = Domains(asking(timeout="0.1s"), Clock())
    before = too_many()
    assert set((await of(made, "a.example", "b.example")).values()) == {DomainMail.UNKNOWN}
    await slow.say("a.example")
    assert set(slow.asked) == {"a.example"}
    assert too_many() == before + 1
    assert not made._asked


async def test_the_questions_are_bounded(domains, slow, monkeypatch):
    monkeypatch.setattr(domains_module, "MOST_ASKED", 2)
    before = too_many()
    waiting = await begun(of(domains, "a.example", "b.example", "c.example"))
    assert too_many() == before + 1
    await slow.say("a.example")
    await slow.say("b.example")
    assert await waiting == {
        "a.example": DomainMail.TAKES,
        "b.example": DomainMail.TAKES,
        "c.example": DomainMail.UNKNOWN,
    }


def too_many() -> float:
    return domain_lookups_total.labels("too many")._value.get()


async def test_what_is_remembered_is_bounded(domains):
    for number in range(MOST_KNOWN + 3):
        domains._remember(f"{number}.example", Said(DomainMail.TAKES, 0.0))
    assert len(domains._known) == MOST_KNOWN
    assert domains._fresh("2.example") is None
    assert domains._fresh("3.example") is DomainMail.TAKES


async def test_a_fault_of_ours_is_no_answer(domains, slow, caplog):
    waiting = await begun(of(domains, "a.example"))
    slow._said["a.example"].set_exception(RuntimeError("spam"))
    assert await waiting == {"a.example": DomainMail.UNKNOWN}
    assert "look up a domain" in caplog.text


async def test_who_goes_away_takes_nobody_elses_answer_along(domains, slow):
    first, second = await begun(of(domains, "a.example")), await begun(of(domains, "a.example", mail="01B"))
    first.cancel()
    await turns()
    await slow.say("a.example")
    assert await second == {"a.example": DomainMail.TAKES}
