"""Open what most commands need: configuration, keys, store and records, as the service would."""

import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, tzinfo
from pathlib import Path
from typing import NamedTuple

from relay.cli.output import warn
from relay.config import Config, load_config
from relay.errors import ConfigurationError
from relay.keys import Keys, load_keys
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.records.append import Records
from relay.records.reading import Reader
from relay.service.policies import PolicyArchive, read_folder
from relay.stores.contracts import Store
from relay.stores.opening import load_or_create_keys, open_store

_PATIENCE_MS = 5000  # a command may wait longer for Redis than a mail may


class Opened(NamedTuple):
    """A store that cannot be believed is here too: it says why at the first question (StoreUnavailable)."""

    config: Config
    keys: Keys
    store: Store
    records: Records


@asynccontextmanager
async def open_all(config_path: str | None) -> AsyncIterator[Opened]:
    """Open everything that the configuration names, and close it again.

    Raises ConfigurationError and RecordsUnavailable.
    """
    config = load_config(config_path)
    refuse_foreign_root(config.data_path)
    keys = load_or_create_keys(config, date.today())  # noqa: DTZ011 - a date for people
    patient = config.store.model_copy(update={"timeout_ms": max(config.store.timeout_ms, _PATIENCE_MS)})
    store = await open_store(config.model_copy(update={"store": patient}), keys, time.time)
    try:
        records = Records.open(config.data_path / "records.db", keys, config.records.min_free, time.time)
        try:
            yield Opened(config, keys, store, records)
        finally:
            await records.aclose()
    finally:
        await store.aclose()


def policy_in_force(config: Config) -> PolicySet:
    """The set that the service judges by; before it ever started, the one in the folder.

    Raises ConfigurationError.
    """
    archive = PolicyArchive(config.data_path)
    in_force = archive.in_force()
    return archive.load(in_force) if in_force else parse_policies(read_folder(config.policies_path))


def refuse_foreign_root(folder: Path) -> None:
    """Root would leave files in the service's folder that the service cannot open."""
    if os.name == "posix" and os.geteuid() == 0 and folder.exists() and folder.stat().st_uid != 0:
        try:
            owner = folder.owner()
        except KeyError:
            owner = f"#{folder.stat().st_uid}"
        raise ConfigurationError(
            f"{folder} belongs to the user {owner}; run the command as that user: sudo -u '{owner}' relay ..."
        )


@contextmanager
def reading(config: Config) -> Iterator[Reader]:
    """Open the records of this node for reading; they need not be in use, and are not made."""
    with Reader(config.data_path / "records.db", load_keys(config.keys_path)) as reader:
        yield reader


class Ours(NamedTuple):
    """What pages and times of this organisation are written with; `legal_name` by language."""

    zone: tzinfo
    legal_name: Mapping[str, str]


def ours(config: Config) -> Ours:
    """As the set in force says; UTC and no name, with a remark, where it cannot be read."""
    try:
        policy = policy_in_force(config)
    except ConfigurationError as fault:
        warn(
            f"生效的策略无法读取，时间按 UTC 显示，不写单位名称：{fault}",
            f"The policy set in force cannot be read; times are in UTC, the organisation is not named: {fault}",
        )
        return Ours(UTC, {})
    name = policy.organisation.legal_name
    return Ours(policy.zone, {"zh": name.zh, "en": name.en})
