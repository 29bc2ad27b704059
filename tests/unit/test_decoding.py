"""Encoded-words and parameters as text; nothing raises, nothing grows."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.parts.decoding import (
    charset_named,
    decode_base64,
    decode_extended,
    decode_octets,
    decode_unstructured,
    decode_words,
)


def b_word(text: str, charset: str, codec: str = "") -> str:
    return f"=?{charset}?B?{b64encode(text.encode(codec or charset)).decode()}?="


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?Q?caf=C3=A9?=", "café"),
        ("=?UTF-8?q?caf=C3=A9_au_lait?=", "café au lait"),
        ("=?utf-8*fr?Q?caf=C3=A9?=", "café"),
        ("=?iso-8859-1?Q?caf=E9?= noir", "café noir"),
        ("=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        ("=?utf-8?Q?a?=\t =?iso-8859-1?Q?b?=", "ab"),
        ("=?utf-8?Q?a?= x =?utf-8?Q?b?=", "a x b"),
        ("x=?utf-8?Q?a?=y", "xay"),
        ("=?utf-8?Q?with blanks?=", "with blanks"),
        ("=?utf-8?B?5L2g5aW9?=", "你好"),
        ("=?utf-8?B?5L2g5aW?=", "你\ufffd"),
        ("=?utf-8?B?5L2g!5aW9=?=", "你好"),
        ("=?utf-8?B?5L2g5?= =?utf-8?B?5aW9?=", "你好"),
        ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        ("=?utf-8?Q?open", "=?utf-8?Q?open"),
        ("=??Q?a?=", "=??Q?a?="),
        ("=?x-unknown?Q?caf=C3=A9?=", "café"),
        ("=?rot13?Q?uryyb?=", "uryyb"),
        ("=?utf-8?Q?one=0D=0Atwo=00?=", "one two"),
        ("100% =3D raw", "100% =3D raw"),
    ],
)
def test_encoded_words_are_decoded(value, text):
    assert decode_unstructured(value.encode()) == text


@pytest.mark.parametrize("charset", ["gb2312", "GBK", "x-gbk", "gb18030", "cp936", "euc-cn"])
def test_the_gb_family_is_one(charset):
    assert decode_words(b_word("促销：镕〇㐀", charset, "gb18030")) == "促销：镕〇㐀"


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("big5", "會議通知"),
        ("big5-hkscs", "會議通知"),
        ("iso-2022-jp", "会議のお知らせ"),
        ("shift_jis", "会議のお知らせ"),
        ("euc-jp", "会議のお知らせ"),
        ("euc-kr", "회의 알림"),
        ("koi8-r", "Совещание"),
        ("windows-1251", "Совещание"),
        ("iso-8859-15", "Preis 5 €"),
        ("tis-620", "ประชุม"),
        ("utf-16be", "会议"),
    ],
)
def test_the_charsets_of_our_neighbours_are_known(charset, text):
    assert decode_words(b_word(text, charset)) == text


def test_a_character_may_be_split_between_words():
    octets = "你好世界".encode("gbk")
    words = " ".join(f"=?gbk?B?{b64encode(octets[i : i + 3]).decode()}?=" for i in range(0, len(octets), 3))
    assert decode_words(words) == "你好世界"


@pytest.mark.parametrize(
    ("octets", "text"), [("你好".encode(), "你好"), ("你好".encode("gbk"), "你好"), (b"caf\xe9", "café"), (b"\xff\xff", "ÿÿ")]
)
def test_undeclared_octets_are_shown_as_well_as_they_can_be(octets, text):
    assert decode_octets(octets) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("utf-8''%E5%8F%91%E7%A5%A8.pdf", "发票.pdf"),
        ("gb18030'zh-CN'%B7%A2%C6%B1.pdf", "发票.pdf"),
        ("''plain.txt", "plain.txt"),
        ("no quotes%20at all", "no quotes at all"),
        ("it's one quote", "it's one quote"),
        ("utf-8''100%", "100%"),
    ],
)
def test_extended_values_are_decoded(value, text):
    assert decode_extended(value) == text


def test_no_header_loads_a_codec():
    for name in ("hex", "zip", "idna", "punycode", "unicode_escape", "utf-7", "rot13", "../../x", ""):
        assert charset_named(name) == "utf-8"


@given(st.binary(max_size=200))
def test_any_octets_become_one_line_of_text(octets):
    text = decode_unstructured(octets)
    assert not set("\r\n\0") & set(text)
    assert text.encode().decode() == text


@given(st.text(alphabet="=?utf-8QqBb gbk_+/AZaz09\t", max_size=80))
def test_anything_like_an_encoded_word_becomes_text(text):
    assert isinstance(decode_words(text), str)


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.sampled_from(["utf-8", "gb18030"]))
def test_what_was_encoded_is_decoded(text, charset):
    assert decode_words(b_word(text, charset)) == text


@given(st.binary(max_size=80))
def test_base64_survives_line_ends_and_missing_padding(octets):
    encoded = b64encode(octets)
    assert decode_base64(encoded.rstrip(b"=")) == octets
    assert decode_base64(b" ".join(encoded[i : i + 5] for i in range(0, len(encoded), 5))) == octets
