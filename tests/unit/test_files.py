"""A file is there whole or as it was; a turn is one process's at a time."""

import os
import threading

import pytest

from relay.files import Turn, write_private


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secret.toml"


def test_a_private_file_is_its_owners_alone(path):
    old = os.umask(0)
    try:
        write_private(path, b"one")
    finally:
        os.umask(old)
    assert path.read_bytes() == b"one"
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_private_file_takes_the_place_of_an_open_one(path):
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_leaves_everything_as_it_was(path, monkeypatch):
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"new")
    assert [(file.name, file.read_bytes()) for file in path.parent.iterdir()] == [("secret.toml", b"old")]


def test_the_turn_goes_from_one_to_the_next(tmp_path):
    one, two = Turn(tmp_path / "lock"), Turn(tmp_path / "lock")
    order = []

    def follow() -> None:
        two.take()
        order.append("two")
        two.give_up()

    one.take()
    assert not two.take(wait=False)
    other = threading.Thread(target=follow)
    other.start()
    order.append("one")
    one.give_up()
    other.join(10)
    assert order == ["one", "two"]
    one.close()
    two.close()
