"""Where people are, as far as the consent ledger knows: the country that an event of it names.

The address tells a country at best by its last label, and that of most
mailboxes tells none.  What people said of themselves is the better source.  A
request to confirm names no country yet: anybody can type anybody's address
into a form.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from relay.policy.consents.consent import ConsentEvent, EventKind

_ASSIGNED = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""

COUNTRIES = frozenset(_ASSIGNED.split())
"""ISO 3166-1 alpha-2: every code that is assigned."""

NO_COUNTRY = "is no country of ISO 3166-1: write its two letters, as KR; the United Kingdom is GB"
NO_COUNTRY_ZH = "不是 ISO 3166-1 国家代码：请写两个字母，如 KR；英国为 GB"


def require_country(code: str) -> str:
    """The code. Raises ValueError where it is not assigned."""
    if code not in COUNTRIES:
        raise ValueError(f'"{code}" {NO_COUNTRY} / {NO_COUNTRY_ZH}')
    return code


Country = Annotated[str, Field(json_schema_extra={"enum": sorted(COUNTRIES)}), AfterValidator(require_country)]
"""As tables and programs give it."""


@dataclass(frozen=True, slots=True)
class Residence:
    """Where somebody is by the last word on it, and when that was said.

    Several countries only where different ones were named for the same moment.  `is_presumed`: a list of recipients
    says so, and the ledger does not.
    """

    countries: frozenset[str]
    at: float
    is_presumed: bool = False


def countries_of(residence: Residence | None) -> frozenset[str]:
    """Where that is; nowhere when nobody said."""
    return residence.countries if residence else frozenset()


def residence_of(events: Iterable[ConsentEvent]) -> Residence | None:
    """What holds of a mailbox with these events, in whatever order they were recorded; None where none names a country.

    An event that names none takes nothing back: who withdraws a consent lives where they lived before.
    """
    told = [(event.at, country) for event in events if (country := event.country) and event.event != EventKind.REQUESTED]
    if not told:
        return None
    last = max(at for at, _ in told)
    return Residence(frozenset(country for at, country in told if at == last), last)
