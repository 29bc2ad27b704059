"""Template fields that nobody filled in, and what only looks like one."""

import pytest

from relay.policy.placeholders import placeholders


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in placeholders(text)]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Hello {{ first_name }}!", "{{ first_name }}"),
        ("Hello {{{name}}}", "{{{name}}}"),
        ("{% if x %}", "{% if x %}"),
        ("Hello *|FNAME|*", "*|FNAME|*"),
        ("Hello %%FirstName%%", "%%FirstName%%"),
        ("尊敬的${name}，", "${name}"),
        ("Hello <%= user.name %>", "<%= user.name %>"),
        ("Hello [[first name]]", "[[first name]]"),
        ("Dear ,", "Dear ,"),
        ("Dear,", "Dear,"),
        ("  Dear null,", "Dear null,"),
        ("尊敬的：", "尊敬的："),
        ("亲爱的 ，", "亲爱的 ，"),
        ("Hello ,", "Hello ,"),
        ("Hi undefined!", "Hi undefined!"),
        ("您好 none，", "您好 none，"),
        ("新品\n\n尊敬的 ，\n您好", "尊敬的 ，"),
    ],
)
def test_what_was_left_open_is_found(text, field):
    assert found(text) == [field]


@pytest.mark.parametrize(
    "text",
    [
        "Hello, Ada", "Hello,", "您好，", "Dear Ada,", "尊敬的王女士：", "亲爱的朋友，", "Dear customer,", "Hi null-modem fans,",
        "100%% off", "5 %% of", "{ a }", "{{}}", "{{ never closed", "*| x", "$5 {a}", "a <% b", "[1]", "[[1]]", "二**|二",
        "{{\n}}", "We wrote: dear,", "Dear" + " " * 50 + ",",
    ],
)  # fmt: skip
def test_other_text_is_left_alone(text):
    assert found(text) == []
