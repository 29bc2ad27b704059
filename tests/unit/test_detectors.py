"""Detectors: each kind found as people write it, each near miss left alone, no value ever shown."""

import tomllib
from datetime import date
from random import Random

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stdnum.cn import ric

from relay.policy.detectors import PERSONAL, SECRETS, accounts, addresses, digits, personal_data, secret_data, secrets
from relay.policy.detectors.contacts import is_mobile_range
from relay.policy.detectors.digits import MOST_NUMBERS, outline
from relay.policy.detectors.hit import MOST_HITS
from relay.policy.detectors.identity import is_county_of_its_time
from tests.support.false_positives import CANDIDATES, FILE, SHAPES, measure

UNTIL = date(2026, 11, 22)


def found(text: str) -> list[tuple[str, bool]]:
    return [(hit.kind, hit.sure) for hit in personal_data(text, UNTIL).hits]


SURE = [
    ("cn-id", "11010519491231002X"),
    ("cn-id", "身份证号：110105 19491231 002x。"),
    ("cn-id", "110105-19491231-002X"),
    ("cn-id", "110101 1980 0101 0010"),
    ("cn-id", "身份证 441900197001010010"),  # Dongguan: its code is younger than the person, so only the word makes it sure
    ("cn-passport", "护照号码 EA1234567"),
    ("cn-passport", "Passport no. E12345678."),
    ("cn-travel-permit", "港澳通行证 C12345678"),
    ("cn-travel-permit", "回乡证H1234567801"),
    ("hk-id", "HKID: A123456(3)"),
    ("tw-id", "台湾身份证 A123456789"),
    ("sg-nric", "NRIC S1234567D"),
    ("us-ssn", "SSN 123-45-6789"),
    ("kr-rrn", "주민등록번호 800101-2345671"),
    ("jp-my-number", "マイナンバー 123456789018"),
    ("br-cpf", "111.444.777-35"),
    ("br-cpf", "cpf 11144477735"),
    ("bank-card", "6222 0212 3456 7890 128"),
    ("bank-card", "6222021234567890128"),
    ("bank-card", "4111-1111-1111-1111"),
    ("bank-card", "卡号5555555555554444"),
    ("bank-card", "Amex card 378282246310005"),
    ("iban", "DE89370400440532013000"),
    ("iban", "Pay to GB82 WEST 1234 5698 7654 32 TODAY"),
    ("cn-company", "统一社会信用代码91350100M000100Y43"),
    ("cn-mobile", "手机 13812345678"),
    ("cn-mobile", "Tel: +86 138-1234-5678"),
    ("cn-mobile", "电话 8613812345678"),
    ("cn-mobile", "电话 138\u00a01234\u20115678"),
]


@pytest.mark.parametrize(("kind", "text"), SURE)
def test_a_number_with_what_says_so_is_sure(kind, text):
    assert (kind, True) in found(text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("cn-id", "441900197001010010"),
        ("cn-mobile", "13812345678"),
        ("bank-card", "4111111111111111"),
        ("us-ssn", "123-45-6789"),
        ("tw-id", "A123456789"),
        ("hk-id", "A123456(3)"),
        ("sg-nric", "S1234567D"),
        ("kr-rrn", "800101-2345671"),
    ],
)
def test_a_number_that_another_could_be_is_unsure(kind, text):
    assert (kind, False) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "110105194912310021",  # check digit
        "99010519491231002X",  # province
        "110105194913310005",  # month
        "11010520990101002X",  # not born yet
        "1110105194912310021X",  # part of a longer number
        "EA1234567 and E12345678",  # no word
        "护照 XA1234567",
        "A123456(4)",
        "NRIC S1234567A",
        "SSN 078-05-1120, ssn 000-12-3456, ssn 123456789",
        "4111111111111112",
        "卡号 1234567890123452",  # no issuer
        "DE89370400440532013001",
        "ZZ89370400440532013000",
        "91350100M000100Y44",
        "手机 12812345678",
        "order 138123456789",
        "111.444.777-36",
        "2026-11-22 10:00, CNY 1,299.00, 400-810-8888",
    ],
)
def test_a_near_miss_is_no_hit(text):
    assert found(text) == []


@given(st.text(st.sampled_from("0123456789 -\u00a0\u2000\u200a\u2010\u2013\u202fABx.，中\U0001f600\ud800"), max_size=40))
@example("1\u20002\u200a3\u20104\u20135\u202f6")
@example("DE89")
def test_no_number_or_account_is_missed_for_the_outline_of_its_text(text):
    drawn = outline(text)
    assert digits.OUTLINE in drawn or digits._RUN.search(text) is None
    assert accounts.OUTLINE in drawn or accounts._IBAN_START.search(text) is None


def test_a_number_that_starts_inside_another_is_not_one():
    assert found("手机 913812345678 x") == found("手机 138123456789") == []


def test_each_number_of_a_line_of_numbers_is_found_once():
    text = "手机\n13812345678 13912345678,13812345678\n13712345678-13612345678"
    assert len([hit for hit in personal_data(text, UNTIL).hits if hit.kind == "cn-mobile"]) == 4


def test_the_first_line_names_the_columns_of_a_table():
    table = "姓名,电话\n" + "\n".join(f"Ada{number},1381234567{number}" for number in range(9))
    assert found(table) == [("cn-mobile", True)] * 9
    assert found("Ada0,13812345670\n" * 9) == [("cn-mobile", False)]


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("11010519491231002X", "110***********002X"),
        ("手机 13812345678", "138******78"),
        ("SSN 123-45-6789", "1*******9"),
    ],
)
def test_a_sample_hides_the_middle_and_the_hit_never_says_the_value(value, masked):
    (hit,) = personal_data(value, UNTIL).hits
    assert hit.sample == masked
    assert hit.value not in repr(hit)


def test_a_county_that_is_not_listed_raises_no_error():
    """The library raises KeyError where it knows the province only."""
    with pytest.raises(KeyError):
        ric.get_birth_place("119999198001010000")
    assert not is_county_of_its_time("1199991980")
    assert is_county_of_its_time("1101051980")


def test_five_digits_tell_a_mobile_range():
    random = Random(6)
    mobile = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
    for _ in range(2000):
        digits = f"1{random.randrange(10**10):010d}"
        number = phonenumbers.PhoneNumber(country_code=86, national_number=int(digits))
        assert (phonenumbers.number_type(number) in mobile) == is_mobile_range(digits[:5])


SECRET = [
    ("private-key", "-----BEGIN RSA PRIVATE KEY-----\nMIIE", "-----BEGIN***"),
    ("private-key", "-----BEGIN PRIVATE KEY-----", "-----BEGIN***"),
    ("aws-key", "id=AKIAABCDEFGHIJKLMNOP.", "AKIA***"),
    ("alibaba-key", "LTAI" + "a1" * 10, "LTAI***"),
    ("tencent-key", "AKID" + "a1" * 16, "AKID***"),
    ("github-token", "ghp_" + "a1" * 18, "ghp_***"),
    ("github-token", "github_pat_" + "a_" * 41, "github_pat_***"),
    ("gitlab-token", "glpat-" + "a-" * 10, "glpat-***"),
    ("stripe-key", "sk_live_" + "a1" * 12, "sk_***"),
    ("slack-token", "xoxb-123456789012-abcdef", "xox***"),
    ("google-key", "AIza" + "a1_-b" * 7, "AIza***"),
    ("sendgrid-key", "SG." + "a" * 22 + "." + "b" * 43, "SG.***"),
    ("jwt", "token: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "a" * 43, "eyJ***"),
    ("password", "Password: hunter22!", "***"),
    ("password", "您的密码为: Abc12345。", "***"),
    ("url-password", "ftp://ada:secret@files.example.com/", "***"),
]


@pytest.mark.parametrize(("kind", "text", "sample"), SECRET)
def test_a_secret_is_found_and_not_shown(kind, text, sample):
    (hit,) = secret_data(text)
    assert (hit.kind, hit.sample) == (kind, sample)
    assert hit.value not in repr(hit)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "AKIAABCDEFGHIJKLMNOPQ",  # longer than a key
        "XAKIAABCDEFGHIJKLMNOP",
        "https://example.com/confirm?t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "a" * 43,
        "Forgot your password? Choose one: at least 8 characters",
        "密码：请登录后在个人中心设置",
        "Password: ********",
        "password: https://example.com/reset1",
        "Your code is 482913",
        "https://example.com:8080/a@b",
        "sk_live_short",
    ],
)
def test_what_only_talks_of_secrets_is_none(text):
    assert secret_data(text) == ()


def test_addresses_of_people():
    text = (
        "Ada <ada@x.example>, 联系wang.min@mail.example.cn或 ADA@X.example; @ada a@b 1@2.3 x@example.com1 mailto:b+c@d-e.example."
    )
    assert [text[start:end] for start, end in addresses(text)] == [
        "ada@x.example", "wang.min@mail.example.cn", "ADA@X.example", "b+c@d-e.example",
    ]  # fmt: skip


def test_every_kind_has_a_text_that_shows_it():
    assert {kind for kind, _ in SURE} == PERSONAL.keys()
    assert {kind for kind, *_ in SECRET} == SECRETS.keys()
    for kind in (*PERSONAL.values(), *SECRETS.values()):
        assert kind.title.isascii()
        assert not kind.title_zh.isascii()
        assert all(word == word.casefold() for word in kind.words)


MEASURED = tomllib.loads(FILE.read_text("utf-8"))["measured"]


def test_false_positives_of_every_kind_are_written_down():
    assert {one["kind"] for one in MEASURED} == PERSONAL.keys() | SECRETS.keys()
    assert all(one["candidates"] >= 200_000 for one in MEASURED)
    assert [(one["kind"], one["of"]) for one in MEASURED] == [(kind, shape.of) for shape in SHAPES for kind in shape.kinds]


def test_false_positives_are_what_was_measured():
    """Five standard deviations and two: what a change of a detector makes worse is seen, chance is not."""
    few = CANDIDATES // 200
    for one, said in zip(measure(few, seed=7), MEASURED, strict=True):
        for key in ("sure", "unsure"):
            rate = said[key] / said["candidates"]
            assert abs(getattr(one, key) - few * rate) <= 5 * (few * rate * (1 - rate)) ** 0.5 + 2, (one, said)


def test_the_hits_of_a_text_are_bounded_and_a_text_with_too_many_numbers_says_so():
    lines = [f"13{number:09d}" for number in range(MOST_NUMBERS - 1)]
    assert len(personal_data("\n".join(lines), UNTIL).hits) <= MOST_HITS * 3
    assert personal_data("\n".join(lines), UNTIL).numbers == len(lines)
    assert personal_data("\n".join([*lines, *lines]), UNTIL).numbers == MOST_NUMBERS + 1
    assert (
        len(
            secret_data(
                "\n".join(f"AKIAABCDEFGHIJ{a}{b}{c}{d}K7" for a in LETTERS for b in LETTERS for c in "ABCDEFG" for d in "AB")
            )
        )
        == MOST_HITS
    )


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

BEGINNINGS = sorted(letters for shape in secrets._SHAPES for letters in shape.begins)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([*BEGINNINGS, *secrets._PASSWORD_WORDS, "PaSsWoRd", "PWD", "\u212a", "\u0130", "\u017f", "\ud800"]),
            st.text(max_size=3),
            st.sampled_from([".", "x", "密"]).map(lambda one: one * 65_530),
        ),
        max_size=6,
    )
)
def test_what_begins_a_secret_is_seen_in_one_pass(said):
    """What is not found there is not looked for by itself."""
    text = "".join(said)
    present = secrets._present(text)
    assert present >= {letters.lower() for letters in BEGINNINGS if letters in text}
    assert present >= {word for word in secrets._PASSWORD_WORDS if word in text.lower()}


def test_no_word_that_begins_a_secret_is_longer_than_what_two_looks_share():
    assert max(map(len, [*BEGINNINGS, *secrets._PASSWORD_WORDS])) <= secrets._LONGEST
