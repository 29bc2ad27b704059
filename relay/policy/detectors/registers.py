"""What lists and check digits say of a number: ranges of mobile numbers, regions, and the rules of each issuer.

phonenumbers and python-stdnum are loaded with this module, and it is loaded by the first who asks (`registers`): the lists
are megabytes of every worker, and most streams ask for none of them.
"""

import phonenumbers
from stdnum import iban, luhn
from stdnum.br import cpf
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError
from stdnum.jp import in_ as my_number
from stdnum.kr import rrn
from stdnum.us import ssn

_MOBILES = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)


class Registers:
    """Each answers whether there can be such a number."""

    def has_cn_mobile(self, first_five: str) -> bool:
        """Whether China has mobile numbers that begin so; five digits decide it for all eleven."""
        number = phonenumbers.PhoneNumber(country_code=86, national_number=int(f"{first_five}000000"))
        return phonenumbers.number_type(number) in _MOBILES

    def has_cn_county(self, region_and_year: str) -> bool:
        """Whether the region was a county in that year; the list is never whole."""
        try:
            ric.get_birth_place(f"{region_and_year}01010000")
        except (ValidationError, KeyError):  # KeyError: its province is known, its county is not
            return False
        return True

    def is_cn_company(self, code: str) -> bool:
        return bool(uscc.is_valid(code))

    def is_us_ssn(self, number: str) -> bool:
        return bool(ssn.is_valid(number))

    def is_kr_rrn(self, number: str) -> bool:
        return bool(rrn.is_valid(number))

    def is_jp_my_number(self, number: str) -> bool:
        return bool(my_number.is_valid(number))

    def is_br_cpf(self, number: str) -> bool:
        return bool(cpf.is_valid(number))

    def is_luhn(self, digits: str) -> bool:
        return bool(luhn.is_valid(digits))

    def is_iban(self, number: str) -> bool:
        """By structure and check digits, whatever the country's own rules say."""
        return bool(iban.is_valid(number, check_country=False))
