"""`relay keys`: show the rings, give one a new generation."""

import asyncio
import os
import time
from datetime import date

import click

from relay.cli.opening import open_all
from relay.cli.output import emit_json, option, say
from relay.config import load_config
from relay.ids import new_id
from relay.keys import RINGS, load_keys, rotated, save_keys
from relay.records.facts import keys_record


@click.group("keys")
def keys() -> None:
    """The key rings: addresses, records, tokens, held mail / 密钥环."""


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
@click.option("--by", default="", help="Who does it, for the records / 操作人")
def rotate(ring: str, by: str) -> None:
    """Add a new current generation; the old ones stay accepted / 增加新一代密钥，旧密钥继续有效."""
    asyncio.run(_rotate(ring, by))


async def _rotate(ring: str, by: str) -> None:
    config = load_config(option("config"))
    fresh = rotated(load_keys(config.keys_path), ring, date.today())  # noqa: DTZ011 - a date for people
    save_keys(config.keys_path, fresh)
    async with open_all(option("config")) as opened:  # the store learns the new generation's fingerprint here
        now = time.time()
        fingerprints = getattr(opened.keys, ring).fingerprints
        await opened.records.append(keys_record(new_id(now, os.urandom(10)), now, ring=ring, fingerprints=fingerprints, by=by))
    if ring in ("addresses", "tokens"):
        say(
            f"密钥环 {ring} 已有新一代密钥。运行中的中继还不认识它，重启之前一律答复 451："
            "请立即运行 systemctl restart relay，然后重新备份。",
            f"The ring {ring} has a new generation. A running relay does not know it and answers 451 until it is restarted:"
            " run systemctl restart relay now, then make a new backup.",
        )
    else:
        say(
            f"密钥环 {ring} 已有新一代密钥，重启服务后使用。请重新备份。",
            f"The ring {ring} has a new generation, used from the next start of the service on. Make a new backup.",
        )
