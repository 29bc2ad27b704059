"""Processes are killed, disks are full and the upstream goes wrong, at random: nothing that was answered 250 is lost.

Beside ordinary submissions there are some to hundreds of recipients, clients that leave before they are answered and hand
in the same again at once, and messages that two clients hand in side by side, each to recipients of its own.
What the upstream took, what the store holds and what is on record say what became of everybody; the relay's log does not.
`RELAY_CHAOS_SEED` repeats the chances of a run that failed, as far as real processes do.
"""

import os
import random
import resource
import secrets
import signal
import time
from collections import Counter
from contextlib import ExitStack, suppress
from functools import partial

import pytest

from tests.support.campaign import Campaign, Mail
from tests.support.journey import records
from tests.support.mischief import Mischief
from tests.support.patient import SENDERS, held, patient_relay
from tests.support.redis_server import RedisServer
from tests.support.service import message
from tests.support.waiting import wait_until

SUBMISSIONS, MOST_RECIPIENTS, CLIENTS = 2000, 50, 60
CAMPAIGNS, PARTS, IMPATIENT = 125, 50, 15  # every so many submissions one is to hundreds, one by parts, one given up
MISFORTUNES = {
    "a_worker": 8, "all_workers": 3, "the_supervisor": 3, "the_whole_relay": 3, "the_upstream": 6, "the_disk": 5, "a_person": 4,
    "the_store": 5, "the_disk_of_the_store": 3,
}  # fmt: skip
EACH_SECONDS, HEALING_SECONDS = 8.0, 300.0


class Town:
    """A relay, its store and its upstream, and what may befall them."""

    def __init__(self, folder, kind: str, seed: int, stack: ExitStack) -> None:
        self.chance = random.Random(seed)
        self.upstream = stack.enter_context(Mischief(folder / "upstream", seed))
        self.redis = stack.enter_context(RedisServer(folder / "redis")) if kind == "redis" else None
        self.relay = stack.enter_context(patient_relay(folder / "relay", self.upstream, self.redis))
        self.befell: Counter[str] = Counter()
        self._begun, self._laps = time.monotonic(), list[str]()

    def lap(self, what: str) -> None:
        """For people who want to know what takes so long."""
        self._laps.append(f"{what} after {time.monotonic() - self._begun:.0f} s")

    @property
    def laps(self) -> str:
        return ", ".join(self._laps)

    def befall(self, what: str) -> None:
        """Something bad, and its end."""
        getattr(self, what)()
        self.befell[what] += 1

    def _a_moment(self, most: float = 1.5) -> None:
        time.sleep(self.chance.uniform(0.2, most))

    def a_worker(self) -> None:
        wait_until(self.relay.worker_pids)  # who killed all of them a moment ago finds none
        with suppress(ProcessLookupError, IndexError):
            os.kill(self.chance.choice(self.relay.worker_pids()), signal.SIGKILL)

    def all_workers(self) -> None:
        for pid in self.relay.worker_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def the_supervisor(self) -> None:
        """Its workers hear that it is gone, and go when they have done what they had begun."""
        self.relay.process.kill()
        self.relay.process.wait(30)
        self._a_moment()
        self.relay.start()

    def the_whole_relay(self) -> None:
        self.relay.kill()
        self._a_moment()
        self.relay.start()

    def the_upstream(self) -> None:
        self.upstream.kill()
        self._a_moment()
        self.upstream.start()

    def the_store(self) -> None:
        assert self.redis
        self.redis.kill()
        self._a_moment()
        self.redis.start()

    def the_disk(self) -> None:
        """No file of the workers may grow beyond this."""
        full = (self.chance.choice([1024, 65536]), resource.RLIM_INFINITY)
        before = {}
        for pid in self.relay.worker_pids():
            with suppress(ProcessLookupError):
                before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE, full)
        self._a_moment(3.0)
        for pid, limit in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)

    def a_person(self) -> None:
        """Sees that mail rests because the upstream said so, and does not want to wait."""
        self.relay.command("upstream", "resume", "up", "--all", "--reason", "asked them by telephone")

    def the_disk_of_the_store(self) -> None:
        """Redis ends itself when it cannot keep what it was told."""
        assert self.redis
        self.redis.fill_disk()
        self._a_moment()
        self.redis.kill()
        self.redis.start()


def _mails(chance: random.Random) -> list[Mail]:
    mails = []
    for number in range(SUBMISSIONS):
        listener = chance.choices(list(SENDERS), weights=[1, 3, 1])[0]
        count = chance.choice([1, 2, 5, 10, 25, MOST_RECIPIENTS]) if listener != "news" else chance.choice([1, 3, 10])
        gives_up = _moments(chance, 2) if number % IMPATIENT == 0 else ()
        if number % CAMPAIGNS == CAMPAIGNS // 2:
            count = chance.choice([100, 250, 500, 1000] if listener != "news" else [100, 250])  # a copy for each of these
            gives_up = _moments(chance, 4)
        people = [f"r{person}.s{number}@d{chance.randrange(8)}.example" for person in range(count)]
        own = f"Message-ID: <{number}.chaos@example.com>\r\n"
        data = message(sender=SENDERS[listener], subject=f"No {number}", extra=own)
        parts = [people] if number % PARTS else [people, [f"other.{person}" for person in people]]
        mails += [Mail(listener, SENDERS[listener], part, data, gives_up) for part in parts]
    return mails


def _moments(chance: random.Random, most: int) -> list[float]:
    """Seconds after which a client gives one try after the other up."""
    return [chance.choice([0.01, 0.1, 0.5, 1.0, 2.0]) for _ in range(chance.randint(1, most))]


def announced(relay) -> Counter[str]:
    """How often the records say that the next try may be a second copy, by recipient."""
    found: Counter[str] = Counter()
    for kind in ("received", "judged"):
        for record in records(relay, kind=kind):
            found.update(record["people"][number] for number in record["again"])
    return found


def untold(relay) -> set[str]:
    """Refused recipients whose report the upstream refused as well: on record, and nobody is told (RFC 5321 6.1)."""
    found = (record for record in records(relay, kind="unreported") if record["why"] == "refused")
    return {record["people"][number] for record in found for number in record["about"]}


@pytest.mark.timeout(1200)  # four minutes on two cores that do nothing else
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_nothing_is_lost_and_nothing_arrives_twice_unannounced(tmp_path, kind):
    seed = int(os.environ.get("RELAY_CHAOS_SEED") or secrets.randbits(32))
    print(f"RELAY_CHAOS_SEED={seed}")  # pytest shows it with the failure
    mails = _mails(random.Random(seed))
    with ExitStack() as stack:
        town = Town(tmp_path, kind, seed, stack)
        with Campaign(mails, lambda name: int(town.relay.listen[name].rpartition(":")[2]), CLIENTS) as campaign:
            town.lap("mail began")
            _go_wrong(town, campaign)
            town.lap("all is well")
            town.upstream.heal()
            campaign.join(HEALING_SECONDS)
            assert campaign.is_done
        town.lap("all were answered")
        assert not campaign.faults
        town.a_person()
        town.relay.command("held", "retry", "--all", "--reason", "all is well again")
        with suppress(AssertionError):
            wait_until(lambda: not held(town.relay), HEALING_SECONDS, every=3)
        town.lap("nothing was held")
        _judge(town, mails)


def _go_wrong(town: Town, campaign: Campaign) -> None:
    """One thing after the other, in step with the mail, so that each meets some."""
    plan = [what for what, times in MISFORTUNES.items() for _ in range(times) if town.redis or not what.endswith("the_store")]
    town.chance.shuffle(plan)
    for number, what in enumerate(plan, 1):
        left = SUBMISSIONS * (len(plan) - number) // len(plan)
        with suppress(AssertionError):
            wait_until(partial(_is_at, campaign, left), EACH_SECONDS)
        town.befall(what)


def _is_at(campaign: Campaign, left: int) -> bool:
    return campaign.left <= left


def _judge(town: Town, mails: list[Mail]) -> None:
    waiting, untellable = set(held(town.relay)), untold(town.relay)
    arrived, named = town.upstream.taken()
    accounted = waiting | named | untellable
    promised = [(mail, recipient) for mail in mails if mail.reply == 250 for recipient in mail.recipients]
    lost = [recipient for _, recipient in promised if not (arrived[recipient] or recipient in accounted)]
    again = announced(town.relay)
    people = [recipient for mail in mails for recipient in mail.recipients]
    twice = {person: (arrived[person], again[person]) for person in people if arrived[person] > 1 + again[person]}
    told = Counter(mail.reply for mail in mails)
    duplicates = sum(count - 1 for count in arrived.values() if count > 1)
    print(
        f"{len(promised)} promised, {len(waiting)} held, {len(named)} reported, {len(untellable)} whose report was refused, "
        f"{duplicates} duplicates of {sum(again.values())}"
    )
    print(f"replies {told}, tries {sum(mail.tries for mail in mails)}, befell {town.befell}")
    print(town.laps)
    assert not lost
    assert not twice
    assert told[250] > 0.9 * SUBMISSIONS  # most of it got through, or it shows little
    assert town.relay.command("records", "verify").returncode == 0
