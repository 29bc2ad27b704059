"""A relay whose listener trusts this machine, so that nothing but the line itself asks the store."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.journey import Client, Journey, readiness
from tests.support.leaving import upstream_table
from tests.support.service import Relay
from tests.support.upstream import RecordingUpstream

LISTEN = '[[listen]]\nname = "submission"\naddress = "127.0.0.1:0"\ntls = "none"\nauth = "none"\n'
TRUST = 'trusted_networks = ["127.0.0.1/32"]'
POLICY = {
    "streams/newsletter.toml": [
        ("match = .*", 'match = { identities = [], listeners = ["submission"], sender_domains = [] }'),
    ]
}


def trusting_relay(folder: Path, upstream: RecordingUpstream, *, workers: int = 2, **options: Any) -> Relay:
    """The relay, not started yet; the upstream asks for no AUTH."""
    table = upstream_table(upstream, name="up")
    return Relay(folder, workers=workers, upstreams=table, listen=LISTEN, auth=TRUST, policy=POLICY, **options)


@contextmanager
def open_relay(folder: Path, upstream: RecordingUpstream, **options: Any) -> Iterator[Relay]:
    """The relay, started; mail flows."""
    with trusting_relay(folder, upstream, **options) as relay:
        assert is_open(relay, upstream)
        yield relay


def sends(relay: Relay, upstream: RecordingUpstream) -> int:
    """Send one message of its own; the code of its final reply, or of the one that refused it before."""
    client = Client(relay, None)
    journey = Journey(upstream, "ada")
    code = client.say(f"MAIL FROM:<{journey.sender}>")[0]
    if code == 250:
        assert client.say("RSET")[0] == 250
        code = client.send(journey)[0]
    client.quit()
    assert journey.arrived == (["ada"] if code == 250 else [])
    return code


def is_shut(relay: Relay, upstream: RecordingUpstream, reason: str) -> bool:
    """Whether nothing leaves and /readyz says why, which workers tell it every second; both workers are asked."""
    arrived = len(upstream.deliveries)
    with ThreadPoolExecutor() as clients:  # side by side: where a store is waited for, it is waited for once
        codes = set(clients.map(lambda _: sends(relay, upstream), range(4)))
    assert codes == {451}, codes
    assert len(upstream.deliveries) == arrived
    relay.wait(lambda: reason in readiness(relay)[1])
    assert readiness(relay)[0] == 503
    return True


def is_open(relay: Relay, upstream: RecordingUpstream) -> bool:
    """Whether every worker sends and /readyz is content."""
    return all(sends(relay, upstream) == 250 for _ in range(4)) and readiness(relay)[0] == 200
