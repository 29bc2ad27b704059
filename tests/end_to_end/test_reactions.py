"""Providers as they behave: each right reaction, each on record, and full speed again afterwards."""

import os
import time

import pytest

from relay.records.kinds import Kind
from relay.records.search import Query, search
from relay.service.adaptation import AdaptationWatch
from relay.stores.adaptations import NEVER
from relay.telemetry import upstream_adapted
from tests.support.clocks import Clock
from tests.support.courier import CourierHouse
from tests.support.line import LineHouse
from tests.support.rehearsal import PASSWORD, QQ, SES, NetEase, Tencent
from tests.support.service import NEWS, OFFICE, message

ADA, BOB = "ada@example.org", "bob@example.net"
QUARTER, HOUR, DAY = 900.0, 3600.0, 86400.0


@pytest.fixture
def clock():
    """The last 13 o'clock in Beijing: never ahead of the machine's own clock, by which the commands record."""
    hour = 5 * 3600
    return Clock(float((int(time.time()) - hour) // 86400 * 86400 + hour))


def a_house(tmp_path, upstream, provider, clock, password=PASSWORD, login=NEWS, others="", ways=(), kind=LineHouse):
    tmp_path.mkdir(exist_ok=True)
    secret = tmp_path / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    table = (
        f'[[upstream]]\nname = "up"\nprovider = "{provider}"\naddresses = ["{upstream.address}"]\ntls = "none"\n'
        "max_connections_per_identity = 1\n"
    )
    listed = ", ".join(f'"{way}"' for way in ways)
    by_ways = [(r"upstream = \[\]", f"upstream = [{listed}]")] if ways else []
    policy = {"streams/newsletter.toml": by_ways}
    account = f'[[account]]\nidentity = "@example.com"\nlogin = "{login}"\nupstream = "up"\npassword_file = "{secret}"\n'
    return kind(tmp_path, upstream, upstreams=table + others, extra=account, policy=policy, clock=clock)


class Stage:
    """A house, its upstream and the clock; the node's watch looks when it is told to."""

    def __init__(self, house, upstream, clock):
        self.house, self.upstream, self.clock = house, upstream, clock
        line, assembly = house.line, house._assembly
        self._watch = AdaptationWatch(line.config, line.records, lambda: assembly.store, clock=clock, entropy=os.urandom)

    def send(self, recipients=(ADA,), words="Hello", sender=NEWS, login=None):
        recipients = [recipients] if isinstance(recipients, str) else list(recipients)
        number = os.urandom(6).hex()
        data = message(f"{words} {number}@example.com", sender)
        return self.house.send(login or sender, recipients, data)

    def later(self, seconds):
        """Time passes, and everybody looks at the store."""
        self.clock.pass_(seconds)
        self.look()

    def look(self):
        self.house.run(self._watch.look())
        self.house.run(self.house._assembly.mend())

    def turns(self, hours):
        """Hours go by, in each of which the courier does what it can."""
        for _ in range(hours):
            self.house.settled(HOUR)
            self.look()

    def adapted(self):
        """What is in force: kind, scope, seconds that it lasts yet, value."""
        self.look()
        found = self.house.run(self.house._assembly.store.adaptations())
        return sorted(
            (one.kind.value, one.scope.value, None if one.until == NEVER else round(one.until - self.clock()), one.value)
            for one in found
        )

    def recorded(self):
        """Records of adaptations, as kind and how it ended."""
        found = search(self.house.line.records.reader, Query(kinds=frozenset({Kind.ADAPTED})))
        return [(entry.record.facts["kind"], entry.record.facts["ended"]) for entry in found]

    def taken(self):
        return len(self.upstream.accepted)


def is_at_full_speed(stage, mails=8):
    """Nothing is adapted, and every mail leaves at once."""
    before = stage.taken()
    return stage.adapted() == [] and all(stage.send().code == 250 for _ in range(mails)) and stage.taken() == before + mails


# NetEase --------------------------------------------------------------------------------------------------------------


def test_netease_fifteen_minutes(tmp_path, clock):
    """451 MI:SFQ: nothing for a quarter of an hour, then half as fast, then as before."""
    with NetEase(clock, quarter_hour=4) as upstream, a_house(tmp_path, upstream, "netease", clock) as house:
        stage = Stage(house, upstream, clock)
        assert [stage.send().code for _ in range(4)] == [250] * 4
        assert "MI:SFQ" in str(stage.send())
        assert stage.adapted() == [("rate", "identity", 7800, 2), ("rest", "identity", 900, 0)]
        asked = len(upstream.sessions), len(upstream.refusals)
        said = stage.send()
        assert (said.code, said.status, said.rule) == (451, "4.7.1", "upstream")
        assert "takes none of this mail before" in str(said)
        assert (len(upstream.sessions), len(upstream.refusals)) == asked, "a scope that rests is not asked"
        stage.later(QUARTER)
        upstream.quarter_hour = 10**9
        lowered = [stage.send() for _ in range(3)]
        assert [reply.code for reply in lowered] == [250, 250, 450]
        assert "lowered by its replies" in str(lowered[-1])
        stage.later(7800)
        assert is_at_full_speed(stage)
        assert sorted(stage.recorded()) == [("rate", ""), ("rate", "time"), ("rest", ""), ("rest", "time")]


def test_netease_a_lowered_rate_recovers_step_by_step(tmp_path, clock):
    with NetEase(clock, quarter_hour=40) as upstream, a_house(tmp_path, upstream, "netease", clock) as house:
        stage = Stage(house, upstream, clock)
        assert [stage.send().code for _ in range(41)] == [250] * 40 + [451]
        assert stage.adapted()[0][3] == 20
        upstream.quarter_hour = 10**9
        stage.later(QUARTER)
        rates = []
        for _ in range(3):
            sent = 0
            while stage.send().code == 250:
                sent += 1
            rates.append(sent)
            stage.later(600)
        assert rates == [25, 31, 39], "a quarter more every ten minutes; one step fell into the rest"


def test_netease_the_day_is_over(tmp_path, clock):
    """550 RP:TRC: not before the next day in Beijing; a throttle, so nobody is refused for good and nobody suppressed."""
    with NetEase(clock, day=2) as upstream, a_house(tmp_path, upstream, "netease", clock) as house:
        stage = Stage(house, upstream, clock)
        assert [stage.send().code for _ in range(3)] == [250, 250, 451]
        assert stage.adapted() == [("rest", "identity", 11 * 3600, 0)]
        assert stage.send().code == 451
        stage.later(11 * HOUR - 1)
        assert stage.send().code == 451
        stage.later(1)
        upstream.day = 10**9
        assert is_at_full_speed(stage)
        assert stage.recorded() == [("rest", ""), ("rest", "time")]


def test_netease_too_many_recipients_are_split_and_learnt(tmp_path, clock):
    with NetEase(clock, OFFICE, per_mail=4) as upstream, a_house(tmp_path, upstream, "netease", clock, login=OFFICE) as house:
        stage = Stage(house, upstream, clock)
        people = [f"reader{number}@example.org" for number in range(10)]
        assert stage.send(people, sender=OFFICE).code == 250, "nobody waits: the others left in further mails"
        assert upstream.recipients == people
        assert stage.adapted() == [("recipients", "upstream", 86400, 4)]
        refused = len(upstream.refusals)
        assert stage.send(people, sender=OFFICE).code == 250
        assert len(upstream.refusals) == refused, "it was learnt"
        upstream.per_mail = 10**9
        stage.later(DAY)
        before = stage.taken()
        assert stage.send(people, sender=OFFICE).code == 250
        assert stage.taken() == before + 1
        assert stage.recorded() == [("recipients", ""), ("recipients", "time")]


def test_netease_wrong_sender_and_spam_fail_the_copy_alone(tmp_path, clock):
    with NetEase(clock) as upstream, a_house(tmp_path, upstream, "generic", clock) as house:
        stage = Stage(house, upstream, clock)
        assert stage.send(sender=OFFICE).code == 553  # Mail from must equal authorized user
        assert stage.adapted() == []
    with NetEase(clock) as upstream, a_house(tmp_path / "spam", upstream, "netease", clock) as house:
        stage = Stage(house, upstream, clock)
        assert "DT:SPM" in str(stage.send(words="spam"))
        assert stage.adapted() == []
        assert is_at_full_speed(stage)


def test_netease_too_many_connections(tmp_path, clock):
    """421 HL:ICC is about our address: everything rests, no breaker opens."""
    with NetEase(clock, connections=0) as upstream, a_house(tmp_path, upstream, "netease", clock) as house:
        stage = Stage(house, upstream, clock)
        assert [stage.send().code for _ in range(8)] == [451] * 8
        assert len(upstream.sessions) == 1
        assert [one[:2] for one in stage.adapted()] == [("rate", "upstream"), ("rest", "upstream")]
        upstream.connections = 10**9
        stage.later(2 * HOUR + QUARTER)
        assert is_at_full_speed(stage)


def test_netease_a_wrong_password_is_tried_once(tmp_path, clock):
    with NetEase(clock) as upstream:
        with a_house(tmp_path, upstream, "netease", clock, password="wrong") as house:
            stage = Stage(house, upstream, clock)
            assert [stage.send().code for _ in range(5)] == [451] * 5
            clock.pass_(HOUR)
            assert stage.send().code == 451
            assert upstream.auth_attempts == [(NEWS, False)]
            assert stage.adapted() == [("rest", "identity", round(DAY - HOUR), 0)]
        with a_house(tmp_path, upstream, "netease", clock) as house:
            stage = Stage(house, upstream, clock)
            stage.look()
            assert stage.send().code == 250, "another password may be tried"
            assert is_at_full_speed(stage)
            assert stage.recorded() == [("rest", ""), ("rest", "login")]


def test_netease_bad_standing_pauses_marketing_alone_until_a_person_resumes_it(tmp_path, clock):
    with NetEase(clock, OFFICE) as upstream, a_house(tmp_path, upstream, "netease", clock, login=OFFICE) as house:
        stage = Stage(house, upstream, clock)
        upstream.fault("MAIL", "554 HL:IPB 163 smtp1", times=1)
        assert stage.send(sender=OFFICE).code == 554
        assert stage.adapted() == [("pause", "upstream", None, 0)]
        assert stage.send(sender=OFFICE).code == 250, "what is no marketing leaves"
        clock.pass_(400 * DAY)
        assert stage.adapted() == [("pause", "upstream", None, 0)]


# Tencent, QQ, SES -----------------------------------------------------------------------------------------------------


def test_tencent_sender_frequency(tmp_path, clock):
    """550 Sender frequency limited: an hour for this recipient domain, half as fast afterwards, nobody suppressed."""
    with Tencent(clock, hour=3) as upstream, a_house(tmp_path, upstream, "tencent", clock) as house:
        stage = Stage(house, upstream, clock)
        assert [stage.send().code for _ in range(4)] == [250, 250, 250, 451]
        assert stage.adapted() == [("rate", "domain", 7800, 2), ("rest", "domain", 3600, 0)]
        assert stage.send().code == 451
        assert len(upstream.refusals) == 1
        upstream.hour = 10**9
        assert stage.send(BOB).code == 250, "another domain is asked"
        stage.later(7800)
        assert is_at_full_speed(stage)
        assert sorted(stage.recorded()) == [("rate", ""), ("rate", "time"), ("rest", ""), ("rest", "time")]


def test_qq_access_denied_is_a_throttle_of_one_domain(tmp_path, clock):
    with QQ(clock, hour=2) as upstream, a_house(tmp_path, upstream, "generic", clock) as house:
        stage = Stage(house, upstream, clock)
        assert [stage.send(f"{n}@qq.com").code for n in range(10_000, 10_003)] == [250, 250, 451]
        assert stage.adapted() == [("rest", "domain", 3600, 0)]
        assert [stage.send("10009@qq.com").code, stage.send(ADA).code] == [451, 250]
        assert len(upstream.refusals) == 1
        stage.later(HOUR)
        upstream.hour = 10**9
        assert stage.send("10009@qq.com").code == 250
        assert is_at_full_speed(stage)
        assert stage.recorded() == [("rest", ""), ("rest", "time")]


def test_qq_content_stops_marketing_to_qq_alone(tmp_path, clock):
    with QQ(clock) as upstream, a_house(tmp_path, upstream, "qq", clock) as house:
        stage = Stage(house, upstream, clock)
        assert stage.send("10001@qq.com", words="spam").code == 550
        assert stage.adapted() == [("pause", "domain", None, 0)]
        said = stage.send("10002@qq.com")
        assert (said.code, said.rule) == (451, "upstream-paused")
        assert stage.send(ADA).code == 250
        done = house.relay.command("upstream", "resume", "up", "--reason", "the campaign is stopped", "--by", "Wang Min")
        assert done.returncode == 0, done.stderr
        stage.look()
        assert stage.send("10002@qq.com").code == 250
        assert is_at_full_speed(stage)
        assert stage.recorded() == [("pause", ""), ("pause", "person")]


def test_qq_a_mailbox_that_is_gone_is_confirmed_before_it_is_believed(tmp_path, clock):
    with QQ(clock) as upstream, a_house(tmp_path, upstream, "qq", clock) as house:
        stage = Stage(house, upstream, clock)
        said = [stage.send("nobody@qq.com") for _ in range(3)]
        assert [reply.code for reply in said] == [550] * 3
        assert ["Mailbox not found" in str(reply) for reply in said] == [True, True, False]
        assert len(upstream.refusals) == 2, "who is gone by two mails' word is not tried a third time"
        assert stage.adapted() == []


def test_ses_rate_day_and_sender(tmp_path, clock):
    with SES(clock, second=2) as upstream, a_house(tmp_path, upstream, "ses", clock) as house:
        stage = Stage(house, upstream, clock)
        assert [stage.send().code for _ in range(3)] == [250, 250, 451]
        assert stage.adapted() == [("rate", "upstream", 7800, 1), ("rest", "upstream", 60, 0)]
        upstream.second = 10**9
        stage.later(7800)
        assert stage.adapted() == []
        upstream.day = 2
        upstream._day._times.clear()
        assert [stage.send().code for _ in range(4)] == [250, 250, 451, 451]
        assert stage.adapted() == [("rest", "upstream", 3600, 0)]
        upstream.day = 10**9
        stage.later(2 * HOUR)
        assert is_at_full_speed(stage)


def test_ses_a_paused_account_pauses_marketing(tmp_path, clock):
    with SES(clock) as upstream, a_house(tmp_path, upstream, "ses", clock) as house:
        stage = Stage(house, upstream, clock)
        upstream.is_paused = True
        assert stage.send().code == 554
        upstream.is_paused = False
        assert (stage.send().code, stage.send(sender=OFFICE).code) == (451, 250)
        stage.look()
        assert upstream_adapted.labels("up", "pause")._value.get() == 1


def test_what_is_held_leaves_when_the_rest_is_over(tmp_path, clock):
    """The client hears 250 during the rest of the day; with the next one everything leaves, and nobody asked in between."""
    with (
        NetEase(clock, day=2) as upstream,
        a_house(tmp_path, upstream, "netease", clock, kind=CourierHouse) as house,
    ):
        stage = Stage(house, upstream, clock)
        people = [f"reader{number}@example.org" for number in range(6)]
        assert [stage.send(who).code for who in people] == [250] * 6
        assert (stage.taken(), len(upstream.refusals)) == (2, 1)
        stage.turns(hours=2)
        assert (stage.taken(), len(upstream.refusals)) == (2, 1), "a scope that rests is not asked, whoever asks"
        upstream.day = 10**9
        stage.turns(hours=12)
        house.wait_empty()
        assert upstream.recipients == people
        assert stage.adapted() == []


# Breakers and failover ------------------------------------------------------------------------------------------------


def test_a_breaker_opens_probes_and_closes(tmp_path, clock):
    with SES(clock) as upstream, a_house(tmp_path, upstream, "ses", clock) as house:
        stage = Stage(house, upstream, clock)
        upstream.fault("CONNECT", "421 4.3.2 closing")
        assert [stage.send().code for _ in range(9)] == [451] * 9
        assert len(upstream.sessions) == 5, "nobody connects any more"
        clock.pass_(10)
        assert [stage.send().code for _ in range(3)] == [451] * 3
        assert len(upstream.sessions) == 6, "one copy tried"
        clock.pass_(19)
        assert stage.send().code == 451
        assert len(upstream.sessions) == 6, "and the next one tries after twice as long"
        clock.pass_(1)
        upstream.faults.clear()
        assert stage.send().code == 250
        assert is_at_full_speed(stage)


def test_the_next_upstream_takes_what_the_first_does_not(tmp_path, clock):
    """A scope that rests and a breaker that is open are passed by; what the first takes again goes to the first."""
    with Tencent(clock, hour=1) as first, SES(clock) as second:
        table = f'[[upstream]]\nname = "two"\naddresses = ["{second.address}"]\ntls = "none"\nauth = "none"\n'
        second.accounts = {}
        with a_house(tmp_path, first, "tencent", clock, others=table, ways=("up", "two")) as house:
            stage = Stage(house, first, clock)
            assert stage.send().code == 250
            assert stage.send().code == 451, "the one that was refused goes by no other way: the upstream spoke of it"
            assert [stage.send().code for _ in range(3)] == [250] * 3
            assert (len(first.accepted), len(second.accepted)) == (1, 3)
            first.hour = 10**9
            stage.later(7800)
            assert stage.send().code == 250
            assert (len(first.accepted), len(second.accepted)) == (2, 3)


def test_what_the_first_answered_past_the_dot_goes_by_no_other_way(tmp_path, clock):
    """An outage that is said to the dot is no reason to hand the same mail to somebody else: before the dot it is one."""
    with SES(clock) as first, SES(clock) as second:
        table = f'[[upstream]]\nname = "two"\naddresses = ["{second.address}"]\ntls = "none"\nauth = "none"\n'
        second.accounts = {}
        with a_house(tmp_path, first, "ses", clock, others=table, ways=("up", "two")) as house:
            stage = Stage(house, first, clock)
            first.fault("DOT", "421 4.3.2 closing", times=1)
            assert stage.send().code == 451
            assert (len(first.accepted), len(second.accepted)) == (0, 0)
            first.fault("MAIL", "421 4.3.2 closing", times=1)
            assert stage.send().code == 250
            assert (len(first.accepted), len(second.accepted)) == (0, 1)
