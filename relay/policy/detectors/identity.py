"""Numbers that states give to people: format, check digits, and the words that say what a number is.

Sources of the formats: GB 11643-1999 (resident identity number), SSA (SSN),
the Hong Kong, Singapore and Taiwan check digits as their issuers publish them;
python-stdnum for SSN, RRN, My Number and CPF.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache

from relay.policy.detectors.digits import Candidate
from relay.policy.detectors.hit import Hit, Kind, Scan
from relay.policy.detectors.lists import registers

CN_ID = Kind(
    "cn-id",
    "PRC resident identity number",
    "居民身份证号码",
    ("身份证", "证件", "居民身份", "公民身份", "id card", "identity card", "id no", "id number", "national id", "resident id"),
)
CN_PASSPORT = Kind("cn-passport", "PRC passport number", "中国护照号码", ("护照", "passport"))
CN_PERMIT = Kind(
    "cn-travel-permit",
    "Travel permit of Hong Kong, Macau or Taiwan",
    "港澳台通行证号码",
    ("通行证", "回乡证", "台胞证", "travel permit"),
)
HK_ID = Kind(
    "hk-id", "Hong Kong identity card number", "香港身份证号码", ("身份证", "身份證", "hkid", "identity card", "id card", "id no")
)
TW_ID = Kind(
    "tw-id",
    "Taiwan identity number",
    "台湾身份证号码",
    ("身份证", "身份證", "居留", "identity card", "id card", "id no", "national id"),
)
SG_NRIC = Kind(
    "sg-nric", "Singapore NRIC or FIN", "新加坡身份证号码", ("nric", "fin no", "fin:", "identity card", "id no", "身份证")
)
US_SSN = Kind("us-ssn", "US social security number", "美国社会安全号码", ("ssn", "social security", "社会安全", "社保号"))
KR_RRN = Kind(
    "kr-rrn",
    "Korean resident registration number",
    "韩国居民登记号码",
    ("주민등록", "주민번호", "rrn", "resident registration", "居民登记"),
)
JP_MY_NUMBER = Kind(
    "jp-my-number",
    "Japanese individual number",
    "日本个人编号",
    ("マイナンバー", "個人番号", "个人番号", "my number", "mynumber", "individual number"),
)
BR_CPF = Kind("br-cpf", "Brazilian CPF number", "巴西个人税号", ("cpf",))

KINDS = (CN_ID, CN_PASSPORT, CN_PERMIT, HK_ID, TW_ID, SG_NRIC, US_SSN, KR_RRN, JP_MY_NUMBER, BR_CPF)

_PROVINCES = frozenset(
    str(code)
    for codes in (range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66), (71, 81, 82, 83))
    for code in codes
)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_PASSPORT = re.compile(r"E[0-9A-HJ-NP-Z][0-9]{7}|[DSGPH][0-9]{8}")
_PERMIT = re.compile(r"[CW][0-9A-Z][0-9]{7}|[HM](?:[0-9]{8}|[0-9]{10})|[LT][0-9]{8}")
_TAIWAN_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"  # the first letter stands for 10, the last for 35
_NRIC_LETTERS = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}
_NRIC_ADDED = {"S": 0, "F": 0, "T": 4, "G": 4, "M": 3}
_CPF_END = re.compile(r"-(?<=[0-9]{3}\.[0-9]{3}\.[0-9]{3}-)[0-9]{2}(?![0-9])")  # found by its hyphen, of which there are few
_CPF_LENGTH = len("000.000.000-00")


def in_candidate(found: Candidate) -> Iterator[Hit]:
    """The identity numbers that this number may be."""
    for detect in _BY_LENGTH.get(len(found.digits), ()):
        if hit := detect(found):
            yield hit


def in_text(scan: Scan) -> Iterator[Hit]:
    """The numbers that are written with dots."""
    text = scan.text
    for match in _CPF_END.finditer(text):
        start, end = match.end() - _CPF_LENGTH, match.end()
        digits = text[start:end].replace(".", "").replace("-", "")
        if not text[start - 1 : start].isdigit() and registers().is_br_cpf(digits):
            yield Hit(BR_CPF.name, start, end, digits)


def is_resident_id(number: str, until: date) -> bool:
    """Province, birthday from 1900 on, check digit (GB 11643-1999)."""
    if number[:2] not in _PROVINCES or not "19000101" <= number[6:14] <= f"{until:%Y%m%d}":
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False))
    return number[17] == "10X98765432"[total % 11] and _is_day(number[6:14])


@lru_cache(maxsize=4096)
def is_county_of_its_time(region_and_year: str) -> bool:
    """Whether the region was one when the person was born; raises confidence only, as the list of regions is never whole."""
    return registers().has_cn_county(region_and_year)


def _is_day(text: str) -> bool:
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _hit(kind: Kind, found: Candidate, *, sure: bool = False, prefix: str = "", suffix: int = 0) -> Hit:
    """The hit with its letters; sure where a word of its kind is near."""
    start, end = found.start - len(prefix), found.end + suffix
    value = prefix + found.digits + "".join(c for c in found.after(suffix) if c.isalnum())
    return Hit(kind.name, start, end, value, sure or found.scan.says(kind, start, end))


def _resident_id(found: Candidate) -> Hit | None:
    if not is_resident_id(found.digits, found.scan.until):
        return None
    return _hit(CN_ID, found, sure=is_county_of_its_time(found.digits[:10]))


def _letters(found: Candidate, most: int) -> str:
    """The capital letters, at most so many, that stand before the number and begin the word; "" where there are none or more."""
    before = found.before(most + 1)
    letters = ""
    while before and "A" <= before[-1] <= "Z":
        letters, before = before[-1] + letters, before[:-1]
    stands_alone = len(letters) <= most and not (before[-1:].isascii() and before[-1:].isalnum())
    return letters if stands_alone else ""


def _ends_word(found: Candidate) -> bool:
    after = found.after(1)
    return not (after.isascii() and after.isalnum())


def _papers(found: Candidate) -> Hit | None:
    """Passports and permits have no check digit: without a word beside them they are no hit."""
    letters = _letters(found, 2)
    if not letters or len(found.groups) > 1 or not _ends_word(found):
        return None
    for kind, pattern in ((CN_PASSPORT, _PASSPORT), (CN_PERMIT, _PERMIT)):
        if pattern.fullmatch(letters + found.digits):
            hit = _hit(kind, found, prefix=letters)
            if hit.sure:
                return hit
    return None


def _hong_kong(found: Candidate) -> Hit | None:
    letters, check = _letters(found, 2), found.after(3)
    if not letters or len(check) != 3 or check[0] != "(" or check[2] != ")" or check[1] not in "0123456789A":
        return None
    values = [36] * (2 - len(letters)) + [ord(c) - 55 for c in letters] + [int(c) for c in found.digits]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True)) + int(check[1], 16)
    return _hit(HK_ID, found, prefix=letters, suffix=3) if total % 11 == 0 else None


def _taiwan(found: Candidate) -> Hit | None:
    letters = _letters(found, 1)
    if not letters or found.digits[0] not in "1289" or len(found.groups) > 1 or not _ends_word(found):
        return None
    tens, ones = divmod(_TAIWAN_LETTERS.index(letters) + 10, 10)
    weights = (8, 7, 6, 5, 4, 3, 2, 1, 1)
    total = tens + ones * 9 + sum(int(digit) * weight for digit, weight in zip(found.digits, weights, strict=True))
    return _hit(TW_ID, found, prefix=letters) if total % 10 == 0 else None


def _singapore(found: Candidate) -> Hit | None:
    letters, check = _letters(found, 1), found.after(2)
    if letters not in _NRIC_LETTERS or not check or (check[1:].isascii() and check[1:].isalnum()):
        return None
    total = sum(int(digit) * weight for digit, weight in zip(found.digits, (2, 7, 6, 5, 4, 3, 2), strict=True))
    expected = _NRIC_LETTERS[letters][(total + _NRIC_ADDED[letters]) % 11]
    return _hit(SG_NRIC, found, prefix=letters, suffix=1) if check[0] == expected else None


def _social_security(found: Candidate) -> Hit | None:
    dashed = found.scan.text[found.start : found.end]
    return _hit(US_SSN, found) if found.groups == (3, 2, 4) and dashed.count("-") == 2 and registers().is_us_ssn(dashed) else None


def _resident_registration(found: Candidate) -> Hit | None:
    if not (found.groups == (6, 7) or (found.groups == (13,) and found.scan.mentions(KR_RRN))):
        return None
    return _hit(KR_RRN, found) if registers().is_kr_rrn(found.digits) else None


def _individual_number(found: Candidate) -> Hit | None:
    if found.groups not in ((12,), (4, 4, 4)) or not found.scan.mentions(JP_MY_NUMBER):
        return None
    return _hit(JP_MY_NUMBER, found) if registers().is_jp_my_number(found.digits) else None


def _cpf(found: Candidate) -> Hit | None:
    if len(found.groups) > 1 or not found.scan.mentions(BR_CPF):
        return None
    return _hit(BR_CPF, found) if registers().is_br_cpf(found.digits) else None


_BY_LENGTH: dict[int, tuple[Callable[[Candidate], Hit | None], ...]] = {
    6: (_hong_kong,),
    7: (_papers, _singapore),
    8: (_papers,),
    9: (_taiwan, _social_security),
    10: (_papers,),
    11: (_cpf,),
    12: (_individual_number,),
    13: (_resident_registration,),
    18: (_resident_id,),
}
