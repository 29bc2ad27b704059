"""Figures and their sources: a source stands for what it is written to, and for no other figure of the mail."""

import pytest

from relay.policy.words.lexicon import hits_of
from relay.policy.words.sourcing import Sources
from tests.unit.test_content import message
from tests.unit.test_content_checks import html, objections, plain

RULE = 'check = "unsourced-figures"\nkinds = ["figures"]\n'
SATISFIED = "客户满意度达98%"


def seen(raw: bytes) -> list[str]:
    return [objection.detail for objection in objections(RULE, raw)]


def paragraphs(*texts: str) -> str:
    return "".join(f"<p>{text}</p>" for text in texts)


SOURCED = [
    f"{SATISFIED}，数据来源：2025年客户调查。",
    f"{SATISFIED}。数据来源：2025年客户调查。",
    f"来源：2025年客户调查。{SATISFIED}，复购率达80%。",
    "Our satisfaction rate is 98%. Source: customer survey 2025.",
    "According to our survey of 2025, 98% of customers come back.",
]


@pytest.mark.parametrize("text", SOURCED)
def test_a_source_stands_for_its_paragraph(text):
    assert seen(plain(text)) == []
    assert seen(html(paragraphs("新品上市。", text, "谢谢。"))) == []


@pytest.mark.parametrize(
    "texts",
    [
        (SATISFIED, "数据来源：2025年客户调查"),
        (SATISFIED, "（数据来源：2025年客户调查）"),
        (SATISFIED, "注：数据来源：2025年客户调查"),
        (SATISFIED, "* 数据来源：2025年客户调查"),
        ("Satisfaction rate: 98%", "Source: survey of 2025"),
        ("Satisfaction rate: 98%", "Note 1. Source: survey of 2025"),
    ],
)
def test_a_source_that_begins_its_line_stands_for_the_one_above(texts):
    assert seen(html(paragraphs("新品上市。", *texts))) == []
    assert seen(plain("\r\n\r\n".join(texts))) == []
    assert seen(plain(".\r\n".join(texts))) == []


@pytest.mark.parametrize(
    ("mark", "note"),
    [
        ("*", "* "),
        ("＊", "*"),
        ("**", "**"),
        ("¹", "1. "),
        ("①", "① "),
        ("[1]", "[1] "),
        ("（1）", "1、"),
        ("注1", "注1："),
        ("†", "†"),
    ],
)
def test_a_note_stands_for_the_figures_with_its_mark(mark, note):
    source = f"{note}依据2025年客户调查，样本1200人，数据来源：某某咨询。"
    page = (f"{SATISFIED}{mark}，欢迎选购。", "新品上市。", "本周到店。", source)
    assert seen(html(paragraphs(*page))) == []
    assert seen(plain("\r\n\r\n".join(page))) == []
    assert seen(html(paragraphs(SATISFIED, *page[1:]))) != []


@pytest.mark.parametrize(
    "texts",
    [
        (SATISFIED, "新品上市。", "数据来源：2025年客户调查"),
        (SATISFIED, "本活动规则详见数据来源：官网"),  # it does not begin the line
        ("数据来源：2025年客户调查", SATISFIED),
        (f"{SATISFIED}²", "新品上市。", "1. 数据来源：2025年客户调查"),
        (f"{SATISFIED}*", "新品上市。", "** 数据来源：2025年客户调查"),
        (f"{SATISFIED}*", "新品上市。", "* 图片来源：本站"),
        ("98% of users would buy it again.", "New this week.", "Source: Wikipedia"),
    ],
)
def test_a_source_of_something_else_stands_for_nothing(texts):
    assert len(seen(html(paragraphs(*texts)))) == 1
    assert len(seen(plain("\r\n\r\n".join(texts)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"{SATISFIED}。图片来源：本站。",
        f"{SATISFIED}。照片来源于网络",
        f"{SATISFIED}。灵感来源于自然。",
        f"{SATISFIED}，食材来源于云南。",
        "满意度98%。文章来源：本站",
        "98% of customers come back. Photo source: our shop.",
        "98%的用户选择它，80%的客户来源于口碑。",
    ],
)
def test_a_source_of_pictures_goods_or_customers_is_none_of_figures(text):
    assert len(seen(plain(text))) == 1


def test_lines_of_plain_text_that_are_wrapped_are_one_paragraph():
    assert (
        seen(
            plain(
                "A mail that goes on for a while says that the\r\nsatisfaction rate is 98% and then\r\ngoes on. Source: survey."
            )
        )
        == []
    )
    assert seen(plain("满意度98%的产品，\r\n按照2025年调查，数据来源：某某咨询")) == []
    long = "Nearly all who answered us this year are content: the satisfaction rate is 98%."
    assert seen(plain(f"{long}\r\nThis rests on 1200 answers. Source: survey of 2025.")) == []
    assert len(seen(plain("The rate of satisfaction rate: 98%.\r\nThis rests on 1200 answers. Source: survey of 2025."))) == 1
    assert seen(plain(f"{'用心' * 14}，客户满意度98%。\r\n依据2025年调查，数据来源：某某咨询。")) == []
    assert len(seen(plain("Items:\r\n- satisfaction rate 98%\r\n- new colours\r\n- see the source: Wikipedia"))) == 1


def test_many_figures_and_sources_take_time_with_their_number(monkeypatch):
    """Each is put into its paragraph once; nothing compares all with all."""
    asked, number_of = [], Sources._paragraph

    def counting(self, place):
        asked.append(place)
        return number_of(self, place)

    monkeypatch.setattr(Sources, "_paragraph", counting)
    text = "\r\n\r\n".join([SATISFIED, "新品上市。", "见数据来源：官网。"] * 200)
    assert len(seen(plain(text))) == 1
    assert len(asked) == 3 * 200  # "数据来源" and "来源:" are two words of the list


def test_every_word_of_another_source_is_left_out():
    content = message(("text/plain", "图片来源：甲。数据来源：乙。PHOTO SOURCE: c")).content
    assert [(hit.term.word, hit.start) for hit in hits_of(content)["figures"]] == [("数据来源", 7), ("来源:", 9)]
