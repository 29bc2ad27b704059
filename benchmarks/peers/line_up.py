"""All systems side by side in front of one sink, each seen to sign before anything is measured."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import dkim

from benchmarks.bench import FAULTS, Bench
from benchmarks.load import Load, Sink, send
from benchmarks.peers import haraka, postfix
from benchmarks.peers.bare import Bare
from benchmarks.peers.relay import BenchRelay
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import dkim_record
from tests.support.upstream import RecordingUpstream

RELAY, RELAY_REDIS = "relay, SQLite", "relay, Redis"


class System(Protocol):
    """Something that takes mail on a port of 127.0.0.1 and forwards it to the sink."""

    port: int


@contextmanager
def line_up(bench: Bench, folder: Path, *, peers: bool = True) -> Iterator[tuple[Sink, dict[str, System], dict[str, str]]]:
    """The sink, the systems by name, and why others are left out."""
    absent: dict[str, str] = {}
    systems: dict[str, System] = {}
    sink = free_port()
    with ExitStack() as stack:
        with RecordingUpstream(port=sink) as upstream:
            for name, start in _starts(bench, folder, sink, stack, absent, peers=peers).items():
                try:
                    system = start()
                    _seen_to_sign(system, upstream)
                except FAULTS as fault:
                    absent[name] = str(fault)
                    bench.say(f"left out: {name}: {fault}")
                else:
                    systems[name] = system
        yield stack.enter_context(Sink(folder, sink)), systems, absent


def _starts(
    bench: Bench, folder: Path, sink: int, stack: ExitStack, absent: dict[str, str], *, peers: bool
) -> Mapping[str, Callable[[], System]]:
    relay = BenchRelay(folder / "relay", sink, workers=bench.workers)
    key = relay.folder / "dkim.pem"
    starts: dict[str, Callable[[], System]] = {RELAY: lambda: stack.enter_context(relay)}

    def on_redis() -> System:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        return stack.enter_context(BenchRelay(folder / "relay-redis", sink, workers=bench.workers, store=redis.url))

    starts[RELAY_REDIS] = on_redis
    for title, why_not, start in (
        (postfix.Postfix.title, postfix.why_not(), lambda: postfix.Postfix(folder / "postfix", sink, key)),
        (haraka.Haraka.title, haraka.why_not(), lambda: haraka.Haraka(folder / "haraka", sink, key, workers=bench.workers)),
        (Bare.title, "", lambda: Bare(folder / "bare", sink, key, workers=bench.workers)),
    ):
        if not peers:
            continue
        if why_not:
            absent[title] = why_not
            bench.say(f"left out: {title}: {why_not}")
        else:
            starts[title] = partial(_entered, stack, start)
    return starts


def _entered(stack: ExitStack, start: Callable[[], AbstractContextManager[System]]) -> System:
    return stack.enter_context(start())


def _seen_to_sign(system: System, upstream: RecordingUpstream) -> None:
    """Whoever does not sign has no part in this."""
    before = len(upstream.accepted)
    send(system.port, 1, Load(sessions=1))
    upstream.wait(lambda: len(upstream.accepted) > before)
    if not dkim.verify(upstream.accepted[-1].data, dnsfunc=lambda name, **_: dkim_record()):
        raise RuntimeError("its signature does not verify")
