"""Template fields that nobody filled in, and what only looks like one."""

from pathlib import Path

import pytest

from relay.policy.words.template_fields import syntax_of, template_fields, unfilled

SENTENCES = Path(__file__).with_name("sentences")


def sentences(name: str) -> list[str]:
    lines = (SENTENCES / f"{name}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("# ")]


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in template_fields(text)]


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
        "{{\n}}", "{{name}", "{name}}", "[[NAME]", "[NAME]]", "$ {x}", "%name", "We wrote: dear,", "Dear" + " " * 50 + ",",
    ],
)  # fmt: skip
def test_other_text_is_left_alone(text):
    assert found(text) == []


def test_ordinary_mail_with_such_marks_is_left_alone():
    ordinary = sentences("bracketed")
    assert len(set(ordinary)) == len(ordinary) >= 60
    assert [sentence for sentence in ordinary if found(sentence)] == []


def test_every_field_that_was_left_open_is_found():
    left_open = sentences("unfilled")
    assert len(set(left_open)) == len(left_open) >= 50
    assert [sentence for sentence in left_open if len(found(sentence)) != 1] == []


@pytest.mark.parametrize(
    ("text", "field", "syntax"),
    [
        ("Hello {name}, hi", "{name}", "{...}"),
        ("Hello {{name}}", "{{name}}", "{{...}}"),
        ("Hello ${name}", "${name}", "${...}"),
        ("Hello %%name%%", "%%name%%", "%%...%%"),
        ("Hello %name%", "%name%", "%...%"),
        ("{%name%}", "{%name%}", "{%...%}"),
        ("For [NAME] only", "[NAME]", "[...]"),
        ("Dear [Name], hi", "Dear [Name]", ""),
        ("Dear null", "Dear null", ""),
    ],
)
def test_a_field_is_found_once_and_named_by_how_it_is_written(text, field, syntax):
    assert [(one, syntax_of(one)) for one in found(text)] == [(field, syntax)]


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("https://a.example/?e={email}", ["{email}"]),
        ("https://a.example/u/{email}", ["{email}"]),
        ("https://a.example/u/%first_name%", ["%first_name%"]),
        ("https://a.example/?u=[NAME]", []),
        ("https://a.example/users/{id}", []),
        ("https://a.example/%E5%A7%93?a=%20name%20", []),
    ],
)
def test_fields_of_addresses(address, fields):
    assert [address[start:end] for start, end in unfilled(address, in_link=True)] == fields


@pytest.mark.parametrize(
    "line", ["Dear null" + " " * 200 + "pointers, hello", "Dear undefined " + "x" * 200, "Hi null"[:5] + "x"]
)
def test_a_greeting_is_cut_nowhere(line):
    assert found(line) == []
