"""Facts that a text says already: whole, whatever stands around them."""

import pytest

from relay.render.said import says


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("By ONE, of Shanghai", "One"),
        ("由One提供", "One"),
        ("(unsubscribe@x.example).", "unsubscribe@x.example"),
        ("云杉科技\r\n  有限公司", "云杉科技有限公司"),
        ("上海市杉树路7号", "上海市杉树路 7 号"),
        ("Spruce\r\nTechnology\u00a0 Ltd., Shanghai", "Spruce Technology Ltd."),
        ("见https://a.example/privacy。", "https://a.example/privacy"),
        ("电话+86 21 5555 0100", "+86 21 5555 0100"),
    ],
)
def test_a_whole_fact_is_said(text, fact):
    assert says(text.casefold(), fact)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("everyone", "One"),
        ("one.example", "One"),
        ("a@one", "One"),
        ("no-unsubscribe@x.example", "unsubscribe@x.example"),
        ("my.unsubscribe@x.example", "unsubscribe@x.example"),
        ("unsubscribe@x.example.cn", "unsubscribe@x.example"),
        ("上海市杉树路17号", "上海市杉树路 7 号"),
        ("17 Spruce Road", "7 Spruce Road"),
        ("SpruceTechnology Ltd.", "Spruce Technology Ltd."),
        ("https://a.example/privacy/old", "https://a.example/privacy"),
        ("+86 21 5555 01009", "+86 21 5555 0100"),
        ("anything", ""),
        ("anything", " "),
    ],
)
def test_a_part_of_something_else_is_not(text, fact):
    assert not says(text.casefold(), fact)


def test_long_texts_are_searched_in_time_that_grows_with_them():
    assert not says("everyone " * 200_000, "One")
    assert not says(("云" + " " * 50) * 20_000, "云杉")
