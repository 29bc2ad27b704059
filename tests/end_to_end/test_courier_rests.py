"""Mail that comes in while its upstream is given a rest leaves soon after somebody ends that rest."""

from relay.stores.held import Why
from tests.support.courier import CourierHouse
from tests.support.service import OFFICE, message
from tests.support.upstream import RecordingUpstream

HOUR = 3600.0


def an_account(folder, password: str) -> str:
    (folder / "office.password").write_text(password)
    (folder / "office.password").chmod(0o600)
    return f'[[account]]\nidentity = "{OFFICE}"\nupstream = "up"\npassword_file = "office.password"\n'


def test_mail_that_came_in_while_the_account_had_an_old_password_leaves_at_the_next_start(tmp_path):
    with RecordingUpstream(accounts={OFFICE: "new"}) as upstream:
        with CourierHouse(tmp_path, upstream, auth="account", extra=an_account(tmp_path, "old")) as house:
            assert house.send(
                OFFICE, ["ada@example.org"], message(sender=OFFICE)
            ).is_positive  # it is refused: nobody asks for a day
            assert house.send(OFFICE, ["bob@example.net"], message(sender=OFFICE)).is_positive
            assert house.whys() == {Why.UPSTREAM: 2}
        with CourierHouse(tmp_path, upstream, auth="account", extra=an_account(tmp_path, "new"), clock=house.clock) as again:
            again.turn(1)
            again.wait_empty()
        assert sorted(upstream.recipients) == ["ada@example.org", "bob@example.net"]


def test_a_password_that_is_mended_while_the_relay_runs_is_read_and_its_mail_tried_at_once(tmp_path):
    with RecordingUpstream(accounts={OFFICE: "new"}) as upstream:
        with CourierHouse(tmp_path, upstream, auth="account", extra=an_account(tmp_path, "old")) as house:
            for person in ("ada@example.org", "bob@example.net", "eve@example.net"):
                assert house.send(OFFICE, [person], message(sender=OFFICE)).is_positive
            house.settled(HOUR)
            assert house.whys() == {Why.UPSTREAM: 3}
            asked = len(upstream.auth_attempts)
            (tmp_path / "office.password").write_text("")  # somebody empties the file first; the password before stays
            house.settled(3)
            assert (house.whys(), len(upstream.auth_attempts)) == ({Why.UPSTREAM: 3}, asked)
            (tmp_path / "office.password").write_text("new")
            house.turn(3)
            house.wait_empty()
            assert house.send(OFFICE, ["joe@example.org"], message(sender=OFFICE)).is_positive
        assert sorted(upstream.recipients) == ["ada@example.org", "bob@example.net", "eve@example.net", "joe@example.org"]
