"""`relay keys`: show the rings, give one a new generation."""

import asyncio
import time
from datetime import date

import click

from relay.cli.entries import by_option, event_id, person
from relay.cli.opening import open_all
from relay.cli.output import emit_json, option, say
from relay.config import Config, load_config
from relay.errors import StoreUnavailable
from relay.keys import RINGS, Keys, load_keys, rotated, save_keys
from relay.records.facts import keys_record
from relay.stores.opening import alone


@click.group("keys")
def keys() -> None:
    """The key rings: addresses, records, tokens, held / 密钥环."""


@keys.command("show")
@click.option("--json", "as_json", is_flag=True)
def show(as_json: bool) -> None:
    """List every generation; never shows a secret / 列出各代密钥（不显示密钥内容）."""
    config = load_config(option("config"))
    held = load_keys(config.keys_path)
    rows = [
        {"ring": name, "number": key.number, "created": key.created.isoformat(), "fingerprint": key.fingerprint(name)}
        for name in RINGS
        for key in getattr(held, name).keys
    ]
    if as_json:
        emit_json(rows)
        return
    for row in rows:
        click.echo(f"{row['ring']:10} {row['number']:3}  {row['created']}  {row['fingerprint']}")


@keys.command("rotate")
@click.argument("ring", type=click.Choice(RINGS))
@by_option
def rotate(ring: str, by: str) -> None:
    """Add a new current generation; the old ones stay, no restart is needed / 增加新一代密钥，旧密钥继续有效，无需重启."""
    asyncio.run(_rotate(ring, person(by)))


async def _rotate(ring: str, by: str) -> None:
    """The new generation is in the file, for good, before anything knows of it; the running relay follows the file."""
    async with open_all(option("config")) as opened:
        opened.records.check()
        await opened.store.check()  # a node without the newest keys would make a second line of generations
        config = opened.config
    with alone(config.data_path):
        before = load_keys(config.keys_path)
        save_keys(config.keys_path, rotated(before, ring, date.today()))  # noqa: DTZ011 - a date for people
    async with open_all(option("config")) as opened:  # the store learns the new generation's fingerprint here
        try:
            await opened.store.check()
        except StoreUnavailable as fault:
            _judge(fault, config, opened.keys, before)
        now = time.time()
        fingerprints = getattr(opened.keys, ring).fingerprints
        await opened.records.append(keys_record(event_id(now), now, ring=ring, fingerprints=fingerprints, by=by))
    say(
        f"密钥环 {ring} 已有新一代密钥，运行中的中继会自行启用，无需重启。请重新备份。",
        f"The ring {ring} has a new generation; a running relay takes it up by itself, without a restart. Make a new backup.",
    )
    if config.store.url == "sqlite":
        return
    if getattr(before, ring).fingerprints <= before.fingerprints:  # the store compares this ring
        say(
            f"其他节点在收到 {config.keys_path} 的副本之前一律答复 451：请立即复制过去，它们随后自行恢复。",
            f"Other nodes answer 451 until they have a copy of {config.keys_path}: copy it now; they go on by themselves then.",
        )
    else:
        say(
            f"请把 {config.keys_path} 复制到其他节点，且只在本节点更换密钥。",
            f"Copy {config.keys_path} to the other nodes, and rotate on this node only.",
        )


def _judge(fault: StoreUnavailable, config: Config, made: Keys, before: Keys) -> None:
    """Another node was first: nothing was written with our generation, so it goes. What passes leaves it in the file."""
    if fault.reason != "keys":
        say(
            f"存储暂不可用（{fault}）；新一代密钥已写入文件，存储恢复后启用。",
            f"The store is away ({fault}); the new generation is in the file and will be used when the store is back.",
        )
        return
    with alone(config.data_path):
        if load_keys(config.keys_path) == made:
            save_keys(config.keys_path, before)
    raise fault
