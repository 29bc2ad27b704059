"""`relay check`: has the folder of data room, does the store answer, and what stands in it that somebody should know?"""

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence

from relay.cli import transfers
from relay.cli.findings import Findings, warn_if_open
from relay.config import Config
from relay.errors import ConfigurationError, RelayError, StoreUnavailable
from relay.hosts import is_local
from relay.keys import load_keys
from relay.policy.cases.reputation import Pause
from relay.policy.cases.transfers import Transferred
from relay.policy.sets.parse import parse_policies
from relay.service.policies import read_folder
from relay.stores.adaptations import Adaptation, Kind
from relay.stores.opening import STORE_NAME, open_store, reach_store


def look_at_folder(config: Config, findings: Findings) -> None:
    """Note whether it is private, can be written, and has room."""
    folder = config.data_path
    if not folder.exists():
        findings.later(
            f"{folder} 还不存在，首次运行 relay serve 时会建立", f"{folder} does not exist yet; the first `relay serve` makes it"
        )
        return
    warn_if_open(folder, findings)
    if not os.access(folder, os.W_OK | os.X_OK):
        findings.wrong(
            f"config.toml：data_dir {folder}：当前用户不能写入：请以服务的用户运行",
            f"config.toml: data_dir {folder}: this user may not write there; be the user of the service",
        )
    free = shutil.disk_usage(folder).free
    if free < config.records.min_free:
        findings.wrong(
            f"config.toml：data_dir {folder} 只剩 {free} 字节，少于 [records] min_free，邮件会被暂缓",
            f"config.toml: data_dir {folder} has {free} octets left, less than [records] min_free: mail is deferred",
        )


async def look(config: Config, findings: Findings) -> None:
    """Open the store as `relay serve` does and ask what stands in it; before the first start only whether it can be reached."""
    _store_settings(config, findings)
    used = [name for name in (STORE_NAME, "records.db") if (config.data_path / name).exists()]
    try:
        if not config.keys_path.exists() and not used:
            findings.later("首次运行 relay serve 时会生成密钥", "the first `relay serve` makes the keys")
            await _future_store(config, findings)
            return
        keys = load_keys(config.keys_path)
        if STORE_NAME not in used:
            await _future_store(config, findings)
            return
        store = await open_store(config, keys, time.time)
        try:
            await store.check()
            _paused(await store.paused(), findings)
            _adapted(await store.adaptations(), findings)
            _transfers(config, await store.transfer_years(), findings)
        finally:
            await store.aclose()
        findings.good(f"存储 {store.name}", f"store {store.name}")
    except StoreUnavailable as fault:
        findings.unreachable += 1
        findings.wrong(f"config.toml [store]：{fault.reason}：{fault}", f"config.toml [store]: {fault.reason}: {fault}")
    except RelayError as fault:
        findings.raised(fault)


def _paused(pauses: Mapping[str, Pause], findings: Findings) -> None:
    for name, pause in pauses.items():
        findings.later(
            f"邮件流 {name} 已暂停（{pause.reason_zh}）：查明原因后运行 relay streams resume {name}",
            f"the stream {name} is paused ({pause.reason}): find out why, then run relay streams resume {name}",
        )


def _adapted(adaptations: Sequence[Adaptation], findings: Findings) -> None:
    for name in {one.upstream for one in adaptations if one.kind is Kind.PAUSE}:
        findings.later(
            f"经上游 {name} 的营销邮件已暂停：relay upstream status 说明原因，查明后运行 relay upstream resume {name}",
            f"marketing by the upstream {name} is paused: relay upstream status says why; find out, then run"
            f" relay upstream resume {name}",
        )


def _transfers(config: Config, years: Sequence[Transferred], findings: Findings) -> None:
    try:
        policy = parse_policies(read_folder(config.policies_path))
    except ConfigurationError:
        return  # `relay.cli.inspection` says what is wrong with it
    transfers.look(policy, years, findings)


async def _future_store(config: Config, findings: Findings) -> None:
    """Before the first start nothing is made, but a Redis that cannot be reached is found now. Raises StoreUnavailable."""
    await reach_store(config)
    findings.later("首次运行 relay serve 时会建立存储", "the first `relay serve` makes the store")


def _store_settings(config: Config, findings: Findings) -> None:
    url = config.store.url
    if url.startswith(("redis://", "redis+sentinel://")) and not all(map(is_local, _hosts(url))):
        findings.later(
            "config.toml [store]：url 不加密：跨机器请使用 rediss://",
            "config.toml [store]: url is not encrypted: use rediss:// between machines",
        )
    if config.store.durability_confirmed:
        findings.later(
            "config.toml [store]：durability_confirmed = true：由您保证 Redis 的 appendonly、appendfsync always 和 noeviction",
            "config.toml [store]: durability_confirmed = true: you vouch for Redis's appendonly, appendfsync always and"
            " noeviction",
        )


def _hosts(url: str) -> list[str]:
    """ "host:port" of every server in a Redis URL; its user and password stay out."""
    servers = url.partition("://")[2].rpartition("@")[2].partition("/")[0].split(",")
    return [server if re.search(r":\d+$", server) else f"{server}:6379" for server in servers]
