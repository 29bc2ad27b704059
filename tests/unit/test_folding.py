"""Folded text: what hides no word, and the way back to what is shown."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.mail.folding import fold, fold_word

WORDS = ["最佳", "全网第一", "国家级", "无与伦比", "独一无二", "100%", "NO.1", "TOP1"]
HAN_WORDS = [word for word in WORDS if not word.isascii()]
INVISIBLE = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u202e",
    "\u2066",
    "\ufe0f",
    "\u034f",
    "\u0332",
    "\u3164",
]
SEPARATORS = [" ", "  ", "\u3000", "\u00a0", "\u2009", "·", "・", "•", ".", "-", "_", "*", "|", "/", "~", "'", "‧", "\t", " - "]
TRADITIONAL = str.maketrans("国级无与伦网", "國級無與倫網")
anything = st.text(max_size=60)
invisible = st.text(st.sampled_from(INVISIBLE), max_size=3)


def wide(text):
    """As full-width forms."""
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


@given(st.sampled_from(WORDS), st.data())
def test_what_nobody_sees_hides_no_word(word, data):
    hidden = "".join(one + data.draw(invisible) for one in word)
    assert word in fold(f"前{hidden}后").text


@given(st.sampled_from(HAN_WORDS), st.data())
def test_separators_hide_no_word(word, data):
    between = st.sampled_from(["", *SEPARATORS])
    shown = "".join(one + data.draw(between) + data.draw(invisible) for one in word[:-1]) + word[-1]
    assert word in fold(shown).text


@given(st.sampled_from(WORDS), st.booleans(), st.booleans(), anything)
def test_width_case_and_script_hide_no_word(word, is_wide, is_traditional, before):
    shown = word.lower()
    shown = wide(shown) if is_wide else shown
    shown = shown.translate(TRADITIONAL) if is_traditional else shown
    assert word in fold(before + "\n" + shown).text


@given(anything, st.booleans())
@example("ß ŉ ﬃ ㈱ ｶﾞ 𝐛𝐞𝐬𝐭 \U000e0041 e\u0301 가", False)
@example("最 \u200b·\r\n 佳", True)
def test_every_place_leads_into_the_shown_text_and_forward(shown, wraps):
    folded = fold(shown, wraps=wraps)
    last = 0
    for place in range(len(folded.text)):
        start, end = folded.shown(place, place + 1)
        assert last <= start < end <= len(shown)
        last = start


@given(st.text(st.sampled_from("最佳第一级國無 ·-，,\u200bA é①ﬁ"), max_size=30))
def test_a_place_shows_what_was_folded_there(shown):
    folded = fold(shown)
    for place, one in enumerate(folded.text):
        assert one in fold_word(shown[slice(*folded.shown(place, place + 1))])


@given(anything, st.booleans())
def test_folding_what_is_folded_changes_nothing(shown, wraps):
    once = fold(shown, wraps=wraps).text
    assert fold(once, wraps=wraps).text == once


@pytest.mark.parametrize("shown", ["最，佳", "最。佳", "最\n佳", "最、佳", "最1佳", "最a佳", "best best", "a b"])
def test_what_separates_in_earnest_stays(shown):
    assert fold(shown).text == unicodedata.normalize("NFKC", shown).upper()


def test_the_whole_of_a_hit_is_shown():
    shown = "我们是最 \u200b·佳選擇"
    folded = fold(shown)
    start = folded.text.index("最佳选择")
    assert shown[slice(*folded.shown(start, start + 4))] == "最 \u200b·佳選擇"


@pytest.mark.parametrize("unit", ["-", " ", "\u200b", "最 ", "國", "é", "\U0001d400", "。\n", "e" + "\u0301" * 5])
def test_the_work_grows_with_the_length_only(unit):
    text = unit * (200_000 // len(unit))
    folded = fold(text, wraps=True).text
    assert len(folded) <= 2 * len(text)
