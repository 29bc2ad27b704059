"""The public sign-up door before people who mean harm, and before an upstream that is away."""

import asyncio
import os

import pytest

from relay.doors.http import public_app
from relay.doors.opt_in import FOR_EACH_ANSWER, MOST_FROM_NETWORK, UNANSWERED_AT_DOMAIN, OptIn, TooManyRequests
from relay.doors.pace import HOUR, Pace, PersonPace
from relay.doors.refusals import Refusals
from relay.doors.sign_up import sign_up_routes
from relay.mail.mailbox import Mailbox
from relay.policy.opting_in.opt_in import AGAIN_SECONDS, HOLDS_SECONDS, MOST_TO_ALL, person_of
from tests.support.opt_in import ADA, FORM, Desk, a_config
from tests.support.records import KEYS, has_all_keys, opened
from tests.support.stores import new_sqlite
from tests.support.web import served

DAY = 86400.0


@pytest.fixture
async def desk(tmp_path, clock):
    store = await new_sqlite(tmp_path, clock)
    with opened(tmp_path / "records.db", clock=clock) as records:
        yield Desk(records, store, clock)
    await store.aclose()


# One person, many addresses ---------------------------------------------------------------------------------------------


async def test_tags_and_dots_are_no_way_to_flood_a_mailbox(desk):
    """They are one mailbox to gmail.com and others, and a ledger of each to us."""
    addresses = [f"ada+{number}@example.org" for number in range(9)] + ["a.da@example.org", "A.D.A+x@example.org", ADA]
    told = []
    for address in addresses:
        told.append(await desk.ask(address))
        desk.clock.pass_(AGAIN_SECONDS)
    assert told == ["sent"] * MOST_TO_ALL + ["too_many"] * 8
    assert len(desk.line.mails) == MOST_TO_ALL
    assert await desk.events("ada+8@example.org") == ()
    assert await desk.ask("bob@example.org") == "sent"
    assert await desk.ask("ada@example.net") == "sent"
    desk.clock.pass_(HOLDS_SECONDS)
    assert await desk.ask("ada+8@example.org") == "sent"


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("a.d.a@example.org", "ADA@example.org", True),
        ("ada+a+b@example.org", "ada@example.org", True),
        ("ada@example.org", "ada@example.net", False),
        ("ada-a@example.org", "ada-b@example.org", False),
        ("+a@example.org", "+b@example.org", False),
        ('"..a"@example.org', "a@example.org", True),
    ],
)
def test_whose_mailbox_it_may_be(one, other, is_one):
    assert (person_of(Mailbox.parse(one)) == person_of(Mailbox.parse(other))) is is_one


# One domain, many addresses ---------------------------------------------------------------------------------------------


async def asked_at(desk, addresses):
    """How many mails were sent before the door was closed to the domain; each comes from another network."""
    for number, address in enumerate(addresses):
        desk.clock.pass_(HOUR / 100)
        try:
            await desk.opt_in.admit(f"198.51.{number % 250}.{number}", Mailbox.parse(address))
        except TooManyRequests as fault:
            return number if str(fault) == "domain" else -1
        assert await desk.ask(address) == "sent"
    return len(addresses)


async def test_whoever_owns_all_mailboxes_of_a_domain_is_not_flooded_with_invented_ones(desk):
    assert await asked_at(desk, [f"x{number}@example.org" for number in range(200)]) == UNANSWERED_AT_DOMAIN
    assert len(desk.line.mails) == UNANSWERED_AT_DOMAIN
    assert await asked_at(desk, ["ada@example.net"]) == 1
    desk.clock.pass_(DAY)
    assert await asked_at(desk, ["x@example.org"]) == 1


async def test_not_by_asking_for_all_of_them_at_once_either(desk):
    """All were let through while the first was being recorded."""
    told = await asyncio.gather(*(desk.ask(f"x{number}@example.org") for number in range(2 * UNANSWERED_AT_DOMAIN)))
    assert (told.count("sent"), told.count("too_many")) == (UNANSWERED_AT_DOMAIN, UNANSWERED_AT_DOMAIN)
    assert len(desk.line.mails) == UNANSWERED_AT_DOMAIN


async def test_where_people_confirm_more_may_sign_up(desk):
    assert await asked_at(desk, [f"x{number}@example.org" for number in range(UNANSWERED_AT_DOMAIN)]) == UNANSWERED_AT_DOMAIN
    assert await asked_at(desk, ["y@example.org"]) == 0
    for number in (0, 1):
        assert await desk.press(desk.line.token(number)) == "confirmed"
    assert await desk.press(desk.line.token(0)) == "confirmed"  # again, which is none more
    assert await asked_at(desk, [f"z{number}@example.org" for number in range(20)]) == 2 * FOR_EACH_ANSWER


async def test_what_sends_no_mail_does_not_count_at_the_domain(desk):
    assert await desk.ask() == "sent"
    for _ in range(2 * UNANSWERED_AT_DOMAIN):
        assert await desk.ask() == "asked"
    assert await asked_at(desk, ["bob@example.org"]) == 1


# A relay that cannot send now -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [(451, "4.4.1"), OSError("no worker")])
async def test_a_mail_that_was_not_taken_does_not_count_as_one(desk, reply):
    """Two tries while the upstream is away kept people from signing up for a week."""
    desk.line.reply = reply
    for _ in range(2):
        assert await desk.ask() == "failed"
        desk.clock.pass_(AGAIN_SECONDS + 1)
    desk.line.reply, desk.line.mails = (250, "2.0.0"), []
    assert await desk.ask() == "sent"
    assert await desk.ask() == "asked"
    assert await desk.press() == "confirmed"
    assert len(desk.line.mails) == 1


async def test_whoever_tries_again_at_once_gets_the_mail_of_the_same_request(desk):
    desk.line.reply = (451, "4.4.1")
    assert await desk.ask() == "failed"
    desk.line.reply, desk.line.mails = (250, "2.0.0"), []
    desk.clock.pass_(5)
    assert await desk.ask() == "sent"
    assert [event.event for event in await desk.events()] == ["requested"]
    assert await desk.press() == "confirmed"


async def test_a_mail_that_is_refused_for_good_is_not_tried_again_at_once(desk):
    desk.line.reply = (550, "5.1.1")
    assert [await desk.ask(), await desk.ask()] == ["failed", "asked"]


async def test_a_person_is_tried_no_more_often_for_it(desk):
    """The reply may have got lost on its way, and the mail not."""
    desk.line.reply = (451, "4.4.2")
    told = []
    for _ in range(MOST_TO_ALL + 2):
        told.append(await desk.ask())
        desk.clock.pass_(AGAIN_SECONDS + 1)
    assert told == ["failed"] * MOST_TO_ALL + ["too_many"] * 2


# Clocks and bodies ------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_keeps_nobody_waiting():
    pace, persons = Pace(MOST_FROM_NETWORK, 300), PersonPace(1, DAY)
    for _ in range(MOST_FROM_NETWORK):
        assert pace.refusal("192.0.2.1", 400 * DAY) == ""
    assert pace.refusal("192.0.2.1", 400 * DAY + HOUR - 1) == "network"
    assert pace.refusal("192.0.2.1", 10 * DAY) == ""
    assert [persons.lets("ada", at * DAY) for at in (400, 400.5, 10, 10.5, 11.1)] == [True, False, True, False, True]


async def test_a_request_from_a_clock_that_was_ahead_keeps_nobody_waiting_for_it(desk):
    desk.clock.pass_(400 * DAY)
    assert await desk.ask() == "sent"
    desk.clock.pass_(-AGAIN_SECONDS / 2)
    assert await desk.ask() == "asked"  # two nodes are not of one mind to the second
    desk.clock.pass_(-400 * DAY)
    assert await desk.ask() == "sent"
    assert await desk.press() == "confirmed"


_NO_FORMS = {
    "encoding": b'--x\r\nContent-Disposition: form-data; name="email"\r\nContent-Transfer-Encoding: z\r\n\r\na\r\n--x--\r\n',
    "charset": b'--x\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"a" * 40 + b"\r\n--x--\r\n",
    "fields": b"--x\r\n" + b"A: b\r\n" * 300 + b"\r\n\r\na\r\n--x--\r\n",
    "line": b"--x\r\nA: " + b"b" * 12000 + b"\r\n\r\na\r\n--x--\r\n",
    "colon": b"--x\r\nfoo\r\n\r\na\r\n--x--\r\n",
}


@pytest.fixture
async def web(desk):
    refusals = Refusals(
        KEYS, desk.records, lambda: desk.store, lambda: desk.policy, has_all_keys, clock=desk.clock, entropy=os.urandom
    )
    async with served(public_app(refusals, sign_up_routes(desk.opt_in, ()))) as door:
        yield door


@pytest.mark.parametrize("body", _NO_FORMS.values(), ids=_NO_FORMS)
async def test_a_multipart_body_that_is_none_is_the_fault_of_who_sent_it(web, caplog, body):
    """It was a 500, with as many lines in the log as the stranger wanted."""
    answer = await web.post("/u/sign-up/newsletter", body, "multipart/form-data; boundary=x")
    assert answer.status == 400
    assert caplog.text == ""


async def test_a_body_that_is_packed_wrongly_is_too(web, caplog):
    answer = await web.ask("POST", "/u/sign-up/newsletter", b"email=ada", Content_Encoding="gzip")
    assert answer.status == 400
    assert caplog.text == ""


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_who_hangs_up_in_the_middle_leaves_no_traceback(web, caplog, kind):
    """Telephones do it in every tunnel."""
    _, writer = await asyncio.open_connection(web.host, int(web.port))
    head = f"POST /u/sign-up/newsletter HTTP/1.1\r\nHost: relay\r\nContent-Type: {kind}\r\nContent-Length: 500\r\n\r\n"
    writer.write(head.encode() + b"--x\r\n")
    await writer.drain()
    await asyncio.sleep(0.2)  # until it is read
    writer.transport.abort()
    await asyncio.sleep(0.2)  # until that is noticed
    assert caplog.text == ""
    assert (await web.get("/u/sign-up/newsletter")).status == 200


# Two forms that say the same --------------------------------------------------------------------------------------------

_TWIN = FORM + FORM[FORM.index("[[form]]") : FORM.rindex("[[form]]")].replace('"newsletter"', '"fair"').replace("/join", "/fair")


async def test_the_proof_names_the_form_and_the_page_by_which_somebody_signed_up(desk):
    desk.config = a_config(_TWIN)
    desk.opt_in = OptIn(desk.config, KEYS, desk.consents, desk.line.post, lambda: desk.policy, desk.clock)
    assert await desk.ask(form="fair") == "sent"
    assert await desk.press() == "confirmed"
    _, confirmed = await desk.events()
    assert confirmed.details.source_ref == "https://www.example.com/fair"
    assert confirmed.details.method == "double opt-in, form fair"
    assert "https://www.example.com/fair" in confirmed.evidence
