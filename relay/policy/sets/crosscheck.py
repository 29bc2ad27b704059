"""What must hold between the files of a set: names that exist, rules nobody may relax, streams that can be reached."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from relay.policy.checks import PROTECTED
from relay.policy.rules.organisation import Organisation
from relay.policy.rules.rule import GUARDED, Rule
from relay.policy.rules.table import ACTIONS
from relay.policy.sets.faults import Faults
from relay.policy.sets.model import HOURS, UNPACED, Override, PackFile, StreamFile

ORGANISATION = "organisation.toml"
BASE = "base"


@dataclass(frozen=True, slots=True)
class Draft:
    """Files that are valid each by itself; a file with a fault of its own is in `files` only.

    `rules` are those of packs and streams, by file.
    """

    files: Mapping[str, bytes]
    organisation: Organisation | None
    streams: Mapping[str, StreamFile]
    packs: Mapping[str, PackFile]
    rules: Mapping[str, tuple[Rule, ...]]


def cross_check(draft: Draft, faults: Faults) -> None:
    """Note every fault between files."""
    if ORGANISATION not in draft.files:
        faults.add(ORGANISATION, (), "this file is missing", "缺少此文件")
    _check_base(draft, faults)
    for name, pack in draft.packs.items():
        file = f"packs/{name}.toml"
        _check_ids(file, [table.get("id") for table in pack.rule], [duty.id for duty in pack.duty], faults)
        if name != BASE:
            _check_unprotected(file, pack.rule, draft.rules[file], faults)
    for name, stream in draft.streams.items():
        file = f"streams/{name}.toml"
        _check_ids(file, [table.get("id") for table in stream.rule], [], faults)
        _check_unprotected(file, stream.rule, draft.rules[file], faults)
        _check_packs(file, name, stream, draft, faults)
        _check_inspection(file, stream, draft.rules[file], faults)
        _check_overrides(file, stream, draft, faults)
        _check_pace(file, stream, faults)
    if draft.organisation is not None:
        _check_order(draft.organisation, draft, faults)
        _check_extend(draft.organisation, draft, faults)
        _check_exempt(draft.organisation, [rule for rules in draft.rules.values() for rule in rules], faults)


def _check_ids(file: str, rules: list[object], duties: list[object], faults: Faults) -> None:
    for kind, ids in (("rule", rules), ("duty", duties)):
        for index, one in enumerate(ids):
            if one in ids[:index]:
                faults.add(file, (kind, index, "id"), f'"{one}" stands twice; ids are unique', f"{one} 重复")


def _check_base(draft: Draft, faults: Faults) -> None:
    """The protected checks must stand in packs/base.toml, whole and for everybody."""
    file = f"packs/{BASE}.toml"
    if file not in draft.files:
        faults.add(file, (), "this pack must be there: it holds refusals, ownership and structure", "必须有此规则包")
    pack = draft.packs.get(BASE)
    if pack is None:
        return
    if pack.applies.purpose or pack.applies.any:
        faults.add(file, ("applies",), "the base pack applies always", "基础规则包始终适用，不能加条件")
    if pack.pack.expires_on:
        faults.add(file, ("pack", "expires_on"), "the base pack is no law and does not expire", "基础规则包没有期限")
    for needed in PROTECTED:
        if all(table.get("check") != needed for table in pack.rule):
            faults.add(file, (), f'the rule with check = "{needed}" must be there', f"必须保留 {needed} 规则")
    for index, table in enumerate(pack.rule):
        check = table.get("check")
        if check in PROTECTED:
            filtered = table.get("recipient_domains") or table.get("purposes")
            if table.get("action", "reject") != "reject" or table.get("id") != check or filtered:
                faults.add(
                    file,
                    ("rule", index, "check"),
                    f'"{check}" is not yours to relax: id = "{check}", action = "reject", for every recipient and purpose',
                    f"{check} 规则不可放宽：id 与 check 相同，action 为 reject，适用于所有收件人和用途",
                )


def _check_unprotected(file: str, tables: Sequence[dict[str, Any]], rules: Iterable[Rule], faults: Faults) -> None:
    for rule in rules:
        if rule.table.check in PROTECTED:
            text = f'"{rule.name}": the check "{rule.table.check}" stands in packs/base.toml only'
            faults.add(file, _place(tables, rule), text, "此检查只能写在 packs/base.toml")


def _place(tables: Sequence[dict[str, Any]], rule: Rule) -> tuple[str | int, ...]:
    """Where a compiled rule stands in its file."""
    index = next(index for index, table in enumerate(tables) if table.get("id") == rule.table.id)
    return ("rule", index, "check" if rule.check else "when")


def _check_packs(file: str, name: str, stream: StreamFile, draft: Draft, faults: Faults) -> None:
    if BASE not in stream.packs:
        faults.add(file, ("packs",), '"base" must be in the list: refusals bind every stream', '列表中必须有 "base"')
    for pack in stream.packs:
        if f"packs/{pack}.toml" not in draft.files:
            faults.add(file, ("packs",), f"there is no packs/{pack}.toml", f"没有 packs/{pack}.toml")
    if f"packs/{name}.toml" in draft.files:
        faults.add(file, (), f'a pack is called "{name}" too: rule names would be ambiguous', "与规则包同名")


def _check_inspection(file: str, stream: StreamFile, rules: Iterable[Rule], faults: Faults) -> None:
    for rule in rules:
        if rule.inspects and stream.purpose == "correspondence":
            text = f'"{rule.name}" reads what people wrote; correspondence is never inspected'
            faults.add(file, _place(stream.rule, rule), text, "此规则会检查邮件内容；私人通信不得检查")


def _check_pace(file: str, stream: StreamFile, faults: Faults) -> None:
    limits, purpose = stream.limits, stream.purpose
    if purpose in UNPACED and limits.hours:
        text = f"hours never bind {purpose} mail: people wait for it"
        faults.add(file, ("limits", "hours"), text, f"发送时段从不约束 {purpose} 类邮件：收件人在等它")
    if purpose in UNPACED and limits.warm_up is not None:
        text = f"a warm-up never binds {purpose} mail: people wait for it"
        faults.add(file, ("limits", "warm_up"), text, f"预热从不约束 {purpose} 类邮件：收件人在等它")


def _check_overrides(file: str, stream: StreamFile, draft: Draft, faults: Faults) -> None:
    rules = {rule.name: rule for pack in stream.packs for rule in draft.rules.get(f"packs/{pack}.toml", ())}
    broken = {pack for pack in stream.packs if f"packs/{pack}.toml" in draft.files and pack not in draft.packs}
    for index, override in enumerate(stream.override):
        if override.rule.partition("/")[0] not in broken:
            _check_override(file, index, override, rules.get(override.rule), faults)
        if override.rule in (earlier.rule for earlier in stream.override[:index]):
            faults.add(file, ("override", index, "rule"), f'"{override.rule}" is overridden twice', f"{override.rule} 重复")


def _check_override(file: str, index: int, override: Override, rule: Rule | None, faults: Faults) -> None:
    name = override.rule
    if rule is None:
        text = f'no pack of this stream has a rule "{name}"'
        faults.add(file, ("override", index, "rule"), text, f"本邮件流的规则包中没有规则 {name}")
    elif rule.guards:
        guarded, guarded_zh = GUARDED[rule.guards]
        text = f'"{name}" can never be turned down: it protects {guarded}; delete this [[override]]'
        faults.add(file, ("override", index, "rule"), text, f"{name} 保护{guarded_zh}，不可放宽；请删除此 [[override]]")
    elif ACTIONS[override.action] >= rule.action:
        text = f'"{name}" is "{rule.action.word}" already; this would not turn it down'
        faults.add(file, ("override", index, "action"), text, "并未放宽该规则")


def _check_order(organisation: Organisation, draft: Draft, faults: Faults) -> None:
    listed, place = organisation.streams, ("streams",)
    for name, count in Counter(listed).items():
        if count > 1:
            faults.add(ORGANISATION, place, f'"{name}" stands {count} times', f"{name} 重复")
        if f"streams/{name}.toml" not in draft.files:
            faults.add(ORGANISATION, place, f"there is no streams/{name}.toml", f"没有 streams/{name}.toml")
    for file in sorted(draft.files):
        name = file.removeprefix("streams/").removesuffix(".toml")
        if file.startswith("streams/") and name not in listed:
            text = f'{file} is not in the list: add "{name}" or remove the file'
            faults.add(ORGANISATION, place, text, f"列表中缺少 {name}")
    for index, name in enumerate(listed):
        if earlier := _taker(name, listed[:index], draft.streams):
            faults.add(
                ORGANISATION,
                place,
                f'"{name}" is never reached: whatever it matches, "{earlier}" before it takes; change the order or a match',
                f"{name} 永远不会匹配：{earlier} 排在前面并已包含它",
            )


def _taker(name: str, earlier: Iterable[str], streams: Mapping[str, StreamFile]) -> str:
    """The stream that takes everything that `name` matches, "" when there is none."""
    if name not in streams:
        return ""
    return next((one for one in earlier if one in streams and one != name and _covers(streams[one], streams[name])), "")


def _covers(earlier: StreamFile, later: StreamFile) -> bool:
    """Whether everything that `later` matches is matched by `earlier`."""
    return all(not a or (b and set(b) <= set(a)) for a, b in zip(earlier.match.lists, later.match.lists, strict=True))


def _check_extend(organisation: Organisation, draft: Draft, faults: Faults) -> None:
    names = [extend.pack for extend in organisation.extend]
    for index, name in enumerate(names):
        place = ("extend", index, "pack")
        if f"packs/{name}.toml" not in draft.files:
            faults.add(ORGANISATION, place, f"there is no packs/{name}.toml", f"没有 packs/{name}.toml")
        elif name in draft.packs and draft.packs[name].pack.expires_on is None:
            faults.add(ORGANISATION, place, f'"{name}" does not expire: nothing to extend', f"{name} 没有期限，无需延期")
        if name in names[:index]:
            faults.add(ORGANISATION, place, f'"{name}" is extended twice', f"{name} 重复")


def _check_exempt(organisation: Organisation, rules: Sequence[Rule], faults: Faults) -> None:
    for index, exempt in enumerate(organisation.exempt):
        place = ("exempt", index, "rules")
        for pattern in exempt.rules:
            hit = [rule for rule in rules if fnmatchcase(rule.name, pattern)]
            if not hit and not fnmatchcase(HOURS, pattern):
                faults.add(ORGANISATION, place, f'no rule is called "{pattern}"', f"没有名为 {pattern} 的规则")
            for rule in hit:
                if rule.guards:
                    guarded, guarded_zh = GUARDED[rule.guards]
                    text = f'"{pattern}" includes "{rule.name}", from which nobody is exempt: it protects {guarded};'
                    text += " name the other rules one by one"
                    text_zh = f"{pattern} 包含 {rule.name}：该规则保护{guarded_zh}，不可豁免；请逐一写明其他规则"
                    faults.add(ORGANISATION, place, text, text_zh)
