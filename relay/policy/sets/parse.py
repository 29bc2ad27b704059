"""Policy files to a policy set: strict, every fault in every file at once, all or nothing (law 7)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from relay.policy.cases.jurisdiction import Reach
from relay.policy.checks import CHECKS
from relay.policy.rules.expression import compile_expression
from relay.policy.rules.organisation import Organisation
from relay.policy.rules.rule import Rule, RuleTable
from relay.policy.rules.table import ACTIONS, PURPOSES
from relay.policy.sets.crosscheck import ORGANISATION, Draft, cross_check
from relay.policy.sets.faults import Faults
from relay.policy.sets.model import PackFile, StreamFile, WhenTable, name_fits, rule_model
from relay.policy.sets.policy_set import Duty, Pack, PolicySet, Stream, set_hash

_FILE = re.compile(r"(streams|packs|tests)/([^/]+)\.toml")
_OTHER_PURPOSE = ("purpose", "用途不符")


def parse_policies(files: Mapping[str, bytes]) -> PolicySet:
    """Compile a set of files, named by their path inside the policies folder ("streams/newsletter.toml").

    Raises ConfigurationError that lists every fault of every file.
    """
    faults = Faults(files)
    draft = read_draft(files, faults)
    cross_check(draft, faults)
    faults.refuse()
    return compile_set(draft)


def compile_set(draft: Draft) -> PolicySet:
    """The set of files in which nothing is wrong."""
    organisation = draft.organisation
    if organisation is None:
        raise AssertionError("a set without organisation.toml has a fault")
    streams = tuple(_stream(name, draft, organisation) for name in organisation.streams)
    return PolicySet(set_hash(draft.files), organisation, streams, draft.packs, ZoneInfo(organisation.time_zone))


def read_draft(files: Mapping[str, bytes], faults: Faults) -> Draft:
    """Read each file by itself; rehearsal.py reads those below tests/."""
    organisation: Organisation | None = None
    streams: dict[str, StreamFile] = {}
    packs: dict[str, PackFile] = {}
    rules: dict[str, tuple[Rule, ...]] = {}
    for name in sorted(files):
        place = _FILE.fullmatch(name)
        if name != ORGANISATION and (place is None or not name_fits(place[2])):
            faults.add(
                name,
                (),
                "expected organisation.toml, streams/NAME.toml, packs/NAME.toml or tests/NAME.toml;"
                " NAME in small letters, digits and -",
                "应为 organisation.toml、streams/名称.toml、packs/名称.toml 或 tests/名称.toml，名称只能用小写字母、数字和 -",
            )
            continue
        if place is not None and place[1] == "tests":
            continue
        document = faults.read(name, files[name])
        if document is None:
            continue
        if place is None:
            organisation = faults.validate(Organisation, document, name)
        else:
            rules[name] = read_rules(name, place[2], document, faults)
            if place[1] == "streams" and (stream := faults.validate(StreamFile, document, name)):
                streams[place[2]] = stream
            elif place[1] == "packs" and (pack := faults.validate(PackFile, document, name)):
                packs[place[2]] = pack
    return Draft(files, organisation, streams, packs, rules)


def read_rules(file: str, owner: str, document: dict[str, Any], faults: Faults) -> tuple[Rule, ...]:
    """Compile the [[rule]] tables, whatever else is wrong with the file."""
    rules = []
    tables = document.get("rule")
    for index, table in enumerate(tables if isinstance(tables, list) else ()):
        if not isinstance(table, dict):
            continue  # the file's own model says so
        try:
            model = rule_model(table)
        except ValueError as error:
            text, _, text_zh = str(error).rpartition(" / ")
            faults.add(file, ("rule", index, "check"), text, text_zh)
            continue
        if (valid := faults.validate(model, table, file, ("rule", index))) is not None:
            rules.append(_rule(owner, valid))
    return tuple(rules)


def _rule(owner: str, table: RuleTable) -> Rule:
    expression = compile_expression(table.when) if isinstance(table, WhenTable) else None
    check = None if expression else CHECKS[table.check]
    return Rule(
        name=f"{owner}/{table.id}",
        check=check,
        expression=expression,
        table=table,
        action=ACTIONS[table.action],
        text=table.text or (check.text if check else ""),
        text_zh=table.text_zh or (check.text_zh if check else ""),
        fix=table.fix or (check.fix if check else ""),
        fix_zh=table.fix_zh or (check.fix_zh if check else ""),
    )


def _stream(name: str, draft: Draft, organisation: Organisation) -> Stream:
    file = draft.streams[name]
    purpose = PURPOSES[file.purpose]
    rules: list[Rule] = []
    duties: list[Duty] = []
    used: list[Pack] = []
    for pack_name in dict.fromkeys(file.packs):
        pack = draft.packs[pack_name]
        reach = _reach(pack, organisation)
        outside = _outside(pack, file, reach)
        rules += [
            replace(_silenced(rule, outside or _never(rule, file)), reach=reach)
            for rule in draft.rules[f"packs/{pack_name}.toml"]
        ]
        if not outside:
            used.append(Pack(pack_name, pack, reach, _until(pack_name, pack, organisation)))
            duties += _duties(pack_name, pack, file, reach)
    rules += [_silenced(rule, _never(rule, file)) for rule in draft.rules[f"streams/{name}.toml"]]
    return Stream(
        name=name,
        purpose=purpose,
        match=file.match,
        mode=file.mode,
        refusals=file.refusals,
        upstream=file.upstream,
        signing_required=file.signing.required,
        unsubscribe=file.unsubscribe,
        limits=file.limits,
        thresholds=file.thresholds,
        packs=tuple(used),
        rules=tuple(rules),
        duties=tuple(duties),
        overrides={override.rule: override for override in file.override},
        facts=organisation,
        file=file,
    )


def _until(name: str, pack: PackFile, organisation: Organisation) -> date | None:
    """The last day on which somebody vouches for the pack: its own, or a later one that somebody gave by name."""
    own = pack.pack.expires_on
    return own and max([own, *(extend.until for extend in organisation.extend if extend.pack == name)])


def _outside(pack: PackFile, file: StreamFile, reach: Reach | None) -> tuple[str, str] | None:
    """Why the whole pack never binds this stream, in English and Chinese; None when it may."""
    if pack.applies.purpose and file.purpose not in pack.applies.purpose:
        return _OTHER_PURPOSE
    return ("does not apply", "不适用于本单位") if reach == Reach() else None


def _duties(pack_name: str, pack: PackFile, file: StreamFile, reach: Reach | None) -> list[Duty]:
    return [
        Duty(f"{pack_name}/{duty.id}", duty, Reach(frozenset(duty.recipient_countries)) if duty.recipient_countries else reach)
        for duty in pack.duty
        if (not duty.purposes or file.purpose in duty.purposes)
        and not (duty.is_for_people and file.purpose == "correspondence")
        and (file.adult or not duty.is_of_adult_mail)
    ]


def _reach(pack: PackFile, organisation: Organisation) -> Reach | None:
    """Which mail the pack binds; None for all of it, an empty reach for none."""
    conditions = pack.applies.any
    if not conditions or any(condition.organisation == organisation.country for condition in conditions):
        return None
    return Reach(
        recipients=frozenset(condition.recipient for condition in conditions if condition.recipient),
        upstreams=frozenset(condition.upstream for condition in conditions if condition.upstream),
    )


def _never(rule: Rule, file: StreamFile) -> tuple[str, str] | None:
    """Why a stream never asks this rule, in English and Chinese; None when it does."""
    if rule.inspects and file.purpose == "correspondence":
        return "correspondence is never inspected", "从不检查个人通信"
    return _OTHER_PURPOSE if rule.table.purposes and file.purpose not in rule.table.purposes else None


def _silenced(rule: Rule, why: tuple[str, str] | None) -> Rule:
    return replace(rule, never=why[0], never_zh=why[1]) if why else rule
