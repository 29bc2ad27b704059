"""The relay opens the store that it has always used, of whatever kind, and no other: in doubt nothing leaves."""

import time
from datetime import date

import pytest

from relay.config import Config, parse_config
from relay.errors import StoreUnavailable
from relay.keys import Keys, Ring, new_keys, rotated
from relay.stores.closed import ClosedStore
from relay.stores.contracts import Store
from relay.stores.opening import open_store, read_store_name
from tests.contract.test_meta import OPERATIONS
from tests.support.small import SMALL_CONFIG
from tests.support.stores import ADA, refusal

TODAY = date(2026, 11, 21)


def config_with(url: str, folder) -> Config:
    return parse_config(f'{SMALL_CONFIG}[store]\nurl = "{url}"\ntimeout_ms = 2000\n'.encode(), "config.toml", folder)


def without(keys: Keys, ring: str, number: int) -> Keys:
    kept = tuple(key for key in getattr(keys, ring).keys if key.number != number)
    return Keys(
        **{name: Ring(name, kept) if name == ring else getattr(keys, name) for name in ("addresses", "records", "tokens", "held")}
    )


class Node:
    """A data_dir, its keys, and the stores that were opened in it."""

    def __init__(self, config: Config, lose) -> None:
        self.config = config
        self.keys = new_keys(TODAY)
        self.lose = lose  # what deletes all data of the store behind our back
        self.opened: list[Store] = []

    async def open(self, keys=None, config=None):
        store = await open_store(config or self.config, keys or self.keys, time.time)
        self.opened.append(store)
        return store

    async def refusal(self, keys=None, config=None) -> str:
        """Why the store cannot be opened."""
        store = await self.open(keys, config)
        assert isinstance(store, ClosedStore)
        with pytest.raises(StoreUnavailable) as caught:
            await store.check()
        return caught.value.reason


@pytest.fixture(params=["sqlite", "redis"])
async def node(request, tmp_path):
    if request.param == "sqlite":

        def lose() -> None:
            for path in (tmp_path / "data").glob("relay.db*"):
                path.unlink()

        made = Node(config_with("sqlite", tmp_path), lose)
    else:
        server = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        made = Node(config_with(server.url, tmp_path), lambda: server.command("FLUSHALL"))
    yield made
    for store in made.opened:
        await store.aclose()


async def test_the_first_start_makes_a_store_and_remembers_it(node):
    store = await node.open()
    await store.check()
    name = read_store_name(node.config.data_path)
    assert name is not None
    assert (name.store_id, name.kind) == ((await store.meta()).store_id, store.name)


async def test_the_next_start_finds_the_same_store(node):
    await (await node.open()).suppress(refusal())
    again = await node.open()
    assert await again.find([(ADA,)]) == [(refusal(),)]


async def test_a_store_that_lost_its_data_is_not_made_anew(node):
    store = await node.open()
    await store.suppress(refusal())
    await store.aclose()
    node.lose()
    assert await node.refusal() == "empty"
    assert await node.refusal() == "empty"


async def test_a_store_that_is_lost_under_a_running_relay_permits_nobody(node):
    store = await node.open()
    await store.suppress(refusal())
    node.lose()
    for operation in OPERATIONS.values():
        with pytest.raises(StoreUnavailable) as caught:
            await operation(store)
        assert caught.value.reason in ("removed", "empty")


async def test_the_store_of_another_relay_is_foreign(node):
    await (await node.open()).aclose()
    node.lose()
    node.config.data_path.joinpath("store.id").rename(node.config.data_path / "kept")
    await (await node.open()).aclose()
    node.config.data_path.joinpath("kept").replace(node.config.data_path / "store.id")
    assert await node.refusal() == "foreign"


async def test_swapped_keys_are_refused(node):
    await node.open()
    assert await node.refusal(new_keys(TODAY)) == "keys"


@pytest.mark.parametrize("ring", ["addresses", "tokens", "held"])
async def test_a_removed_generation_is_refused(node, ring):
    both = rotated(node.keys, ring, TODAY)
    await (await node.open(both)).check()
    assert await node.refusal(without(both, ring, 1)) == "keys"
    assert await node.refusal(without(both, ring, 2)) == "keys"
    await (await node.open(both)).check()


async def test_a_new_generation_is_added_and_stops_those_who_lack_it(node):
    old = await node.open()
    new = await node.open(rotated(node.keys, "addresses", TODAY))
    await new.check()
    with pytest.raises(StoreUnavailable) as caught:
        await old.find([(ADA,)])
    assert caught.value.reason == "keys"


async def test_a_new_generation_of_another_ring_is_no_business_of_the_store(node):
    old = await node.open()
    await node.open(rotated(node.keys, "records", TODAY))
    await old.check()


async def test_a_node_with_the_same_keys_takes_the_store_over(node):
    store = await node.open()
    node.config.data_path.joinpath("store.id").unlink()
    other = await node.open()
    assert (await other.meta()).store_id == (await store.meta()).store_id
    assert read_store_name(node.config.data_path) is not None


async def test_a_node_with_other_keys_does_not_take_the_store_over(node):
    await node.open()
    node.config.data_path.joinpath("store.id").unlink()
    assert await node.refusal(new_keys(TODAY)) == "keys"
    assert read_store_name(node.config.data_path) is None


async def test_a_data_dir_belongs_to_one_kind_of_store(node, tmp_path):
    store = await node.open()
    other = "redis://127.0.0.1:1/0" if store.name == "sqlite" else "sqlite"
    assert await node.refusal(config=config_with(other, tmp_path)) == "foreign"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"store_id": "x"}',
        b'{"store_id": "x", "kind": "sqlite"}',
        b'{"store_id": 5, "kind": "sqlite"}',
        b"\xff",
    ],
)
async def test_a_damaged_store_id_is_not_guessed(node, text):
    await node.open()
    node.config.data_path.joinpath("store.id").write_bytes(text)
    assert await node.refusal() == "foreign"


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_closed_store_answers_every_question_with_why(node, operation):
    await node.open()
    store = await node.open(new_keys(TODAY))
    with pytest.raises(StoreUnavailable) as caught:
        await OPERATIONS[operation](store)
    assert caught.value.reason == "keys"


async def test_a_redis_that_is_down_is_no_reason_to_stop(tmp_path):
    store = await open_store(config_with("redis://127.0.0.1:1/0", tmp_path), new_keys(TODAY), time.time)
    assert isinstance(store, ClosedStore)
    with pytest.raises(StoreUnavailable) as caught:
        await store.check()
    assert caught.value.reason == "unreachable"
    assert read_store_name(tmp_path / "data") is None
