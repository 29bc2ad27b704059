"""Consent: on what ground a recipient may be written to, how it is proven, how old it is, and how old the recipient is.

A recipient of whom the ledger knows nothing has agreed to nothing.  All that
one rule asks, it asks of one grant; each rule finds a grant of its own.
"""

from dataclasses import replace
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, Field

from relay.policy.cases.case import Case, Phase
from relay.policy.consents.consent import (
    REFUSED_SOURCES,
    AgeBand,
    Basis,
    ConsentEvent,
    Evidence,
    Ground,
    Source,
    age_band,
    is_ended,
    is_purpose,
)
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.rules.rule import Check, Finding, Rests, RuleTable, Setting
from relay.policy.rules.table import Bases, Countries, Days


def _purpose(text: str) -> str:
    if not is_purpose(text):
        raise ValueError(
            f'"{text}" is no purpose such as "marketing", "marketing:newsletter" or "share:Partner"'
            ' / 不是有效的用途，例如 "marketing"、"marketing:newsletter"、"share:Partner"'
        )
    return text


ConsentPurposes = Annotated[tuple[Annotated[str, AfterValidator(_purpose)], ...], Field(strict=False)]
Proofs = Annotated[tuple[Annotated[Evidence, Field(strict=False)], ...], Field(strict=False, min_length=1)]
Sources = Annotated[tuple[Annotated[Source, Field(strict=False)], ...], Field(strict=False, min_length=1)]
Bands = Annotated[tuple[Annotated[AgeBand, Field(strict=False)], ...], Field(strict=False, min_length=1)]


class Asking(RuleTable):
    """Which consent is meant."""

    consent_to: Annotated[
        ConsentPurposes,
        Field(description="To what, each of them; default: the stream's own purpose and name / 同意的内容，默认为本邮件流"),
    ] = ()

    def wanted(self, setting: Setting) -> tuple[str, ...]:
        """What must be agreed to: "marketing:newsletter" where the rule does not say."""
        return self.consent_to or (f"{setting.purpose.value}:{setting.stream}",)


class Consent(Asking):
    """Parameters of consent."""

    basis: Annotated[Bases, Field(description="Grounds that count; default: all / 可接受的依据，默认全部")] = ()
    interest_in: Annotated[
        Countries, Field(description="Where a legitimate interest is enough too, of companies / 对企业以正当利益为依据亦可的国家")
    ] = ()
    confirmed: Annotated[bool, Field(description="Only what was confirmed from the mailbox / 仅限经邮箱确认的")] = False


class Proof(Asking):
    """Parameters of consent-evidence."""

    evidence: Proofs = tuple(Evidence)


class Age(Asking):
    """Parameters of consent-age."""

    max_age: Days = 2 * 366
    notices: Annotated[
        bool, Field(description="A notice of the consent that was sent counts as renewing it / 已发送的确认通知视为再次确认")
    ] = False


class Origin(RuleTable):
    """Parameters of address-source."""

    sources: Sources = tuple(sorted(REFUSED_SOURCES))


class Minors(Asking):
    """Parameters of minors."""

    ages: Bands = (AgeBand.UNDER_14,)
    guardian: Annotated[bool, Field(description="A guardian's consent is enough / 监护人同意即可")] = True
    personalised: Annotated[
        bool, Field(description="Only in streams whose content a program chooses / 仅用于按个人特征挑选内容的邮件流")
    ] = False


def ask(case: Case, setting: Setting, parameters: Consent) -> Finding | Rests:
    """Object unless each purpose has a grant that stands, on a ground that counts."""
    bases = frozenset(one.value for one in parameters.basis)
    interest = bool(case.jurisdictions) and case.jurisdictions <= set(parameters.interest_in)
    return resting(case, setting, parameters, Needs("", bases, confirmed=parameters.confirmed, interest=interest))


def resting(case: Case, setting: Setting, parameters: Asking, needs: Needs) -> Finding | Rests:
    """The grants that meet the needs, one for each purpose, or what is lacking."""
    grounds = []
    for purpose in parameters.wanted(setting):
        found = grant_for(case.consents, replace(needs, purpose=purpose, zone=setting.zone), setting.today)
        if isinstance(found, str):
            return Finding(found)
        grounds.append(Ground("", purpose, found.id, found.at, found.basis))
    return Rests(tuple(grounds))


def ask_evidence(case: Case, setting: Setting, parameters: Proof) -> Finding | None:
    """Object where grants stand, and none of them is proven; where none stands, that is for `consent` to say."""
    return _ask_more(case, setting, parameters, Needs("", evidence=frozenset(parameters.evidence), zone=setting.zone))


def ask_age(case: Case, setting: Setting, parameters: Age) -> Finding | None:
    """Object where grants stand, and all of them are too old."""
    return _ask_more(
        case, setting, parameters, Needs("", max_age=parameters.max_age, notices=parameters.notices, zone=setting.zone)
    )


def _ask_more(case: Case, setting: Setting, parameters: Asking, needs: Needs) -> Finding | None:
    for purpose in parameters.wanted(setting):
        if isinstance(grant_for(case.consents, Needs(purpose, zone=setting.zone), setting.today), str):
            continue
        found = grant_for(case.consents, replace(needs, purpose=purpose), setting.today)
        if isinstance(found, str):
            return Finding(found)
    return None


def ask_source(case: Case, setting: Setting, parameters: Origin) -> Finding | None:
    """Object to an address that is recorded as coming from such a source, unless its owner agreed by another way."""
    grants = [event for event in case.consents if event.is_granting]
    bought = [event.details.source for event in grants if event.details.source in parameters.sources]
    others = (event for event in grants if event.details.source not in parameters.sources)
    if not bought or any(is_ended(event, event.purpose, case.consents) is None for event in others):
        return None
    return Finding(bought[-1])


def ask_minors(case: Case, setting: Setting, parameters: Minors) -> Finding | None:
    """Object to a child, unless a guardian agreed."""
    band = age_band(case.consents)
    if band is None or band not in parameters.ages or (parameters.personalised and not setting.personalised):
        return None
    if parameters.guardian and all(_by_guardian(case.consents, one, setting) for one in parameters.wanted(setting)):
        return None
    return Finding(band.value)


def _by_guardian(events: tuple[ConsentEvent, ...], purpose: str, setting: Setting) -> bool:
    needs = Needs(purpose, frozenset({Basis.GUARDIAN.value}), zone=setting.zone)
    return not isinstance(grant_for(events, needs, setting.today), str)


_READS = ("recipient.consents", "stream.name", "stream.purpose")
_check = partial(Check, phase=Phase.RCPT, scope="recipient", reads=_READS)

CONSENT = _check(
    name="consent",
    summary="The consent ledger has no consent of the recipient to each of `consent_to` (default: this stream) that stands,"
    " on one of the grounds in `basis` (default: any; in the countries of `interest_in` a legitimate interest too, with the"
    " statement `corporate`); with `confirmed`, only one confirmed from the mailbox counts",
    summary_zh="同意台账中没有该收件人对 `consent_to` 各项（默认为本邮件流）仍然有效的同意，且依据须在 `basis` 中（默认不限；"
    "`interest_in` 所列国家亦可为正当利益，须有 corporate 声明）；`confirmed` 为 true 时仅认可经邮箱确认的同意",
    parameters=Consent,
    ask=ask,
    reads=(*_READS, "recipient.countries"),
    text="No recorded consent for this recipient and purpose",
    text_zh="没有该收件人对此用途的同意记录",
    fix="Record the consent with its evidence (relay consent add), or remove the recipient",
    fix_zh="请登记该收件人的同意及证据（relay consent add），或移除该收件人",
)

EVIDENCE = _check(
    name="consent-evidence",
    summary="No consent of the recipient that stands has all of `evidence` (default: all); where none stands it says nothing",
    summary_zh="该收件人有效的同意都缺少 `evidence` 要求的证据（默认全部种类）；没有同意时本项不提示",
    parameters=Proof,
    ask=ask_evidence,
    text="Consent evidence is incomplete",
    text_zh="同意证据不完整",
    fix="Complete the evidence of the consent (relay consent add), or ask the recipient anew",
    fix_zh="请补全同意证据（relay consent add），或重新征得同意",
)

AGE = _check(
    name="consent-age",
    summary="Every consent of the recipient that stands was given or renewed longer than `max_age` ago (default 2y); with"
    " `notices` a notice of it that was sent counts as renewing it",
    summary_zh="该收件人有效的同意均已超过 `max_age`（默认 2y）未再确认；`notices` 为 true 时，已发送的确认通知视为再次确认",
    parameters=Age,
    ask=ask_age,
    text="Consent is too old",
    text_zh="同意时间过久",
    fix="Ask the recipient whether the consent still stands, and record the answer (relay consent add --event renewed)",
    fix_zh="请向收件人确认是否仍然同意，并登记结果（relay consent add --event renewed）",
)

SOURCE = _check(
    name="address-source",
    summary="The address is recorded as coming from one of `sources` (default purchased, scraped, generated, shared), and its"
    " owner agreed by no other way",
    summary_zh="地址登记的来源在 `sources` 中（默认 purchased、scraped、generated、shared），且收件人未以其他方式同意",
    parameters=Origin,
    ask=ask_source,
    reads=("recipient.consents",),
    text="Address source is not permitted",
    text_zh="地址来源不合规",
    fix="Remove the recipient; an address that was bought or collected is not to be written to",
    fix_zh="请移除该收件人；购买或采集的地址不得发送",
)

MINORS = _check(
    name="minors",
    summary="The recipient is recorded as a child of one of `ages` (default under_14), and no guardian agreed (`guardian`); with"
    " `personalised` only in streams that say so of themselves",
    summary_zh="收件人登记为 `ages` 中的未成年人（默认 under_14），且没有监护人同意（`guardian`）；写 `personalised` 时仅用于写明"
    " `personalised` 的邮件流",
    parameters=Minors,
    ask=ask_minors,
    reads=(*_READS, "stream.personalised"),
    text="Recipient is a minor",
    text_zh="收件人为未成年人",
    fix="Remove the recipient, or record the consent of a parent or guardian (relay consent add --basis guardian)",
    fix_zh="请移除该收件人，或登记监护人的同意（relay consent add --basis guardian）",
)
