"""Personal data that leave the country on consent: a separate one of the person, for that alone (PIPL Art 39)."""

from typing import Annotated

from pydantic import Field

from relay.policy.cases.case import Case, Phase
from relay.policy.cases.jurisdiction import UNKNOWN
from relay.policy.consents.consent import Basis, Ground
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.rules.rule import Check, Finding, Rests, RuleTable, Setting
from relay.policy.rules.table import Countries

PURPOSE = "export"
"""What the consent is to: "export:US", or "export" for every country."""


class TransferConsent(RuleTable):
    """Parameters of transfer-consent."""

    from_countries: Annotated[Countries, Field(min_length=1, description="Asked of organisations there / 仅对位于这些国家的单位")]
    free: Annotated[Countries, Field(description="Countries that need no consent / 无须另行同意的国家")] = ()
    basis: Annotated[
        tuple[Annotated[Basis, Field(strict=False)], ...],
        Field(strict=False, min_length=1, description="Grounds that count / 可接受的依据"),
    ] = (Basis.SEPARATE, Basis.GUARDIAN)


def ask(case: Case, setting: Setting, parameters: TransferConsent) -> Finding | Rests | None:
    """Object unless the recipient agreed to each country by whose servers the mail may leave."""
    country = setting.facts.country
    places = case.upstream_countries - {country, *parameters.free}
    if country not in parameters.from_countries or not places:
        return None
    bases = frozenset(one.value for one in parameters.basis)
    grounds = []
    for place in sorted(places):
        purpose = PURPOSE if place == UNKNOWN else f"{PURPOSE}:{place}"  # whoever agreed to every country agreed to that one
        found = grant_for(case.consents, Needs(purpose, bases, zone=setting.zone), setting.today)
        if isinstance(found, str):
            return Finding(f"{purpose}: {found}")
        grounds.append(Ground("", purpose, found.id, found.at, found.basis))
    return Rests(tuple(grounds))


CHECK = Check(
    name="transfer-consent",
    summary="The organisation is in `from_countries`, the mail may leave by an upstream server abroad (`free` countries left"
    " out), and the consent ledger has no consent of the recipient that stands to `export:` and that country (`export`: every"
    " country) on one of the grounds in `basis` (default separate, guardian): consent to the mail itself is not enough",
    summary_zh="单位位于 `from_countries`，邮件可能经境外（`free` 所列国家除外）的上游服务器发出，而同意台账中没有该收件人对"
    " `export:国家`（或对所有国家的 `export`）仍然有效、依据在 `basis` 中（默认 separate、guardian）的同意；对邮件本身的同意不算",
    parameters=TransferConsent,
    ask=ask,
    reads=("recipient.consents", "upstream.countries", "organisation.country"),
    phase=Phase.RCPT,
    scope="recipient",
    text="No separate consent of this recipient to send their data abroad",
    text_zh="没有该收件人对个人信息出境的单独同意",
    fix="Send by an upstream server at home, or record the separate consent (relay consent add --to export:COUNTRY --basis"
    " separate)",
    fix_zh="请改用境内上游服务器，或登记该收件人的单独同意（relay consent add --to export:国家 --basis separate）",
)
