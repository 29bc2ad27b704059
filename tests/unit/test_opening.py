"""What the opening room does with the files of data_dir."""

import stat
import subprocess
import sys
import time
from datetime import date

import pytest

from relay.errors import ConfigurationError, StoreUnavailable
from relay.keys import new_keys
from relay.stores.opening import StoreName, load_or_create_keys, open_store, read_store_name, write_store_name
from relay.stores.sqlite import SQLiteStore
from tests.contract.test_opening import TODAY, config_with
from tests.support.stores import ADA, META, refusal


@pytest.fixture
def config(tmp_path):
    return config_with("sqlite", tmp_path)


async def reason(config, keys) -> str:
    store = await open_store(config, keys, time.time)
    with pytest.raises(StoreUnavailable) as caught:
        await store.check()
    return caught.value.reason


def test_the_very_first_start_makes_keys_that_nobody_else_reads(config):
    keys = load_or_create_keys(config, TODAY)
    assert stat.S_IMODE(config.keys_path.stat().st_mode) == 0o600
    assert load_or_create_keys(config, date(2027, 1, 1)) == keys


@pytest.mark.parametrize("left", ["store.id", "relay.db", "records.db"])
def test_keys_that_were_lost_are_not_made_anew(config, left):
    load_or_create_keys(config, TODAY)
    config.keys_path.unlink()
    config.data_path.joinpath(left).write_bytes(b"")
    with pytest.raises(ConfigurationError, match=rf"key file is missing, but .*{left} was written with it; restore the backup"):
        load_or_create_keys(config, TODAY)
    assert not config.keys_path.exists()


async def test_an_empty_relay_db_is_not_filled(config):
    keys = new_keys(TODAY)
    await (await open_store(config, keys, time.time)).aclose()
    config.data_path.joinpath("relay.db").write_bytes(b"")
    assert await reason(config, keys) == "empty"
    assert config.data_path.joinpath("relay.db").stat().st_size == 0


async def test_a_file_that_is_no_database_is_foreign(config):
    keys = new_keys(TODAY)
    await (await open_store(config, keys, time.time)).aclose()
    config.data_path.joinpath("relay.db").write_bytes(b"not a database " * 1000)
    assert await reason(config, keys) == "foreign"


async def test_a_relay_db_of_somebody_else_is_foreign(config):
    keys = new_keys(TODAY)
    await (await open_store(config, keys, time.time)).aclose()
    config.data_path.joinpath("relay.db").unlink()
    SQLiteStore.create(config.data_path / "relay.db", META)
    assert await reason(config, keys) == "foreign"


async def test_a_start_that_was_cut_off_is_begun_again(config):
    """A half-made file has another name, so it is never mistaken for a store that lost its data."""
    config.data_path.mkdir()
    config.data_path.joinpath("relay.db.new").write_bytes(b"half")
    config.data_path.joinpath("relay.db.new-wal").write_bytes(b"half")
    store = await open_store(config, new_keys(TODAY), time.time)
    await store.check()
    await store.aclose()
    assert not list(config.data_path.glob("*.new*"))


async def test_a_store_opens_again_when_the_backup_is_back(config):
    keys = new_keys(TODAY)
    store = await open_store(config, keys, time.time)
    await store.suppress(refusal())
    await store.aclose()
    kept = config.data_path.joinpath("relay.db").read_bytes()
    config.data_path.joinpath("relay.db").unlink()
    assert await reason(config, keys) == "empty"
    config.data_path.joinpath("relay.db").write_bytes(kept)
    again = await open_store(config, keys, time.time)
    assert await again.find([(ADA,)]) == [(refusal(),)]
    await again.aclose()


async def test_a_data_dir_that_cannot_be_written_is_said_so(tmp_path):
    tmp_path.joinpath("data").write_bytes(b"a file where a folder should be")
    assert await reason(config_with("sqlite", tmp_path), new_keys(TODAY)) == "disk"


def test_a_store_name_comes_back_as_it_was_written(tmp_path):
    name = StoreName(META.store_id, "redis")
    write_store_name(tmp_path, name)
    assert read_store_name(tmp_path) == name
    assert [path.name for path in tmp_path.iterdir()] == ["store.id"]


def test_a_worker_carries_no_client_and_no_lists_that_its_configuration_does_not_ask_for():
    """Each is megabytes in every process; a store in Redis and a rule on personal data load theirs (their own tests)."""
    run = subprocess.run(
        [sys.executable, "-c", "import sys, relay.service.worker; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(run.stdout.split())
    assert "relay.stores.opening" in loaded
    assert "relay.policy.checks.personal" in loaded
    assert not {"redis", "phonenumbers", "stdnum", "dns"} & loaded
