"""Folded text: what hides no word, and the way back to what is shown."""

import unicodedata
from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.mail.words.folding import as_seen, caseless, fold, fold_word, is_disguised, one_form, undisguised

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


@given(st.text(st.sampled_from("AKIAghp_0189-."), min_size=1, max_size=20), st.data())
def test_what_disguises_a_key_is_noticed_and_undone(key, data):
    shown = "".join(data.draw(st.sampled_from([one, wide(one)])) + data.draw(invisible) for one in key)
    assert undisguised(shown).text == key
    assert is_disguised(shown) is (shown != key)


@pytest.mark.parametrize("shown", ["AKIA", "最佳：OK！", "naïve – “café”", "新品\u3000上市", "\U0001f600 Hi"])
def test_ordinary_text_disguises_nothing(shown):
    assert not is_disguised(shown)


@pytest.mark.parametrize("one", ["\U0001d400", "\U0001d7d9", "\U0001f130", "\U0001fbf1", "①", "Ⓐ", "²", "₂"])
def test_other_forms_of_letters_and_digits_are_noticed(one):
    assert is_disguised(f"x{one}")
    assert undisguised(one).text.isascii()


@given(st.text(st.one_of(st.characters(max_codepoint=0x24F), st.characters()), max_size=40), st.integers(0, 600))
def test_a_disguise_is_seen_wherever_it_stands(shown, ascii_before):
    is_one = any(map(is_disguised, shown))
    assert is_disguised("a" * ascii_before + shown) is is_one
    assert is_disguised(shown + "啊" * ascii_before) is is_one


@given(st.sampled_from(HAN_WORDS), st.data())
def test_separators_hide_no_word(word, data):
    between = st.sampled_from(["", *SEPARATORS])
    shown = "".join(one + data.draw(between) + data.draw(invisible) for one in word[:-1]) + word[-1]
    assert word in fold(shown).text


@given(st.text(st.sampled_from("最佳ab ·-\r\n，"), max_size=30), st.booleans())
@example("最 -\r\n佳 a", True)
@example("最 \n \n佳", True)
def test_separators_between_two_han_characters_are_dropped_and_no_others(shown, wraps):
    between = " ·-\r\n" if wraps else " ·-"
    runs = ["", *("".join(run) for _, run in groupby(shown, key=lambda one: one in between)), ""]
    kept = [
        run
        for before, run, behind in zip(runs, runs[1:], runs[2:], strict=False)
        if run[0] not in between or before[-1:] not in ("最", "佳") or behind[:1] not in ("最", "佳") or run.count("\n") > 1
    ]
    assert fold(shown, wraps=wraps).text == "".join(kept).replace("，", ",").upper()


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


@given(st.text(max_size=700))
def test_one_form_is_nfkc(text):
    longer = text + "x" * 500
    for some in (text, longer):
        runs = groupby(some, key=lambda character: unicodedata.combining(character) > 0)
        if all(len(list(run)) <= 30 for is_mark, run in runs if is_mark):
            assert one_form(some) == unicodedata.normalize("NFKC", some)


def test_marks_without_end_on_one_letter_are_cut_off_and_what_follows_is_read():
    """NFKC sorts the marks of a letter in a time that is quadratic in their number."""
    found = one_form("e" + "\u0323\u0301" * 100_000 + "xtra ｗｉｄｅ")
    assert found.endswith("xtra wide")
    assert len(found) < 50


@given(st.text(max_size=60))
@example("\u202egnp.exe\ufeff")
@example("e\u200d\u0301")
def test_what_is_seen_is_one_form_without_what_nobody_sees(text):
    seen = as_seen(text)
    assert all(unicodedata.category(character) not in ("Cf", "Cc") for character in seen)
    assert as_seen(seen) == seen == one_form(seen)


@given(st.text(max_size=60))
@example("ﬀ İ ß ŉ")
def test_case_is_told_by_nothing(text):
    assert caseless(text) == caseless(text.casefold()) == caseless(caseless(text))
