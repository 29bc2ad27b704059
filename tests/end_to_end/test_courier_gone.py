"""What mail was held with is gone when its time comes: stream, upstream, body; its sender hears of it all the same."""

from dataclasses import replace
from pathlib import Path

from relay.holding.intervention import Deed, HeldMail, Intervention, Wanted
from relay.mail.envelope import Credentials, Identity, IdentityKind, Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.sets.parse import parse_policies
from relay.records.kinds import Kind
from relay.service.policies import read_folder
from relay.stores.held import Why
from tests.support.courier import CourierHouse, report_parts
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.line import CLIENT
from tests.support.service import OFFICE, PASSWORD, message

HOUR = 3600.0
DAY = 24 * HOUR
SEALED = {"extra": '[keys]\nfile = "secrets/keys.toml"\n', "logins": 'held_credentials = "sealed"'}
upstream = an_upstream()
house = a_courier_house()


def hold(house, upstream, who: str = "ada@example.org") -> None:
    fault = upstream.fault("MAIL", "450 4.2.1 try later")
    assert house.send(OFFICE, [who], message(sender=OFFICE)).is_positive
    upstream.faults.remove(fault)


def hold_for_own_login(house, upstream) -> None:
    """A mail of a client that logged in with its own account, and went."""
    credentials = Credentials(OFFICE, PASSWORD)
    identity = Identity(OFFICE, IdentityKind.PASSTHROUGH, frozenset({OFFICE}), "up", credentials, house.clock.now)

    async def send():
        submission = await house.line.begin(CLIENT, identity, Mailbox.parse(OFFICE))
        reply = await house.line.submit(
            replace(submission, recipients=(Recipient(Mailbox.parse("ada@example.org")),)), message(sender=OFFICE)
        )
        await house.line.concluded(submission)
        return reply

    fault = upstream.fault("MAIL", "450 4.2.1 try later")
    assert house.run(send()).is_positive
    upstream.faults.remove(fault)


def table(upstream, name: str, auth: str = "none") -> str:
    return f'[[upstream]]\nname = "{name}"\naddresses = ["{upstream.address}"]\ntls = "none"\nauth = "{auth}"\n'


def an_upstream_name(folder, name: str, upstream, *, clock=None) -> CourierHouse:
    """A relay on the files of the one before, whose upstream has this name."""
    return CourierHouse(folder, upstream, upstreams=table(upstream, name, "account"), clock=clock, **SEALED)


def test_what_no_stream_takes_until_its_time_is_over_is_reported(house, upstream):
    hold(house, upstream)
    files = read_folder(house.relay.folder / "policies")
    stream = files["streams/correspondence.toml"].replace(OFFICE.encode(), b"nobody@example.com")
    house.line.policy = parse_policies(files | {"streams/correspondence.toml": stream})
    house.turn(5 * DAY + HOUR)
    house.wait_empty()
    (report,) = upstream.accepted
    assert report.recipients == [OFFICE]
    assert "4.4.7" in report_parts(report.data)[1]
    assert not house.records(Kind.UNREPORTED)


def test_where_its_stream_is_gone_the_report_leaves_by_the_sender_s_stream_of_now(house, upstream):
    hold(house, upstream)
    files = read_folder(house.relay.folder / "policies")
    renamed = files | {
        "organisation.toml": files["organisation.toml"].replace(b'"correspondence"', b'"letters"'),
        "streams/letters.toml": files["streams/correspondence.toml"],
    }
    del renamed["streams/correspondence.toml"]
    house.line.policy = parse_policies(renamed)
    house.turn(5 * DAY + HOUR)
    house.wait_empty()
    assert [delivery.recipients for delivery in upstream.accepted] == [[OFFICE]]


def test_mail_of_a_login_at_an_upstream_that_is_gone_waits_for_it_and_leaves_when_it_is_back(tmp_path, upstream):
    upstream.accounts = {OFFICE: PASSWORD}
    with an_upstream_name(tmp_path, "up", upstream) as house:
        hold_for_own_login(house, upstream)
    with an_upstream_name(tmp_path, "renamed", upstream, clock=house.clock) as meanwhile:
        meanwhile.settled(90)
        (copy,) = meanwhile.held()
        assert (copy.why, copy.due_at, copy.attempts) == (Why.UPSTREAM, meanwhile.clock.now + 900, 0)
    with an_upstream_name(tmp_path, "up", upstream, clock=house.clock) as again:
        again.turn(901)
        again.wait_empty()
    assert upstream.recipients == ["ada@example.org"]


def test_mail_of_a_login_at_an_upstream_that_stays_away_ends_on_record(tmp_path, upstream):
    upstream.accounts = {OFFICE: PASSWORD}
    with an_upstream_name(tmp_path, "up", upstream) as house:
        hold_for_own_login(house, upstream)
    with an_upstream_name(tmp_path, "renamed", upstream, clock=house.clock) as again:
        again.settled(5 * DAY + HOUR)
        assert again.whys() == {Why.REPORT: 1}
        again.turn(6 * DAY)
        again.wait_empty()
        (late,) = again.records(Kind.LATE)
        assert [(one["state"], one["rule"]) for one in late.facts["outcomes"]] == [("refused", "expired")]
        (record,) = again.records(Kind.UNREPORTED)
        assert record.facts["why"] == "undeliverable"
    assert not upstream.accepted


def test_a_report_on_what_an_upstream_refused_that_is_gone_since_leaves(tmp_path, upstream):
    with CourierHouse(tmp_path, upstream, upstreams=table(upstream, "old")) as house:
        hold(house, upstream)
        upstream.fault("RCPT", "550 5.1.1 no such user", matching="ada@")
        upstream.fault("MAIL", "450 4.2.1 try later", matching="FROM:<>")
        house.settled(90)
        assert house.whys() == {Why.REPORT: 1}
    upstream.faults.clear()
    with CourierHouse(tmp_path, upstream, upstreams=table(upstream, "new"), clock=house.clock) as again:
        again.turn(HOUR)
        again.wait_empty()
    assert [delivery.recipients for delivery in upstream.accepted] == [[OFFICE]]


def lose(house) -> tuple[Path, bytes]:
    """The body of the one message that is held is gone from the disk: its file, and what it was."""
    (file,) = (house.relay.data / "held").iterdir()
    octets = file.read_bytes()
    file.unlink()
    return file, octets


def test_mail_whose_body_is_lost_waits_for_it_to_be_restored(house, upstream):
    hold(house, upstream)
    (before,) = house.held()
    file, octets = lose(house)
    for seconds in (90, 70, 130):
        claims = len(house.claims)
        house.settled(seconds)
        assert len(house.claims) == claims + 1  # it is not looked at again and again
    (copy,) = house.held()
    assert copy.lane.priority > before.lane.priority  # nobody waits behind it
    file.write_bytes(octets)
    house.turn(HOUR)
    house.wait_empty()
    assert upstream.recipients == ["ada@example.org"]


def test_mail_whose_body_is_lost_for_good_is_reported_when_its_time_is_over(house, upstream):
    hold(house, upstream)
    lose(house)
    house.settled(90)
    house.settled(5 * DAY + HOUR)
    house.turn(HOUR)
    house.wait_empty()
    (late,) = house.records(Kind.LATE)
    assert [(one["state"], one["rule"]) for one in late.facts["outcomes"]] == [("refused", "expired")]
    (report,) = upstream.accepted
    assert report.recipients == [OFFICE]
    assert f"Return-Path: <{OFFICE}>".encode() in report.data


def test_mail_whose_body_the_disk_does_not_give_is_reported_when_its_time_is_over(house, upstream):
    hold(house, upstream)
    (before,) = house.held()
    file, _ = lose(house)
    file.symlink_to(file)  # there, and nobody can read it: as where the disk is broken, or the file is another user's
    house.settled(90)
    (copy,) = house.held()
    assert copy.lane.priority > before.lane.priority  # nobody waits behind it
    house.settled(5 * DAY + HOUR)
    house.turn(HOUR)
    house.wait_empty()
    (late,) = house.records(Kind.LATE)
    assert [(one["state"], one["rule"]) for one in late.facts["outcomes"]] == [("refused", "expired")]
    assert [report.recipients for report in upstream.accepted] == [[OFFICE]]


def test_mail_whose_body_is_lost_can_be_dropped_and_its_sender_is_told(house, upstream):
    hold(house, upstream)
    lose(house)
    house.settled(90)

    async def drop():
        intervention = Intervention(
            house.store, house.line.records, house.line.keys, house.clock, by="Wang Min", reason="the disk lost it"
        )
        async for page in HeldMail(house.store, house.line.keys, house.clock).pages(Wanted()):
            await intervention.do(Deed.DROP, page)
        await intervention.finish()

    house.run(drop())
    house.turn(61)
    house.wait_empty()
    (report,) = upstream.accepted
    assert "the disk lost it" in report_parts(report.data)[0]
