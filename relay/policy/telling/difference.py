"""What changed between two policy sets, line by line, and which lines became laxer.

A line is marked laxer when mail that was refused may leave afterwards, or when
that cannot be told from the change: somebody should look at it then.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay.policy.rules.organisation import Exempt, Extend, Organisation
from relay.policy.rules.rule import Rule, RuleTable
from relay.policy.rules.table import percent_of
from relay.policy.sets.model import Override, StreamLimits
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import BINDS, Purpose
from relay.policy.telling.standing import wants
from relay.policy.timing.hours import Hours, week_of
from relay.policy.timing.limits import Limit

_WORDS = frozenset({"id", "text", "text_zh", "fix", "fix_zh", "cite"})
"""What a rule says, not what it does."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, in both languages."""

    text_en: str
    text_zh: str
    laxer: bool = False


def difference(old: PolicySet | None, new: PolicySet) -> tuple[Change, ...]:
    """Return every difference; for the first set ever, which streams it brings."""
    if old is None:
        return tuple(Change(f"{s.name}: new stream ({s.purpose})", f"{s.name}：新邮件流（{s.purpose}）") for s in new.streams)
    return (*_organisation(old, new), *_packs(old, new), *_streams(old, new), *_no_longer_wanted(old, new))


def _organisation(old: PolicySet, new: PolicySet) -> Iterator[Change]:
    before, after = old.organisation, new.organisation
    for key in (
        "country",
        "time_zone",
        "legal_name",
        "postal_address",
        "contact",
        "refusal_mailbox",
        "privacy_url",
        "preferences_url",
    ):
        if getattr(before, key) != getattr(after, key):
            laxer = key in ("country", "time_zone")  # the days of limits, hours, consents and packs are those of the zone
            yield Change(f"organisation: {key} changed", f"组织信息：{key} 已修改", laxer)
    if before.streams != after.streams and sorted(before.streams) == sorted(after.streams):
        yield Change(f"streams are tried in another order: {', '.join(after.streams)}", "邮件流的匹配顺序已改变", True)
    if before.unknown_recipient != after.unknown_recipient:
        fewer = bool(set(before.unknown_recipient) - set(after.unknown_recipient))
        yield Change("unknown recipients: other jurisdictions are assumed", "未知收件人：假定的法域已改变", fewer)
    for key in ("records", "network_log"):
        was, now = getattr(before.retention, key), getattr(after.retention, key)
        if was != now:
            yield Change(f"retention: {key} {was} -> {now} days", f"保存期限：{key} {was} → {now} 天", now < was)
    if before.limits != after.limits:
        was_kept, is_kept = before.limits.reserve, after.limits.reserve
        laxer = percent_of(is_kept) < percent_of(was_kept)
        shown = f"{was_kept} -> {is_kept}"
        yield Change(f"limits: marketing leaves to other mail: {shown}", f"上限：营销邮件留给其他邮件的部分：{shown}", laxer)
    yield from _exempt(before.exempt, after.exempt)
    yield from _extend(before.extend, after.extend)
    yield from _vouched_for(before, after)


def _no_longer_wanted(old: PolicySet, new: PolicySet) -> Iterator[Change]:
    """What mail waited for that is there now: it may leave afterwards."""
    asking = {rule.name for stream in new.streams for rule in stream.rules}
    asking |= {duty.name for stream in new.streams for duty in stream.duties}
    still = {(one.file, one.key, one.rule) for one in wants(new)}
    there: dict[tuple[str, str], list[str]] = {}
    for one in wants(old):
        if one.rule in asking and (one.file, one.key, one.rule) not in still:
            there.setdefault((one.file, one.key), []).append(one.rule)
    for (file, key), rules in there.items():
        named = ", ".join(rules)
        yield Change(
            f"{file}: {key} is there now: mail waited for it by {named}",
            f"{file}：已补上 {key}：此前 {named} 因缺少它而暂缓邮件",
            laxer=True,
        )


def _exempt(before: Sequence[Exempt], after: Sequence[Exempt]) -> Iterator[Change]:
    for exempt in after:
        if exempt not in before:
            rules = ", ".join(exempt.rules)
            yield Change(
                f"exemption from {rules} until {exempt.until} ({exempt.by}: {exempt.reason})",
                f"豁免 {rules}，至 {exempt.until}（{exempt.by}：{exempt.reason}）",
                laxer=True,
            )
    for exempt in before:
        if exempt not in after:
            rules = ", ".join(exempt.rules)
            yield Change(f"exemption from {rules} removed or changed", f"豁免 {rules} 已移除或修改")


def _extend(before: Sequence[Extend], after: Sequence[Extend]) -> Iterator[Change]:
    for extend in after:
        if extend not in before:
            yield Change(
                f"pack {extend.pack} counts as reviewed until {extend.until} ({extend.by}: {extend.reason})",
                f"规则包 {extend.pack} 延期至 {extend.until}（{extend.by}：{extend.reason}）",
                laxer=True,
            )
    for extend in before:
        if extend not in after:
            yield Change(f"pack {extend.pack}: extension removed or changed", f"规则包 {extend.pack}：延期已移除或修改")


def _vouched_for(old: Organisation, new: Organisation) -> Iterator[Change]:
    """What mail may say or offer because of an approval, a proof, a registration."""
    for key in ("licence", "claim", "mark", "transfer"):
        was, now = (Counter(map(str, getattr(one, key))) for one in (old, new))
        for entry in now - was:
            yield Change(f"organisation: {key} added: {entry}", f"组织信息：增加 {key}：{entry}", laxer=True)
        for entry in was - now:
            yield Change(f"organisation: {key} removed: {entry}", f"组织信息：移除 {key}：{entry}")
    for year in sorted({one.year for one in (*old.transferred, *new.transferred)}):
        before, after = (one.transferred_elsewhere(year) for one in (old, new))
        if before != after:
            shown = f"{before.ordinary} + {before.sensitive} -> {after.ordinary} + {after.sensitive}"
            laxer = after.ordinary < before.ordinary or after.sensitive < before.sensitive
            yield Change(f"organisation: transferred in {year}: {shown}", f"组织信息：{year} 年 transferred：{shown}", laxer)


def _packs(old: PolicySet, new: PolicySet) -> Iterator[Change]:
    for name in sorted(old.packs.keys() & new.packs.keys()):
        was, now = old.packs[name].pack, new.packs[name].pack
        if was.version != now.version:
            yield Change(
                f"pack {name}: version {was.version} -> {now.version}", f"规则包 {name}：版本 {was.version} → {now.version}"
            )
        if was.expires_on != now.expires_on:
            unreviewed = now.expires_on is None or (
                was.reviewed_on == now.reviewed_on and now.expires_on > (was.expires_on or now.expires_on)
            )
            text = f"pack {name}: expires on {now.expires_on}, before {was.expires_on}"
            yield Change(text, f"规则包 {name}：有效期 {was.expires_on} → {now.expires_on}", unreviewed)
        if old.packs[name].applies != new.packs[name].applies:
            yield Change(f"pack {name}: applies in other cases", f"规则包 {name}：适用条件已改变", True)


def _streams(old: PolicySet, new: PolicySet) -> Iterator[Change]:
    before = {stream.name: stream for stream in old.streams}
    after = {stream.name: stream for stream in new.streams}
    for name in before.keys() - after.keys():
        yield Change(
            f"{name}: stream removed; a later stream may take its mail", f"{name}：邮件流已移除，其邮件可能落入后面的邮件流", True
        )
    for name, stream in after.items():
        if name not in before:  # it takes its mail from a stream behind it, or from nobody, who refused it
            yield Change(f"{name}: new stream ({stream.purpose})", f"{name}：新邮件流（{stream.purpose}）", laxer=True)
        else:
            yield from _stream(before[name], stream, is_last=stream is new.streams[-1])


def _stream(old: Stream, new: Stream, *, is_last: bool) -> Iterator[Change]:
    name = new.name
    if old.purpose != new.purpose:
        laxer = bool(BINDS[old.purpose] - BINDS[new.purpose]) or new.purpose is Purpose.CORRESPONDENCE
        yield Change(f"{name}: purpose {old.purpose} -> {new.purpose}", f"{name}：用途 {old.purpose} → {new.purpose}", laxer)
    if old.title != new.title:
        yield Change(f"{name}: recipients read another title", f"{name}：收件人看到的名称改为“{new.title.zh}”")
    if old.mode != new.mode:
        yield Change(f"{name}: mode {old.mode} -> {new.mode}", f"{name}：模式 {old.mode} → {new.mode}", new.mode == "shadow")
    if old.match != new.match:
        laxer = not (is_last and _takes_less(old, new))
        yield Change(f"{name}: takes other mail than before", f"{name}：匹配的邮件已改变", laxer)
    if old.refusals != new.refusals:
        yield Change(f"{name}: refusals are told by {new.refusals}", f"{name}：拒收方式改为 {new.refusals}")
    if old.upstream != new.upstream:
        ways = ", ".join(new.upstream)
        yield Change(
            f"{name}: leaves by {ways or 'the first upstream'}",
            f"{name}：经 {ways or '第一个上游服务器'} 发出",
            _leaves_a_reach(old, new),
        )
    if old.signing_required != new.signing_required:
        said = ("must be signed", "必须签名") if new.signing_required else ("may leave without our signature", "可以不签名")
        yield Change(f"{name}: {said[0]}", f"{name}：{said[1]}", not new.signing_required)
    yield from _said_of_itself(old, new)
    yield from _unsubscribe(old, new)
    yield from _limits(old, new)
    yield from _pace(new.name, old.limits, new.limits)
    yield from _thresholds(old, new)
    yield from _listed_packs(old, new)
    yield from _rules(name, old.rules, new.rules)
    yield from _duties(old, new)
    yield from _overrides(name, old.overrides, new.overrides)


_SAID = {
    "personalised": (
        ("a program chooses what each recipient is shown", "按个人特征挑选内容"),
        ("no program chooses what each recipient is shown", "不按个人特征挑选内容"),
    ),
    "sensitive": (
        ("its mail tells sensitive data", "邮件涉及敏感个人信息"),
        ("its mail tells no sensitive data", "邮件不涉及敏感个人信息"),
    ),
    "adult": (("its mail is sexually explicit", "邮件含有成人内容"), ("its mail is not sexually explicit", "邮件不含成人内容")),
}
"""What a stream says of itself, and what it says without; with it more is asked of its mail."""


def _said_of_itself(old: Stream, new: Stream) -> Iterator[Change]:
    for key, words in _SAID.items():
        was, now = getattr(old.setting, key), getattr(new.setting, key)
        if was != now:
            text, text_zh = words[not now]
            yield Change(f"{new.name}: {text}", f"{new.name}：{text_zh}", laxer=not now)


def _leaves_a_reach(old: Stream, new: Stream) -> bool:
    """Whether mail no longer leaves by an upstream server whose country some pack of the stream may ask about."""
    is_asked = any(pack.reach is not None and pack.reach.upstreams for pack in (*old.packs, *new.packs))
    return is_asked and not (old.upstream and set(old.upstream) <= set(new.upstream))


def _takes_less(old: Stream, new: Stream) -> bool:
    """Whether the stream takes no mail that it did not take before. What it leaves goes to the streams behind it."""
    pairs = zip(old.match.lists, new.match.lists, strict=True)
    return all(not before or (after and set(after) <= set(before)) for before, after in pairs)


def _unsubscribe(old: Stream, new: Stream) -> Iterator[Change]:
    was, now, name = old.unsubscribe, new.unsubscribe, new.name
    if was.one_click != now.one_click:
        said = ("one-click links added", "增加一键退订") if now.one_click else ("no one-click links any more", "不再提供一键退订")
        yield Change(f"{name}: {said[0]}", f"{name}：{said[1]}", not now.one_click)
    if was.mailto != now.mailto:
        said = ("unsubscribing by mail added", "增加邮件退订") if now.mailto else ("no unsubscribing by mail", "不再提供邮件退订")
        yield Change(f"{name}: {said[0]}", f"{name}：{said[1]}", not now.mailto)
    if was.scope != now.scope:
        yield Change(f"{name}: a refusal binds the {now.scope}", f"{name}：退订范围改为 {now.scope}", now.scope == "stream")
    if was.existing != now.existing:
        text, text_zh = f"{name}: an existing List-Unsubscribe: {now.existing}", f"{name}：已有的退订头：{now.existing}"
        yield Change(text, text_zh, now.existing != "reject")


def _limits(old: Stream, new: Stream) -> Iterator[Change]:
    domains = sorted({*old.limits.recipient_domain, *new.limits.recipient_domain})
    was, now = _limit_table(old, domains), _limit_table(new, domains)
    for key in sorted(was.keys() | now.keys()):
        scope, unit = key
        before, after = was.get(key), now.get(key)
        if before != after:
            laxer = after is None or (before is not None and after.count > before.count)
            shown = f"{before or '-'} -> {after or '-'}"
            yield Change(f"{new.name}: limit {scope} per {unit}: {shown}", f"{new.name}：{scope} 上限（{unit}）：{shown}", laxer)


def _pace(name: str, was: StreamLimits, now: StreamLimits) -> Iterator[Change]:
    if was.over != now.over:
        said = ("is held", "由系统暂存") if now.over == "hold" else ("waits with the client", "由客户端稍后重试")
        yield Change(f"{name}: what is over a limit {said[0]}", f"{name}：超过上限的邮件{said[1]}")
    if was.hours != now.hours:
        shown = f"{_hours(was.hours)} -> {_hours(now.hours)}"
        laxer = not now.hours or bool(was.hours and week_of(now.hours) - week_of(was.hours))
        yield Change(f"{name}: sends in the hours {shown}", f"{name}：发送时段：{shown}", laxer)
    if was.hours and now.hours and was.hours_zone != now.hours_zone:
        yield Change(
            f"{name}: hours by the clock of the {now.hours_zone}", f"{name}：发送时段按 {now.hours_zone} 的时间", laxer=True
        )
    if was.warm_up != now.warm_up:
        before, after = was.warm_up, now.warm_up
        laxer = after is None or (before is not None and (after.count > before.count or after.factor > before.factor))
        shown = f"{before or '-'} -> {after or '-'}"
        yield Change(f"{name}: warm-up: {shown}", f"{name}：预热：{shown}", laxer)


def _hours(hours: Hours) -> str:
    return ", ".join(map(str, hours)) or "-"


def _thresholds(old: Stream, new: Stream) -> Iterator[Change]:
    was, now, name = old.thresholds, new.thresholds, new.name
    for key in ("complaints", "hard_bounces"):
        for level in ("warn", "pause"):
            before, after = getattr(getattr(was, key), level), getattr(getattr(now, key), level)
            if before != after:
                shown = f"{before} -> {after}"
                laxer = percent_of(after) > percent_of(before)
                yield Change(f"{name}: threshold {key} {level}: {shown}", f"{name}：阈值 {key} {level}：{shown}", laxer)
    if was.minimum != now.minimum:
        shown = f"{was.minimum} -> {now.minimum}"
        text, text_zh = f"{name}: thresholds hold from {shown} recipients on", f"{name}：阈值生效的最少收件人数：{shown}"
        yield Change(text, text_zh, now.minimum > was.minimum)
    if was.window != now.window:
        shown = f"{was.window} -> {now.window}"
        yield Change(f"{name}: rates are taken over {shown} days", f"{name}：比率的统计天数：{shown}", laxer=True)


def _limit_table(stream: Stream, domains: Iterable[str]) -> dict[tuple[str, str], Limit]:
    """The limits that bind, by scope and unit; for a domain that the stream does not name, those on "*"."""
    limits = stream.limits
    scopes: dict[str, Iterable[Limit]] = {"identity": limits.identity, "recipient": limits.recipient}
    scopes |= {f"recipient_domain {domain}": limits.of_domain(domain) for domain in domains}
    return {(scope, limit.unit): limit for scope, some in scopes.items() for limit in some}


def _listed_packs(old: Stream, new: Stream) -> Iterator[Change]:
    was, now = set(old.file.packs), set(new.file.packs)
    for pack in sorted(was - now):
        yield Change(f"{new.name}: pack {pack} removed", f"{new.name}：移除规则包 {pack}", True)
    for pack in sorted(now - was):
        yield Change(f"{new.name}: pack {pack} added", f"{new.name}：增加规则包 {pack}")


def _rules(stream: str, old: Sequence[Rule], new: Sequence[Rule]) -> Iterator[Change]:
    before, after = {rule.name: rule for rule in old}, {rule.name: rule for rule in new}
    for name in sorted(before.keys() - after.keys()):
        yield Change(f"{stream}: rule {name} removed", f"{stream}：移除规则 {name}", not before[name].never)
    for name, rule in after.items():
        was = before.get(name)
        if was is None:
            yield Change(f"{stream}: rule {name} added ({rule.action.word})", f"{stream}：增加规则 {name}（{rule.action.word}）")
        else:
            yield from _changed_rule(stream, was, rule)


def _changed_rule(stream: str, was: Rule, now: Rule) -> Iterator[Change]:
    """How grave it is and what it objects to are told apart: a graver rule may object to less."""
    if was.action != now.action:
        shown = f"{was.action.word} -> {now.action.word}"
        yield Change(f"{stream}: rule {now.name}: {shown}", f"{stream}：规则 {now.name}：{shown}", now.action < was.action)
    if _deeds(was.table) != _deeds(now.table):
        yield Change(
            f"{stream}: rule {now.name} objects to other things; look at it",
            f"{stream}：规则 {now.name} 检查内容已改变，请核对",
            laxer=True,
        )
    elif was.table.model_dump(include=set(_WORDS)) != now.table.model_dump(include=set(_WORDS)):
        yield Change(f"{stream}: rule {now.name} says it in other words", f"{stream}：规则 {now.name} 文字已修改")


def _deeds(table: RuleTable) -> dict[str, object]:
    return table.model_dump(exclude={*_WORDS, "action"})


def _duties(old: Stream, new: Stream) -> Iterator[Change]:
    before, after = {duty.name: duty for duty in old.duties}, {duty.name: duty for duty in new.duties}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None:
            yield Change(f"{new.name}: duty {name} added", f"{new.name}：增加处理 {name}")
        elif now is None:
            yield Change(f"{new.name}: duty {name} removed", f"{new.name}：移除处理 {name}", True)
        elif was != now:
            laxer = now.table.is_laxer_than(was.table)
            yield Change(f"{new.name}: duty {name} changed", f"{new.name}：处理 {name} 已修改", laxer)


def _overrides(stream: str, old: Mapping[str, Override], new: Mapping[str, Override]) -> Iterator[Change]:
    for name, override in new.items():
        if old.get(name) != override:
            yield Change(
                f"{stream}: {name} is turned down to {override.action} until {override.until} ({override.by}: {override.reason})",
                f"{stream}：{name} 放宽为 {override.action}，至 {override.until}（{override.by}：{override.reason}）",
                laxer=True,
            )
    for name in old.keys() - new.keys():
        yield Change(f"{stream}: the override of {name} is gone", f"{stream}：{name} 的放宽已取消")
