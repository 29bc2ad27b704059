"""A folder with a configuration, in which `relay suppress` or another verb is run within the test."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli.opening import open_all
from relay.cli.suppress import suppress
from relay.records.kinds import Kind
from tests.support.policies import SHIPPED
from tests.support.redis_server import RedisServer
from tests.support.small import SMALL_CONFIG


class Relay:
    """`group` is the verb that a call runs."""

    def __init__(self, folder, more="", group=suppress):
        self.folder = folder
        self.group = group
        shutil.copytree(SHIPPED, folder / "policies")  # of an organisation in Asia/Shanghai
        (folder / "config.toml").write_text(SMALL_CONFIG + more)

    def __call__(self, *words, code=0, input=None, lang="en"):  # noqa: A002 - click's word for it
        environment = {"RELAY_CONFIG": str(self.folder / "config.toml"), "RELAY_LANG": lang}
        result = CliRunner().invoke(self.group, [str(word) for word in words], env=environment, input=input)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code is None or result.exit_code == code, result.output
        return result

    def json(self, *words, code=0):
        return json.loads(self(*words, "--json", code=code).stdout)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def records(self):
        async def read():
            async with open_all(str(self.folder / "config.toml")) as opened:
                bodies = opened.records.reader.read("SELECT kind, body FROM records ORDER BY seq", ())
                return [(kind, json.loads(body)) for kind, body in bodies]

        return asyncio.run(read())

    def facts(self, kind: Kind):
        return [body["facts"] for found, body in self.records() if found == kind.value]


@contextmanager
def relay_on(store: str, folder: Path) -> Iterator[Relay]:
    """One that uses a store of this kind, "sqlite" or "redis"."""
    if store == "sqlite":
        yield Relay(folder)
        return
    with RedisServer(folder / "redis") as server:
        yield Relay(folder, f'[store]\nurl = "{server.url}"\n')


def relays_on_both_stores():
    """A fixture: one folder on each kind of store."""

    @pytest.fixture(params=["sqlite", "redis"])
    def relay(request, tmp_path):
        with relay_on(request.param, tmp_path) as relay:
            yield relay

    return relay


def a_small_relay():
    """A fixture: a folder on SQLite."""

    @pytest.fixture
    def small(tmp_path):
        return Relay(tmp_path)

    return small
