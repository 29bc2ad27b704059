"""The checks that rules run, one file per subject. Pure.

`CHECKS` is the registry: a rule names its check by these names, and
docs/policies.md lists them.  A new check is a file here and a line below.
"""

from relay.policy.checks import (
    absolute,
    attachments,
    consent,
    disclosure,
    domains,
    figures,
    hidden,
    label,
    links,
    offers,
    organisation,
    ownership,
    personal,
    pictures,
    placeholders,
    prohibited,
    promotional,
    regulated,
    route,
    sender,
    size,
    sources,
    structure,
    subject,
    suppression,
    transfer,
    unsubscribing,
    words,
)
from relay.policy.rule import Check

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        suppression.CHECK,
        ownership.CHECK,
        structure.ONE_FROM,
        structure.STRUCTURE,
        disclosure.CHECK,
        size.CHECK,
        domains.CHECK,
        consent.CONSENT,
        consent.EVIDENCE,
        consent.AGE,
        consent.SOURCE,
        consent.MINORS,
        attachments.CHECK,
        words.CHECK,
        label.CHECK,
        absolute.CHECK,
        regulated.CHECK,
        prohibited.CHECK,
        figures.CHECK,
        promotional.CHECK,
        organisation.CHECK,
        offers.CHECK,
        sender.NAME,
        sender.REPLY_ADDRESS,
        subject.FAKE_REPLY,
        subject.VISIBLE,
        route.CHECK,
        sources.GENERATED,
        sources.ROLE,
        transfer.CHECK,
        personal.PERSONAL_DATA,
        personal.SECRETS_CHECK,
        personal.ADDRESS_LIST,
        hidden.CHECK,
        links.CHECK,
        placeholders.CHECK,
        unsubscribing.CHECK,
        pictures.IMAGE_ONLY,
        pictures.TRACKING_PIXEL,
    )
}

PROTECTED = tuple(check.name for check in CHECKS.values() if check.protected)
"""Checks that no stream, override, exemption or shadow mode relaxes."""
