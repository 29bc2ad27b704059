"""How often a detector takes a random number for what it looks for.

    python -m tests.support.false_positives            200,000 candidates of each shape, written beside the detectors
    python -m tests.support.false_positives 5000       fewer, shown only

The order of the shapes seeds them: new ones stand at the end.

The candidates are random numbers of a shape that other numbers have too: order
numbers, timestamps, telephone numbers.  Where a word decides, the word stands
beside the number, so that what is measured is what check digits are worth.
"""

import string
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

from relay.policy.detectors import PERSONAL, SECRETS, Hit, personal_data, secret_data
from relay.policy.detectors.linked import linked_numbers

FILE = Path(__file__).resolve().parents[2] / "relay" / "policy" / "detectors" / "false_positives.toml"
CANDIDATES = 200_000
SEED = 6
UNTIL = date(2026, 11, 22)
_UPPER, _LETTERS, _ALNUM = string.ascii_uppercase, string.ascii_letters, string.ascii_letters + string.digits
_BASE64URL = _ALNUM + "-_"
_HEX = "0123456789abcdef"
_COMPANY = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@dataclass(frozen=True)
class Shape:
    """Candidates of one shape; `kinds` are what is looked for in them."""

    kinds: tuple[str, ...]
    of: str
    of_zh: str
    make: Callable[[Random], str]
    is_link: bool = False  # what follows the host of one


@dataclass(frozen=True)
class Measured:
    kind: str
    of: str
    of_zh: str
    candidates: int
    sure: int
    unsure: int


def digits(count: int, first: str = "") -> Callable[[Random], str]:
    """`first`, and digits up to `count`."""
    left = count - len(first)
    return lambda random: f"{first}{random.randrange(10**left):0{left}d}"


def letters(count: int, among: str) -> Callable[[Random], str]:
    return lambda random: "".join(random.choices(among, k=count))


def joined(*pieces: str | Callable[[Random], str]) -> Callable[[Random], str]:
    return lambda random: "".join(piece if isinstance(piece, str) else piece(random) for piece in pieces)


def moment(form: str) -> Callable[[Random], str]:
    """A moment of the last twenty years."""
    return lambda random: f"{datetime(2007, 1, 1) + timedelta(seconds=random.randrange(20 * 365 * 86400)):{form}}"  # noqa: DTZ001 - of no zone


_SEEN = {
    "18": (digits(18), "18 random digits", "18 位随机数字"),
    "order": (joined(digits(6), moment("%Y%m%d"), digits(4)), "6 digits, a date, 4 digits", "6 位数字、日期、4 位数字"),
    "stamp": (joined(moment("%Y%m%d%H%M%S"), digits(4)), "a time of 14 digits, 4 digits", "14 位时间、4 位数字"),
}


def _link(of: str, of_zh: str, make: Callable[[Random], str]) -> Shape:
    return Shape(("cn-id", "cn-mobile", "bank-card"), of, of_zh, make, is_link=True)


def _shape(kinds: str, of: str, of_zh: str, make: Callable[[Random], str]) -> Shape:
    return Shape(tuple(kinds.split()), of, of_zh, make)


SHAPES = (
    *(_shape("cn-id cn-company", of, of_zh, make) for make, of, of_zh in _SEEN.values()),
    _shape("cn-id", 'the word "身份证" and 18 random digits', "“身份证”和 18 位随机数字", joined("身份证 ", digits(18))),
    _shape(
        "cn-passport cn-travel-permit",
        "a capital letter and 8 digits",
        "一个大写字母和 8 位数字",
        joined(letters(1, _UPPER), digits(8)),
    ),
    _shape(
        "cn-passport", 'the word "passport", a capital letter and 8 digits', "“passport”、一个大写字母和 8 位数字",
        joined("passport ", letters(1, _UPPER), digits(8)),
    ),
    _shape(
        "cn-travel-permit", 'the word "通行证", a capital letter and 8 digits', "“通行证”、一个大写字母和 8 位数字",
        joined("通行证 ", letters(1, _UPPER), digits(8)),
    ),
    _shape(
        "hk-id", "a capital letter, 6 digits and a digit in brackets", "一个大写字母、6 位数字和括号内的一位数字",
        joined(letters(1, _UPPER), digits(6), "(", digits(1), ")"),
    ),
    _shape("tw-id", "a capital letter and 9 digits", "一个大写字母和 9 位数字", joined(letters(1, _UPPER), digits(9))),
    _shape(
        "sg-nric", "a capital letter, 7 digits and a capital letter", "一个大写字母、7 位数字和一个大写字母",
        joined(letters(1, _UPPER), digits(7), letters(1, _UPPER)),
    ),
    _shape(
        "us-ssn", "3, 2 and 4 digits with hyphens", "以连字符相连的 3、2、4 位数字",
        joined(digits(3), "-", digits(2), "-", digits(4)),
    ),
    _shape("kr-rrn", "6 and 7 digits with a hyphen", "以连字符相连的 6、7 位数字", joined(digits(6), "-", digits(7))),
    _shape("kr-rrn", 'the word "주민번호" and 13 digits', "“주민번호”和 13 位数字", joined("주민번호 ", digits(13))),
    _shape("jp-my-number", "12 random digits", "12 位随机数字", digits(12)),
    _shape("jp-my-number", 'the word "個人番号" and 12 digits', "“個人番号”和 12 位数字", joined("個人番号 ", digits(12))),
    _shape(
        "br-cpf", "11 digits with dots and a hyphen", "带点和连字符的 11 位数字",
        joined(digits(3), ".", digits(3), ".", digits(3), "-", digits(2)),
    ),
    _shape("br-cpf", 'the word "CPF" and 11 digits', "“CPF”和 11 位数字", joined("CPF ", digits(11))),
    _shape("bank-card", "16 random digits", "16 位随机数字", digits(16)),
    _shape("bank-card", "19 random digits", "19 位随机数字", digits(19)),
    _shape("bank-card", "62 and 17 random digits", "62 和 17 位随机数字", digits(19, "62")),
    _shape(
        "bank-card", "four groups of four digits", "四组四位数字",
        joined(digits(4), " ", digits(4), " ", digits(4), " ", digits(4)),
    ),
    _shape("iban", "DE and 20 digits", "DE 和 20 位数字", joined("DE", digits(20))),
    _shape("cn-company", "18 letters and digits of its alphabet", "18 位其字符集内的字母和数字", letters(18, _COMPANY)),
    _shape("cn-mobile", "1 and 10 random digits", "1 和 10 位随机数字", digits(11, "1")),
    _shape("cn-mobile", "11 random digits", "11 位随机数字", digits(11)),
    _shape(" ".join(SECRETS), "400 random letters of BASE64", "400 个 BASE64 随机字符", letters(400, _ALNUM + "+/")),
    _shape(
        "jwt", "eyJ and 200 random letters of BASE64URL", "eyJ 和 200 个 BASE64URL 随机字符",
        joined("eyJ", letters(200, _BASE64URL)),
    ),
    _shape(
        "password", 'the word "password" and 10 random letters', "“password”和 10 个随机字母",
        joined("Password: ", letters(10, _LETTERS)),
    ),
    _link("a link with ?t= and 32 hexadecimal digits", "链接中 ?t= 和 32 位十六进制数", joined("/r?t=", letters(32, _HEX))),
    _link("a link with /r/ and 22 letters of BASE64URL", "链接中 /r/ 和 22 个随机字符", joined("/r/", letters(22, _BASE64URL))),
    _link("a link with ?id= and 11 digits", "链接中 ?id= 和 11 位数字", joined("/?id=", digits(11))),
    _link("a link with ?id= and 18 digits", "链接中 ?id= 和 18 位数字", joined("/?id=", digits(18))),
    _link("a link with ?id= and 19 digits", "链接中 ?id= 和 19 位数字", joined("/?id=", digits(19))),
    _link(
        "a link with ?order=, 6 digits, a date, 4 digits", "链接中 ?order= 和 6 位数字、日期、4 位数字",
        joined("/?order=", digits(6), moment("%Y%m%d"), digits(4)),
    ),
    _link("a link with /u/ and 11 digits", "链接中 /u/ 和 11 位数字", joined("/u/", digits(11))),
)  # fmt: skip
"""Every kind in at least one shape that is common in mail."""


def measure(candidates: int, seed: int = SEED) -> list[Measured]:
    """Search so many candidates of each shape."""
    return [one for number, shape in enumerate(SHAPES) for one in _of(shape, candidates, Random(f"{seed} {number}"))]


def _of(shape: Shape, candidates: int, random: Random) -> list[Measured]:
    counts = {(kind, sure): 0 for kind in shape.kinds for sure in (True, False)}
    search = _search_of(shape)
    for _ in range(candidates):
        for hit in search(shape.make(random)):
            if hit.kind in shape.kinds:
                counts[hit.kind, hit.sure] += 1
    return [Measured(kind, shape.of, shape.of_zh, candidates, counts[kind, True], counts[kind, False]) for kind in shape.kinds]


def _search_of(shape: Shape) -> Callable[[str], Iterable[Hit]]:
    if shape.is_link:
        return lambda rest: linked_numbers(rest, UNTIL)
    return (lambda text: personal_data(text, UNTIL).hits) if shape.kinds[0] in PERSONAL else secret_data


def written(measured: list[Measured]) -> str:
    """The file, every kind with its shapes."""
    tables = [
        f"[[measured]]\nkind = \"{one.kind}\"\nof = '{one.of}'\nof_zh = '{one.of_zh}'\n"
        f"candidates = {one.candidates}\nsure = {one.sure}\nunsure = {one.unsure}\n"
        for one in measured
    ]
    head = (
        "# How many of so many random candidates a detector took for its kind; `sure` ones object by default, `unsure` ones\n"
        '# where a rule says confidence = "low". Written by: python -m tests.support.false_positives\n'
    )
    return "\n".join([head, *tables])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.stdout.write(written(measure(int(sys.argv[1]))))
    else:
        FILE.write_text(written(measure(CANDIDATES)), "utf-8")
