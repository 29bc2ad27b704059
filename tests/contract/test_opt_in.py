"""Double opt-in on every store: asked once, confirmed from the mailbox, with the proof of both; else nothing."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from relay.doors.opt_in import Wish
from relay.keys import rotated
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import Basis, Details, Evidence
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.consents.residence import Residence, residence_of
from relay.policy.opting_in.opt_in import AGAIN_SECONDS, HOLDS_SECONDS
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression, stream_scope
from relay.records.consents import Said, origin_of
from relay.telemetry import consent_confirmations_total, consent_requests_total
from tests.support.opt_in import ADA, FORM, SENDER, WISH, WORDS, Desk, a_config
from tests.support.records import KEYS, opened

NEWS = "marketing:newsletter"


@pytest.fixture
def desk(tmp_path, store, clock):
    with opened(tmp_path / "records.db", clock=clock) as records:
        yield Desk(records, store, clock)


def counted(counter, result):
    return counter.labels(result)._value.get()


async def stands(desk, purpose=NEWS, address=ADA):
    today = datetime.fromtimestamp(desk.clock(), UTC).date()
    found = grant_for(await desk.events(address), Needs(purpose, confirmed=True, evidence=frozenset(Evidence)), today)
    return not isinstance(found, str)


async def refuse(desk, reason, at=None, scope=ORGANISATION):
    mailbox = Mailbox.parse(ADA)
    entry = Suppression(KEYS.addresses.digest(mailbox.key), scope, reason, "page", desk.clock() if at is None else at, b"")
    await desk.store.suppress(entry)


async def test_who_is_asked_agreed_to_nothing_and_who_confirms_leaves_the_whole_proof(desk):
    before = counted(consent_requests_total, "sent"), counted(consent_confirmations_total, "confirmed")
    assert await desk.ask() == "sent"
    assert not await stands(desk)
    (sender, recipient, _), asked_at = desk.line.mails[0], desk.clock()
    assert (sender, recipient) == (SENDER, ADA)
    assert await desk.state() == "open"
    assert not await stands(desk)  # showing the page is no consent
    desk.clock.pass_(3600)
    assert await desk.press(ip="198.51.100.4", user_agent="Phone") == "confirmed"
    assert await stands(desk)
    asked, confirmed = await desk.events()
    assert (asked.event, asked.purpose, asked.at, asked.by) == ("requested", NEWS, asked_at, "form")
    assert (confirmed.event, confirmed.purpose, confirmed.basis) == ("confirmed", NEWS, Basis.EXPLICIT)
    assert (confirmed.at, confirmed.by) == (asked_at + 3600, "recipient")
    details = confirmed.details
    assert (details.request, details.asked_at) == (asked.id, asked_at)
    assert (details.source, details.source_ref, details.language) == ("form", "https://www.example.com/join", "en")
    assert (details.notice_version, details.controller) == ("2026-1", "Example Company Ltd.")
    assert details.text_sha256 == desk.opt_in.form("newsletter").text_sha256("en")
    assert "confirmed from this mailbox" in confirmed.evidence
    told = {"ip": "198.51.100.4", "user_agent": "Phone", "asked_ip": "192.0.2.9", "asked_user_agent": "Mozilla"}
    assert origin_of(KEYS, confirmed) == told
    assert "198.51.100.4" not in confirmed.said
    assert (counted(consent_requests_total, "sent"), counted(consent_confirmations_total, "confirmed")) == (
        before[0] + 1,
        before[1] + 1,
    )


FOR_KOREA = FORM.replace('purpose = "marketing:newsletter"', 'purpose = "marketing:newsletter"\ncountry = "KR"')


@pytest.mark.parametrize(("said", "country"), [("", "KR"), ("JP", "JP")])
async def test_who_confirms_is_in_the_country_of_the_form_unless_it_was_said(tmp_path, store, clock, said, country):
    with opened(tmp_path / "records.db", clock=clock) as records:
        desk = Desk(records, store, clock, a_config(FOR_KOREA))
        assert await desk.ask(wish=replace(WISH, country=said)) == "sent"
        assert [event.country for event in await desk.events()] == [country]
        assert residence_of(await desk.events()) is None  # anybody can type anybody's address
        assert await desk.press() == "confirmed"
        assert residence_of(await desk.events()) == Residence(frozenset({country}), clock())
        (found,) = await store.look_up([KEYS.addresses.digests(ADA)])
        assert found.residence == Residence(frozenset({country}), clock())


async def test_the_button_pressed_again_adds_nothing_in_whichever_language(desk):
    await desk.ask()
    assert [await desk.press(language=one) for one in ("en", "en", "zh")] == ["confirmed"] * 3
    assert [event.event for event in await desk.events()] == ["requested", "confirmed"]


async def test_two_presses_at_once_are_one_consent(desk):
    await desk.ask()
    said = await asyncio.gather(desk.press(language="en"), desk.press(language="zh"))
    assert set(said) == {"confirmed"}
    assert len(await desk.events()) == 2


async def test_a_request_that_nobody_confirms_lapses_and_leaves_no_consent(desk):
    await desk.ask()
    token = desk.line.token()
    desk.clock.pass_(HOLDS_SECONDS - 1)
    assert await desk.state(token) == "open"
    desk.clock.pass_(2)
    before = counted(consent_confirmations_total, "expired")
    assert await desk.state(token) == "expired"
    assert await desk.press(token) == "expired"
    assert counted(consent_confirmations_total, "expired") == before + 1
    assert not await stands(desk)
    assert [event.event for event in await desk.events()] == ["requested"]
    assert await desk.ask() == "sent"  # and they may begin anew
    assert await desk.press() == "confirmed"


async def test_asked_again_within_minutes_sends_nothing_then_one_reminder_then_none(desk):
    results = [await desk.ask(), await desk.ask()]
    desk.clock.pass_(AGAIN_SECONDS + 1)
    results += [await desk.ask()]
    desk.clock.pass_(AGAIN_SECONDS + 1)
    results += [await desk.ask()]
    assert results == ["sent", "asked", "sent", "too_many"]
    assert len(desk.line.mails) == 2
    assert await desk.press(desk.line.token(0)) == "confirmed"  # the first link holds too
    assert await desk.ask("bob@example.org") == "sent"


async def test_of_two_who_ask_at_once_one_sends(desk, tmp_path):
    with opened(tmp_path / "other.db", clock=desk.clock) as records:
        other = Desk(records, desk.store, desk.clock)
        results = await asyncio.gather(*(one.ask() for one in (desk, other, desk, other)))
    assert sorted(results) == ["asked", "asked", "asked", "sent"]
    assert len(desk.line.mails) + len(other.line.mails) == 1


async def test_a_stranger_cannot_flood_a_mailbox_by_all_forms_in_a_year(tmp_path, store, clock):
    forms = "".join(
        f'[[form]]\nname = "f{n}"\npurpose = "marketing:f{n}"\nwords = {{ en = "I agree to {n}" }}\n' for n in range(30)
    )
    config = a_config(f'[unsubscribe]\nbase_url = "https://www.example.com"\n[consents]\nsender = "{SENDER}"\n{forms}')
    with opened(tmp_path / "records.db", clock=clock) as records:
        desk = Desk(records, store, clock, config)
        first_week = [await desk.ask(form=f"f{n}") for n in range(30)]
        assert first_week.count("sent") == 4
        for _ in range(30):
            clock.pass_(8 * 86400.0)
            for n in range(5):
                await desk.ask(form=f"f{n}")
        assert len(desk.line.mails) == 6


async def test_a_confirmed_consent_that_stands_needs_no_mail_and_one_that_was_left_does(desk):
    await desk.ask()
    await desk.press()
    desk.clock.pass_(AGAIN_SECONDS + 1)
    assert await desk.ask() == "stands"
    await refuse(desk, Reason.UNSUBSCRIBE, scope=stream_scope("newsletter"))
    desk.clock.pass_(1)
    assert await desk.state(desk.line.token()) == "ended"
    assert await desk.press() == "ended"  # an old link revives nothing
    assert await desk.store.find([KEYS.addresses.digests(ADA)]) != [()]
    assert await desk.ask() == "sent"
    assert await desk.press() == "confirmed"
    assert await desk.store.find([KEYS.addresses.digests(ADA)]) == [()]  # the later consent lifts the older refusal


async def test_a_refusal_that_is_wider_than_the_form_stands_and_the_page_says_so(desk):
    await refuse(desk, Reason.UNSUBSCRIBE)
    desk.clock.pass_(1)
    assert await desk.ask() == "sent"
    assert await desk.press() == "refused"
    assert await desk.state() == "refused"
    assert await desk.store.find([KEYS.addresses.digests(ADA)]) != [()]


async def test_a_withdrawal_after_the_confirmation_ends_the_link_too(desk):
    await desk.ask()
    await desk.press()
    desk.clock.pass_(60)
    said = Said("withdrawn", "marketing", "explicit", desk.clock(), "called us", "Wang", Details(), {})
    await desk.consents.record(Mailbox.parse(ADA), said)
    assert await desk.press() == "ended"
    assert not await stands(desk)


@pytest.mark.parametrize("reason", [Reason.COMPLAINT, Reason.OBJECTION, Reason.LEGAL])
async def test_who_complained_is_not_asked_by_mail(desk, reason):
    await refuse(desk, reason)
    assert await desk.ask() == "refused"
    assert (desk.line.mails, await desk.events()) == ([], ())


async def test_a_form_that_says_something_else_now_confirms_nothing(desk, tmp_path):
    await desk.ask()
    token = desk.line.token()
    changed = a_config().model_copy(update={"form": tuple(
        one.model_copy(update={"words": one.words.model_copy(update={"zh": "我同意一切", "en": "I agree to everything"})})
        for one in a_config().form
    )})  # fmt: skip
    with opened(tmp_path / "other.db", clock=desk.clock) as records:
        other = Desk(records, desk.store, desk.clock, changed)
        assert await other.press(token) == "expired"
    assert not await stands(desk)


async def test_a_mail_that_the_line_does_not_take_is_told_and_counted(desk):
    before = counted(consent_requests_total, "failed")
    desk.line.reply = (550, "5.1.1")
    assert await desk.ask() == "failed"
    desk.line.reply = ConnectionResetError("no worker")
    assert await desk.ask("bob@example.org") == "failed"
    assert counted(consent_requests_total, "failed") == before + 2
    assert not await stands(desk)


async def test_a_forged_or_foreign_token_opens_nothing(desk):
    await desk.ask()
    token = desk.line.token()
    last = "B" if token[20] == "A" else "A"
    for wrong in (token[:20] + last + token[21:], token[:-1], token + "A", "", "x" * 79, "令" * 79):
        assert await desk.opt_in.request(wrong) is None


async def test_a_link_holds_when_the_keys_were_rotated_meanwhile(desk):
    keys = (KEYS.addresses, KEYS.tokens, KEYS.records)
    await desk.ask()
    fresh = rotated(rotated(KEYS, "addresses", date(2026, 11, 2)), "tokens", date(2026, 11, 2))
    try:
        KEYS.take_up(fresh)
        assert await desk.press() == "confirmed"
        assert await desk.press() == "confirmed"
        assert len(await desk.events()) == 2
    finally:
        KEYS.addresses, KEYS.tokens, KEYS.records = keys


async def test_the_words_are_in_the_mail_in_both_languages_and_the_reader_s_first(desk):
    await desk.ask(wish=Wish("zh", {}, "form"))
    text = desk.line.text()
    assert text.index(WORDS["zh"]) < text.index(WORDS["en"])
    await desk.ask("bob@example.org")
    text = desk.line.text()
    assert text.index(WORDS["en"]) < text.index(WORDS["zh"])
    assert "192.0.2.9" not in text
