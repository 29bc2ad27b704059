"""Key rings: digests over generations, values sealed and opened, a file that is whole, private and never half-read."""

import os
import stat
from base64 import b64encode
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ConfigurationError
from relay.keys import RINGS, Key, KeyFile, Keys, Ring, dump_keys, load_keys, new_keys, parse_keys, rotated, save_keys

DAY = date(2026, 11, 20)
OLD, NEW = Key(1, bytes(64), DAY), Key(2, bytes([1]) * 64, DAY)
RING = Ring("addresses", (NEW, OLD))
KEYS = new_keys(DAY)
SECRET = b64encode(bytes(64)).decode()


# Digests ---------------------------------------------------------------------------------------------------------------


@given(st.text())
def test_digests_cover_every_generation_the_current_first(text):
    assert RING.digests(text) == (Ring("addresses", (NEW,)).digest(text), Ring("addresses", (OLD,)).digest(text))
    assert RING.digest(text) == RING.digests(text)[0]
    assert [len(digest) for digest in RING.digests(text)] == [16, 16]


def test_a_digest_of_text_is_that_of_its_octets():
    assert RING.digest("鲍勃@example.net") == RING.digest("鲍勃@example.net".encode())


def test_an_old_digest_is_still_found_after_a_rotation():
    before = KEYS.addresses.digest("ada@example.com")
    after = rotated(KEYS, "addresses", DAY).addresses
    assert before in after.digests("ada@example.com")
    assert before != after.digest("ada@example.com")


def test_the_lasting_digest_does_not_change_with_a_new_generation():
    after = rotated(KEYS, "addresses", DAY).addresses
    assert after.lasting_digest("x") == KEYS.addresses.lasting_digest("x") == KEYS.addresses.digest("x")


# Sealing ---------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_is_sealed_opens(plain, associated):
    sealed = RING.seal(plain, associated)
    assert sealed[0] == NEW.number
    assert RING.open(sealed, associated) == plain


def test_the_same_value_is_sealed_differently_each_time():
    assert RING.seal(b"x", b"") != RING.seal(b"x", b"")


def test_old_values_open_after_a_rotation():
    sealed = KEYS.records.seal(b"ada@example.com", b"person")
    assert rotated(KEYS, "records", DAY).records.open(sealed, b"person") == b"ada@example.com"


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]),
        lambda sealed: sealed[:5] + bytes([sealed[5] ^ 1]) + sealed[6:],
        lambda sealed: bytes([OLD.number]) + sealed[1:],
        lambda sealed: bytes([9]) + sealed[1:],
        lambda sealed: sealed[:13],
        lambda sealed: b"",
    ],
)
def test_an_altered_value_never_opens(change):
    with pytest.raises(ValueError, match="no key of the ring addresses opens this value"):
        RING.open(change(RING.seal(b"secret", b"a")), b"a")


def test_a_value_cut_short_never_opens():
    sealed = RING.seal(b"secret", b"a")
    for length in range(len(sealed)):
        with pytest.raises(ValueError, match=r"opens|Nonce"):
            RING.open(sealed[:length], b"a")


def test_a_value_opens_in_its_own_place_only():
    with pytest.raises(ValueError, match="opens"):
        RING.open(RING.seal(b"secret", b"a"), b"b")


# Generations -----------------------------------------------------------------------------------------------------------


def test_a_rotation_adds_a_generation_and_keeps_the_others():
    after = rotated(KEYS, "tokens", DAY)
    assert after.tokens.keys[1:] == KEYS.tokens.keys
    assert after.tokens.keys[0].number == 2
    assert (after.addresses, after.records, after.held) == (KEYS.addresses, KEYS.records, KEYS.held)


def test_a_ring_has_255_generations_at_most():
    full = Keys(Ring("addresses", (Key(255, bytes(64), DAY),)), KEYS.records, KEYS.tokens, KEYS.held)
    with pytest.raises(ConfigurationError, match="all 255 key numbers"):
        rotated(full, "addresses", DAY)


def test_new_secrets_are_all_different():
    secrets = [getattr(keys, name).keys[0].secret for keys in (new_keys(DAY), new_keys(DAY)) for name in RINGS]
    assert len(set(secrets)) == 8
    assert {len(secret) for secret in secrets} == {64}


def test_fingerprints_name_ring_generation_and_secret():
    assert len(RING.fingerprints) == 2
    assert OLD.fingerprint("addresses") != OLD.fingerprint("tokens")
    assert OLD.fingerprint("addresses") != Key(1, bytes([1]) * 64, DAY).fingerprint("addresses")
    assert OLD.fingerprint("addresses").startswith("addresses:1:")


def test_a_store_depends_on_addresses_tokens_and_held_mail():
    assert KEYS.fingerprints == KEYS.addresses.fingerprints | KEYS.tokens.fingerprints | KEYS.held.fingerprints
    assert rotated(KEYS, "records", DAY).fingerprints == KEYS.fingerprints


def test_secrets_never_show():
    assert SECRET not in repr(OLD)
    assert "secret" not in repr(KEYS)


# The file --------------------------------------------------------------------------------------------------------------


def test_the_file_reads_back():
    keys = rotated(rotated(KEYS, "addresses", DAY), "tokens", DAY)
    assert parse_keys(dump_keys(keys), "keys.toml") == keys


def test_the_saved_file_reads_back_and_is_private(tmp_path):
    path = tmp_path / "deep" / "keys.toml"
    before = os.umask(0)
    try:
        save_keys(path, KEYS)
    finally:
        os.umask(before)
    assert load_keys(path) == KEYS
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.toml"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_saving_replaces_the_file_whole(tmp_path):
    path = tmp_path / "keys.toml"
    save_keys(path, KEYS)
    after = rotated(KEYS, "held", DAY)
    save_keys(path, after)
    assert load_keys(path) == after


@pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")
@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_file_open_to_everybody_is_refused_with_the_remedy(tmp_path, mode):
    path = tmp_path / "keys.toml"
    save_keys(path, KEYS)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"run: chmod 600 {path}"):
        load_keys(path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")
def test_a_group_may_read_the_file(tmp_path):
    path = tmp_path / "keys.toml"
    save_keys(path, KEYS)
    path.chmod(0o640)
    assert load_keys(path) == KEYS


@pytest.mark.parametrize("octets", [None, b"\xff\xfe", b"not = [toml"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, octets):
    path = tmp_path / "keys.toml"
    if octets is not None:
        path.touch(0o600)
        path.write_bytes(octets)
    with pytest.raises(ConfigurationError, match=str(path)):
        load_keys(path)


def without(ring: str) -> str:
    return dump_keys(KEYS).replace(f"[[{ring}]]", f"[[no_{ring}]]")


def with_address_key(number: object = 1, created: str = "2026-11-20", secret: str = SECRET) -> str:
    return f'{without("addresses")}\n[[addresses]]\nnumber = {number}\ncreated = {created}\nsecret = "{secret}"\n'


@pytest.mark.parametrize("ring", RINGS)
def test_a_missing_ring_is_named(ring):
    with pytest.raises(ConfigurationError, match=rf"keys.toml: \[\[{ring}\]\] is missing; restore"):
        parse_keys(without(ring), "keys.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (with_address_key(number=0), "number 1 needs number"),
        (with_address_key(number=256), "number 1 needs number"),
        (with_address_key(number='"1"'), "number 1 needs number"),
        (with_address_key(created='"2026-11-20"'), "created"),
        (with_address_key(created="2026-11-20T00:00:00Z"), "created"),
        (with_address_key(secret="short"), "not 64 octets"),
        (with_address_key(secret=SECRET[:-8]), "not 64 octets"),
        (with_address_key(secret="*" * 88), "not 64 octets"),
        (f"addresses = [1]\n{without('addresses')}", "not a table"),
        (f"addresses = []\n{without('addresses')}", "is missing"),
        (with_address_key() + with_address_key().removeprefix(without("addresses")), "key number twice"),
    ],
)
def test_a_wrong_entry_says_what_is_wrong(text, says):
    with pytest.raises(ConfigurationError, match=says):
        parse_keys(text, "keys.toml")


def test_generations_stand_in_file_order():
    keys = parse_keys(with_address_key(number=9) + with_address_key(number=3).removeprefix(without("addresses")), "keys.toml")
    assert [key.number for key in keys.addresses.keys] == [9, 3]


def test_a_key_file_is_read_again_when_it_is_another_one(tmp_path):
    path = tmp_path / "keys.toml"
    save_keys(path, KEYS)
    file = KeyFile(path)
    assert file.read_again() == KEYS
    assert file.read_again() is None
    newer = rotated(KEYS, "tokens", DAY)
    save_keys(path, newer)
    assert file.read_again() == newer
    assert file.read_again() is None


def test_a_key_file_that_is_written_in_its_place_is_seen_too(tmp_path):
    path, copy = tmp_path / "keys.toml", tmp_path / "copy.toml"
    save_keys(path, KEYS)
    file = KeyFile(path)
    file.read_again()
    save_keys(copy, rotated(KEYS, "tokens", DAY))
    path.write_bytes(copy.read_bytes()[:200])
    for _ in range(2):  # a fault is said every time
        with pytest.raises(ConfigurationError, match=r"keys\.toml"):
            file.read_again()
    path.write_bytes(copy.read_bytes())
    assert file.read_again() == load_keys(copy)


def test_a_key_file_that_goes_and_comes_back_is_read_again(tmp_path):
    path = tmp_path / "keys.toml"
    save_keys(path, KEYS)
    file = KeyFile(path)
    file.read_again()
    path.rename(tmp_path / "away")
    with pytest.raises(ConfigurationError, match="missing"):
        file.read_again()
    (tmp_path / "away").rename(path)
    assert file.read_again() == KEYS


def test_everybody_who_has_the_keys_has_the_new_generation_at_once():
    keys = replace(KEYS)
    part = keys
    newer = rotated(keys, "addresses", DAY)
    keys.take_up(newer)
    assert part.addresses.digests("ada") == newer.addresses.digests("ada")
    assert keys == newer
    assert newer != KEYS
