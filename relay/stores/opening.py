"""Open the store that this relay has always used, and no other.

A store that lost its data looks exactly like "nobody ever unsubscribed".  So
a store has a name and the fingerprints of all keys that it was written with,
and `data_dir/store.id` remembers the name:

    store.id    the store        what happens
    missing     missing          a fresh store is made, and store.id written (likewise in a Redis without one)
    missing     there            taken over, if we have all its keys; StoreUnavailable "empty" if relay.db has no octets
    there       missing, empty   StoreUnavailable "empty": restore the backup
    there       another one      StoreUnavailable "foreign"
    there       keys we lack     StoreUnavailable "keys"

Key generations that the store does not know yet are added to it here, before
anything is written under them.

The client of Redis is imported by those who use Redis: it would be a tenth of
what every other command waits for.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from relay.config import Config
from relay.errors import ConfigurationError, StoreUnavailable
from relay.files import Turn, sync_folder, write_private
from relay.ids import ENTROPY_OCTETS, is_id, new_id
from relay.keys import Keys, load_keys, new_keys, save_keys
from relay.stores.closed import ClosedStore
from relay.stores.contracts import Store, StoreMeta
from relay.stores.sqlite import SQLiteStore

SCHEMA = 1
DATABASE = "relay.db"
STORE_NAME = "store.id"


@dataclass(frozen=True, slots=True)
class StoreName:
    """What data_dir/store.id remembers: which store, and of which kind ("sqlite", "redis")."""

    store_id: str
    kind: str


def load_or_create_keys(config: Config, today: date) -> Keys:
    """Read the key file; make it when this data_dir has never been used.

    Raises ConfigurationError.
    """
    path, folder = config.keys_path, config.data_path
    if path.exists():
        return load_keys(path)
    used = [name for name in (STORE_NAME, DATABASE, "records.db") if (folder / name).exists()]
    if used:
        raise ConfigurationError(
            f"{path}: the key file is missing, but {folder / used[0]} was written with it; restore the backup"
        )
    try:
        with alone(folder):
            if not path.exists():
                save_keys(path, new_keys(today))
    except OSError as error:
        raise ConfigurationError(f"{path}: the key file cannot be made: {error.strerror}") from None
    return load_keys(path)


async def open_store(config: Config, keys: Keys, clock: Callable[[], float]) -> Store:
    """Open the configured store; one that cannot be believed comes as a `ClosedStore` that says why.

    `clock` is the embedded store's clock; Redis has its own.
    Raises ConfigurationError when the URL cannot be used.
    """
    kind = "sqlite" if config.store.url == "sqlite" else "redis"
    try:
        known = _known(config.data_path, kind)
        return await (_open_sqlite if kind == "sqlite" else _redis().open_redis)(config, keys, known, clock)
    except StoreUnavailable as fault:
        return ClosedStore(kind, fault)


async def reach_store(config: Config) -> None:
    """Find out whether the configured store can be reached, and make nothing. Raises StoreUnavailable, ConfigurationError."""
    if config.store.url != "sqlite":
        await _redis().reach_redis(config)


def _redis() -> Any:
    return import_module("relay.stores.redis.opening")


def _known(folder: Path, kind: str) -> StoreName | None:
    known = read_store_name(folder)
    if known is not None and known.kind != kind:
        raise StoreUnavailable(
            "foreign",
            f"this data_dir belongs to a store of kind {known.kind}, [store] url names {kind};"
            " to change over, export the suppressions, move store.id away, start anew and import them",
        )
    return known


def read_store_name(folder: Path) -> StoreName | None:
    """Which store data_dir belongs to; None when it never had one.

    Raises StoreUnavailable when the file is there and says nothing.
    """
    path = folder / STORE_NAME
    try:
        return _store_name(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable("disk", f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise StoreUnavailable("foreign", f"{path} is damaged; restore it from the backup") from None


def write_store_name(folder: Path, name: StoreName) -> None:
    """Write data_dir/store.id, whole or not at all."""
    write_private(folder / STORE_NAME, orjson.dumps({"store_id": name.store_id, "kind": name.kind}) + b"\n")


def _store_name(octets: bytes) -> StoreName:
    document = orjson.loads(octets)
    name = StoreName(document["store_id"], document["kind"])
    if not is_id(name.store_id) or name.kind not in ("sqlite", "redis"):
        raise ValueError("not a store.id")
    return name


async def _open_sqlite(config: Config, keys: Keys, known: StoreName | None, clock: Callable[[], float]) -> Store:
    path = config.data_path / DATABASE
    try:
        with alone(config.data_path):
            if known is None:
                known = _name_sqlite(path, keys, clock)
            store = SQLiteStore.open(path, StoreMeta(known.store_id, SCHEMA, keys.fingerprints), clock=clock)
    except StoreUnavailable:
        raise
    except OSError as error:
        raise StoreUnavailable("disk", f"{config.data_path}: {error.strerror}") from None
    return await with_all_keys(store, keys)


def _name_sqlite(path: Path, keys: Keys, clock: Callable[[], float]) -> StoreName:
    """Make or take over the file of a data_dir that has no store.id. Only one process at a time does this."""
    folder = path.parent
    if (known := read_store_name(folder)) is not None:  # another process was first
        return known
    if path.exists():
        meta = SQLiteStore.read_meta(path)
        require_keys(meta, keys)
    else:
        meta = fresh_meta(keys, clock)
        draft = folder / f"{DATABASE}.new"
        for leftover in folder.glob(f"{draft.name}*"):
            leftover.unlink()
        SQLiteStore.create(draft, meta)
        draft.rename(path)
        sync_folder(folder)
    name = StoreName(meta.store_id, "sqlite")
    write_store_name(folder, name)
    return name


def fresh_meta(keys: Keys, clock: Callable[[], float]) -> StoreMeta:
    """Name a store that is made now."""
    return StoreMeta(new_id(clock(), os.urandom(ENTROPY_OCTETS)), SCHEMA, keys.fingerprints)


def require_keys(found: StoreMeta, keys: Keys) -> None:
    """Refuse to take over a store whose entries we could not find. Raises StoreUnavailable."""
    if lacking := found.fingerprints - keys.fingerprints:
        raise StoreUnavailable(
            "keys",
            f"the store {found.store_id} was written with keys that this key file lacks ({' '.join(sorted(lacking))});"
            " copy the key file of the node that made it, or restore the backup",
        )


async def with_all_keys(store: Store, keys: Keys) -> Store:
    """Make sure that the store keeps what it is told, and tell it our generations. Raises StoreUnavailable, the store let go."""
    try:
        await store.check()
        if not keys.fingerprints <= (await store.meta()).fingerprints:
            await store.extend(keys.fingerprints)
    except BaseException:
        await store.aclose()
        raise
    return store


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time makes, changes or takes over the store and the key file."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    turn = Turn(folder / f"{STORE_NAME}.lock")
    try:
        turn.take()
        yield
    finally:
        turn.close()
