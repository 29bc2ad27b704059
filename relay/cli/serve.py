"""`relay serve`: run the service in the foreground, as systemd wants it."""

import asyncio
import os
import sys
import time
from datetime import date

import click

from relay.cli.output import CONFIGURATION, UNREACHABLE, fail, option
from relay.config import Config, find_config, load_config
from relay.errors import ConfigurationError, RelayError
from relay.ids import new_id
from relay.loglines import configure_logging
from relay.records.append import Records
from relay.records.facts import opened_record
from relay.service.loop import new_event_loop, raise_file_limit
from relay.service.policies import PolicyArchive
from relay.service.supervisor import Supervisor
from relay.service.surroundings import Surroundings
from relay.stores.opening import STORE_NAME, load_or_create_keys, open_store, read_store_name


@click.command("serve")
@click.option("--workers", type=click.IntRange(1, 64), help="SMTP processes, instead of the configured number / 进程数")
def serve(workers: int | None) -> None:
    """Run the relay until SIGTERM; SIGHUP applies the policy folder / 运行服务；SIGHUP 重新加载策略."""
    if sys.platform == "win32":
        fail(CONFIGURATION, "服务只能在 Linux 等系统上运行", "the service runs on Linux and other POSIX systems only")
    path = find_config(option("config") or None)
    config = load_config(str(path))
    configure_logging(config.log.level)
    os.umask(0o077)
    raise_file_limit()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            runner.run(_serve(config, str(path.resolve()), workers or config.workers or os.cpu_count() or 1))
        except ConfigurationError:
            raise
        except RelayError as fault:
            fail(UNREACHABLE, f"服务无法启动：{fault}", f"the service cannot start: {fault}")


async def _serve(config: Config, config_path: str, workers: int) -> None:
    config.data_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = load_or_create_keys(config, date.today())  # noqa: DTZ011 - a date for people
    records = Records.open(config.data_path / "records.db", keys, config.records.min_free, time.time)
    is_first = not (config.data_path / STORE_NAME).exists()
    store = await open_store(config, keys, time.time)
    if is_first and (name := read_store_name(config.data_path)):
        now = time.time()
        record = opened_record(new_id(now, os.urandom(10)), now, store=store.name, store_id=name.store_id, why="created")
        await records.append(record)
    archive = PolicyArchive(config.data_path)
    surroundings = Surroundings(config, keys, records, store, archive)
    await Supervisor(config, config_path, archive, surroundings).run(workers=workers)
