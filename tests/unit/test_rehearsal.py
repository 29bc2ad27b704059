"""Cases of policy files: what they may say, what stands for itself, and what is said of one that does not hold."""

import re

import pytest

from relay.errors import ConfigurationError
from relay.policy.rehearsing.rehearsal import read_rehearsals
from relay.render.rehearsing import differences, failures, require_cases_to_hold
from tests.support.policies import shipped_files, word_rule

HEAD = '[stream]\npurpose = "marketing"\n'


def cases(text: str, **files: str):
    """The rehearsals of one file of cases beside the shipped packs; `files` changes or adds whole packs."""
    set_ = {name: octets for name, octets in shipped_files().items() if not name.startswith("tests/")}
    set_ |= {f"packs/{name}.toml": pack.encode() for name, pack in files.items()}
    return read_rehearsals(set_ | {"tests/mine.toml": text.encode()})


def case(lines: str, head: str = HEAD, **files: str):
    (one,) = cases(f'{head}\n[[case]]\nname = "mine"\n{lines}\n', **files)
    return one


def said(rehearsal) -> list[str]:
    return [one.text for one in differences(rehearsal)]


def test_a_case_stands_for_itself():
    """No fact of the admin's organisation changes a case of a pack."""
    facts = {"organisation.toml": shipped_files()["organisation.toml"].replace(b'country = "CN"', b'country = "DE"')}
    pack = '[pack]\nversion = "1"\n[applies]\nany = [{ organisation = "CN" }]\n' + word_rule("offer")
    own = f'{HEAD}packs = ["base", "cn"]\n[organisation]\ncountry = "CN"\n[[case]]\nname = "a"\nsubject = "offer"\n'
    text = own + 'expect = "reject"\nobjects = ["cn/no-word"]\n'
    set_ = shipped_files() | {"packs/cn.toml": pack.encode(), "tests/mine.toml": text.encode()}
    mine = [[one for one in read_rehearsals(files) if one.file == "tests/mine.toml"] for files in (set_, set_ | facts)]
    assert [failures(one) for one in mine] == [(), ()]


def test_facts_are_taken_key_by_key_the_nearest_first():
    text = (
        f'{HEAD}[organisation]\ncountry = "CN"\nprivacy_url = ""\n[defaults]\norganisation = {{ time_zone = "Asia/Shanghai" }}\n'
        '[[case]]\nname = "a"\norganisation = { country = "DE" }\nexpect = "permit"\n'
    )
    (one,) = cases(text)
    facts = one.policy.organisation
    assert (facts.country, facts.privacy_url, facts.time_zone, facts.legal_name.en) == (
        "DE",
        "",
        "Asia/Shanghai",
        "Example Company Ltd.",
    )


def test_a_stream_of_the_set_brings_its_rules_and_the_facts():
    one = case('expect = "permit"', head='stream = "receipts"\n')
    assert (one.stream.name, one.policy.organisation.country) == ("receipts", "CN")
    other = case('expect = "permit"\norganisation = { country = "DE" }', head='stream = "receipts"\n')
    assert (other.stream.name, other.policy.organisation.country) == ("receipts", "DE")


def test_each_makes_one_case_of_every_value():
    made = cases(f'{HEAD}[[case]]\nname = "a"\neach = ["x", "y"]\nsubject = "{{}} {{}}"\nexpect = "permit"\n')
    assert [(one.name, one.case.message.subject) for one in made] == [("a [x]", "x x"), ("a [y]", "y y")]


def test_a_message_may_be_written_whole():
    one = case('raw = """\nFrom: news@example.com\nSubject: a\n b\n\nHello\n"""\nexpect = "permit"')
    assert (one.case.message.subject, one.case.message.body) == ("a b", b"Hello\r\n")


def test_fields_are_added_replaced_repeated_and_taken_away():
    one = case('subject = "a"\nfields = { subject = "b", Date = "", "X-A" = ["1", "2"] }\nexpect = "permit"')
    message = one.case.message
    assert (message.subject, message.first("date"), [field.value for field in message.all("x-a")]) == ("b", None, [b"1", b"2"])


def test_at_rcpt_there_is_no_message():
    one = case('phase = "rcpt"\nexpect = "permit"\nunasked = ["base/one-from"]')
    assert one.case.message is None
    assert not differences(one)


@pytest.mark.parametrize(("at", "holds"), [("2026-06-30", True), ("2026-07-01", False), ("2026-06-30T16:30:00Z", False)])
def test_a_day_is_the_organisations(at, holds):
    """An exemption ends with its day, where the organisation is."""
    exempt = 'exempt = [{ recipients = ["ada@example.org"], rules = ["*/no-word"], reason = "r", by = "b", until = 2026-06-30 }]'
    one = case(
        f'at = {at}\nsubject = "offer"\nexpect = "warn"\norganisation = {{ time_zone = "Asia/Shanghai", {exempt} }}',
        head=f"{HEAD}{word_rule('offer').replace('[[rule]]', '[[stream.rule]]')}",
    )
    assert (not differences(one)) is holds


def test_without_a_day_the_packs_were_just_reviewed():
    pack = '[pack]\nversion = "1"\nreviewed_on = 2020-05-05\nexpires_on = 2021-05-05\n' + word_rule("offer")
    assert not differences(case('expect = "permit"', head=f'{HEAD}packs = ["base", "old"]\n', old=pack))
    late = case('expect = "defer"\nat = 2021-05-06\nobjects = ["old/expired"]', head=f'{HEAD}packs = ["base", "old"]\n', old=pack)
    assert not differences(late)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            'to = "a@example.org, b@example.org"\nexpect = "permit"',
            ["expected permit, found reject by base/mass-disclosure (reject: 2 shown, 1 allowed)"],
        ),
        ('expect = "reject"', ["expected reject, found permit"]),
        ('expect = "permit"\nobjects = ["base/one-from"]', ["base/one-from has nothing against it"]),
        (
            'to = "a@example.org, b@example.org"\nexpect = "reject"\npasses = ["base/mass-disclosure"]',
            ["base/mass-disclosure objects (2 shown, 1 allowed)"],
        ),
        (
            'expect = "permit"\npasses = ["base/mass-disclosure-service"]',
            ["base/mass-disclosure-service is not asked (purpose)"],
        ),
        ('expect = "permit"\nunasked = ["base/one-from"]', ["base/one-from is asked"]),
        (
            'from = "boss@another.example"\nsubject = "offer"\nexpect = "reject"\nobjects = ["cases/mild"]',
            ["cases/mild: warn only; reject is by base/ownership"],
        ),
    ],
)
def test_what_does_not_hold_is_told(lines, told):
    mild = word_rule("offer", "mild").replace("[[rule]]", "[[stream.rule]]").replace("reject", "warn")
    assert said(case(lines, head=HEAD + mild)) == told


LETTER = 'subject = "Spring"\nhtml = "<p>Hello.</p><img src=\\"https://t.example.org/o.gif\\" width=\\"1\\" height=\\"1\\">"\n'
LAW = """[pack]
version = "1"
[[duty]]
id = "label"
do = "label"
label = "SG"
[[duty]]
id = "footer"
do = "footer"
show = ["unsubscribe", "identity"]
[[duty]]
id = "pixels"
do = "remove-pixels"
if_impossible = "warn"
[[duty]]
id = "fields"
do = "add-fields"
fields = ["List-Id"]
"""
UNDER = f'{HEAD}packs = ["base", "law"]\nunsubscribe = {{ one_click = true }}\n'
SEALED = """
raw = '''
From: news@example.com
Subject: Spring
Content-Type: multipart/signed; boundary="s"

--s
Content-Type: text/html

<p>Hello.</p><img src="https://t.example.org/o.gif" width="1" height="1">
--s--
'''
"""


@pytest.mark.parametrize(
    ("copy", "told"),
    [
        ('subject = "<ADV> Spring"', []),
        ('subject = "Spring"', ["subject: expected Spring, found <ADV> Spring"]),
        ("footer = true", []),
        ('footer = "en"', []),
        ("footer = false", ["footer: expected false, found true"]),
        ('footer = "zh"', ["footer: expected zh, found en"]),
        ('says = ["Sent by: Example Company Ltd.", "Unsubscribe (free"]', []),
        ('says = ["Postal address"]', ['"Postal address" is not written into text part 1, html part 2']),
        ('says = ["Hello."]', ['"Hello." is not written into text part 1, html part 2']),
        ("pixels_removed = 1", []),
        ("pixels_removed = 0", ["pixels removed: expected 0, found 1"]),
        ('adds = ["list-id"]', []),
        ("adds = []", ["fields added: expected none, found list-id"]),
        ('removes = ["X-Internal-A"]', []),
        ('removes = ["X-B"]', ["fields removed: expected x-b, found x-internal-a"]),
        ('done = ["base/internal-fields", "law/label", "law/footer", "law/pixels", "law/fields"]', []),
        ('done = ["law/label"]', ["duties done: expected law/label, found base/internal-fields, law/fields, law/footer, law/la"]),
        ('left_out = ["law/pixels"]', ["left out: expected law/pixels, found none"]),
        ('impossible = "law/footer"', ["a copy can be made in spite of law/footer"]),
    ],
)
def test_a_case_says_what_the_copy_is_like(copy, told):
    one = case(f'{LETTER}fields = {{ X-Internal-A = "1" }}\nexpect = "permit"\ncopy = {{ {copy} }}', head=UNDER, law=LAW)
    found = said(one)
    assert len(found) == len(told)
    assert all(text.startswith(expected) for text, expected in zip(found, told, strict=True)), found


def test_of_people_the_copy_is_as_they_wrote_it():
    head = '[stream]\npurpose = "correspondence"\npacks = ["base", "law"]\n'
    as_it_was = 'copy = { subject = "Spring", footer = false, pixels_removed = 0, adds = [], removes = [], done = [] }'
    assert said(case(f'{LETTER}expect = "permit"\n{as_it_was}', head=head, law=LAW)) == []


def test_a_case_says_that_there_is_no_copy_or_what_it_lacks():
    assert said(case(f'{SEALED}expect = "permit"\ncopy = {{ impossible = "law/footer" }}', head=UNDER, law=LAW)) == []
    (told,) = said(case(f'{SEALED}expect = "permit"\ncopy = {{ footer = true }}', head=UNDER, law=LAW))
    assert told == "no copy can be made: law/footer: the message is signed or encrypted, so its text cannot have a footer"
    pixels = LAW.replace('do = "footer"', 'do = "footer"\nif_impossible = "warn"')
    both = 'copy = { left_out = ["law/footer", "law/pixels"], footer = false, pixels_removed = 0, subject = "<ADV> Spring" }'
    assert said(case(f'{SEALED}expect = "permit"\n{both}', head=UNDER, law=pixels)) == []
    shadow = UNDER + 'mode = "shadow"\n'
    assert said(case(f'{SEALED}expect = "permit"\n{both}', head=shadow, law=LAW)) == []


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('expect = "reject"\ncopy = { footer = true }', "copy: only mail that the rules let leave has one"),
        ('expect = "permit"\nphase = "rcpt"\ncopy = { footer = true }', "copy: only mail that the rules let leave has one"),
        ('expect = "permit"\ncopy = { impossible = "a/b", footer = true }', "impossible says that there is no copy"),
        ('expect = "permit"\ncopy = { footer = "Japanese" }', "copy.footer"),
        ('expect = "permit"\ncopy = { label = "CN" }', "copy.label"),
    ],
)
def test_what_cannot_be_said_of_a_copy_is_refused(lines, fault):
    with pytest.raises(ConfigurationError) as refused:
        case(lines)
    assert fault in str(refused.value)
    assert "tests/mine.toml: line" in str(refused.value)


def test_a_duty_that_can_be_done_to_nobody_may_be_expected():
    head = f'{UNDER}override = [{{ rule = "law/facts", action = "warn", reason = "r", by = "b", until = 2099-01-01 }}]\n'
    needs = '[[rule]]\nid = "facts"\ncheck = "organisation-facts"\nfacts = ["legal_name"]\n'
    lines = 'organisation = { legal_name = { zh = "", en = "" } }\nexpect = "defer"\nobjects = ["law/footer", "law/facts"]'
    assert said(case(lines, head=head, law=LAW.replace("[[duty]]", f"{needs}[[duty]]", 1))) == []


def test_a_rule_that_fails_is_no_answer():
    rule = '[[stream.rule]]\nid = "odd"\nwhen = "100 / (size(message.subject) - 4) > 2"\ntext = "Odd"\ntext_zh = "怪"\n'
    (told,) = said(case('expect = "permit"', head=HEAD + rule))
    assert told.startswith("the rule cases/odd could not be evaluated: ")


def test_a_set_whose_cases_do_not_hold_names_file_line_and_remedy():
    set_ = shipped_files() | {"tests/mine.toml": b'[[case]]\nname = "mine"\nexpect = "reject"\n'}
    with pytest.raises(ConfigurationError) as refused:
        require_cases_to_hold(set_)
    first, remedy = str(refused.value).split("\n")
    assert first == "tests/mine.toml: line 2: mine: expected reject, found permit / 应为 reject，实为 permit"
    assert re.match(r"of \d+ cases in tests/ 1 do not hold: correct the rule, or the case .* / tests/ 中", remedy)


def test_the_shipped_cases_are_counted():
    assert require_cases_to_hold(shipped_files()) == len(read_rehearsals(shipped_files())) > 80
