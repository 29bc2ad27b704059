"""The unsubscribe token: reads back what was sealed, and nothing else."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ids import new_id
from relay.keys import Key, new_keys, rotated
from relay.render.sealed import TokenError
from relay.render.token import UnsubscribeToken, make_token, read_token, stream_number

DAY = date(2026, 11, 20)
KEY = Key(7, bytes(range(64)), DAY)
TOKEN = UnsubscribeToken(b"d" * 16, 3, stream_number("newsletter"), True, new_id(1_800_000_000, b"0123456789"))

tokens = st.builds(
    UnsubscribeToken,
    recipient_digest=st.binary(min_size=16, max_size=16),
    address_generation=st.integers(1, 255),
    stream_number=st.binary(min_size=4, max_size=4),
    whole_organisation=st.booleans(),
    submission_id=st.builds(
        new_id, st.integers(0, 2**48 - 1).map(lambda ms: (ms + 0.5) / 1000), st.binary(min_size=10, max_size=10)
    ),
)


@given(tokens)
def test_a_token_reads_back(token):
    assert read_token(make_token(token, KEY), [KEY]) == token


@given(tokens)
def test_a_token_fits_a_url_and_a_header_line(token):
    text = make_token(token, KEY)
    assert len(text) == 75
    assert text.replace("-", "a").replace("_", "a").isalnum()


def test_the_same_facts_give_the_same_token():
    assert make_token(TOKEN, KEY) == make_token(TOKEN, KEY)


def test_every_fact_changes_the_whole_token():
    other = make_token(replace(TOKEN, whole_organisation=False), KEY)
    assert sum(a == b for a, b in zip(make_token(TOKEN, KEY)[4:], other[4:], strict=True)) < 20


@given(st.integers(0, 74), st.characters(codec="ascii"))
def test_a_token_changed_in_one_place_is_forged(place, character):
    text = make_token(TOKEN, KEY)
    forged = text[:place] + character + text[place + 1 :]
    if forged != text:
        with pytest.raises(TokenError):
            read_token(forged, [KEY])


@given(st.text(max_size=90))
def test_any_other_text_is_a_token_error(text):
    with pytest.raises(TokenError):
        read_token(text, [KEY])


@given(st.integers(0, 74))
def test_a_cut_token_is_refused(length):
    with pytest.raises(TokenError):
        read_token(make_token(TOKEN, KEY)[:length], [KEY])


@pytest.mark.parametrize(
    "spelling", [lambda t: t + "=", lambda t: t + "==", lambda t: t + " ", lambda t: "\n" + t, lambda t: t[:-1] + "Ǣ"]
)
def test_another_spelling_is_refused(spelling):
    with pytest.raises(TokenError):
        read_token(spelling(make_token(TOKEN, KEY)), [KEY])


def test_the_unused_bits_of_the_last_character_must_be_zero():
    text = make_token(TOKEN, KEY)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(text[-1])
    assert last % 4 == 0
    with pytest.raises(TokenError, match="base64url"):
        read_token(text[:-1] + alphabet[last + 1], [KEY])


def test_a_key_that_left_the_ring_opens_nothing():
    with pytest.raises(TokenError, match="key"):
        read_token(make_token(TOKEN, KEY), [replace(KEY, number=8)])


def test_another_secret_under_the_same_number_opens_nothing():
    with pytest.raises(TokenError, match="not made here"):
        read_token(make_token(TOKEN, KEY), [replace(KEY, secret=bytes(64))])


def test_old_tokens_stay_good_after_a_rotation():
    keys = new_keys(DAY)
    old = make_token(TOKEN, keys.tokens.keys[0])
    keys = rotated(keys, "tokens", DAY)
    assert read_token(old, keys.tokens.keys) == TOKEN
    assert read_token(make_token(TOKEN, keys.tokens.keys[0]), keys.tokens.keys) == TOKEN


@pytest.mark.parametrize("text", ["", "01J", "8" * 26, "I" * 26])
def test_a_token_is_made_for_a_submission_only(text):
    with pytest.raises(ValueError, match="not a submission id"):
        make_token(replace(TOKEN, submission_id=text), KEY)


def test_stream_numbers_tell_streams_apart():
    assert len({stream_number(name) for name in ("newsletter", "receipts", "correspondence")}) == 3
