"""A policy set in sentences, in Chinese or English, under three heads.

    enforced                       what the relay does whatever a sender wants
    only observed or relaxed       by whom, why, until when
    not checked by this system     what people answer for

The third head is as important as the first: nobody may believe that the relay
checks what it does not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from relay.policy.cases.case import Action
from relay.policy.cases.jurisdiction import Reach
from relay.policy.deciding.pacing import WARM, too_wide
from relay.policy.deciding.thresholds import PAUSABLE
from relay.policy.rules.rule import Rule
from relay.policy.sets.model import UNPACED
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import BINDS, Purpose, Reason
from relay.policy.telling.sentences import Sentence, packs, until, vouched_for
from relay.policy.telling.standing import expired, expiring, wants
from relay.policy.timing.limits import Limit

PURPOSE_WORDS = {
    Purpose.MARKETING: ("marketing", "营销"),
    Purpose.SERVICE: ("service", "服务"),
    Purpose.CORRESPONDENCE: ("correspondence from person to person", "个人通信"),
    Purpose.NOTICE: ("legal notice", "法定通知"),
}
_REASONS = {
    Reason.LEGAL: ("an order of an authority", "主管部门要求"),
    Reason.MANUAL_ALL: ("an entry for all mail", "人工停发全部邮件"),
    Reason.COMPLAINT: ("a complaint", "投诉"),
    Reason.OBJECTION: ("an objection in words", "书面拒绝"),
    Reason.UNSUBSCRIBE: ("an unsubscription", "退订"),
    Reason.HARD_BOUNCE: ("a dead address", "地址失效"),
    Reason.MANUAL: ("an entry for marketing", "人工停发营销邮件"),
}
ACTION_WORDS = {
    Action.REJECT: ("refused", "拒收"),
    Action.DEFER: ("must wait", "暂缓"),
    Action.HOLD: ("held until a person releases it", "暂存，等待人工放行"),
    Action.WARN: ("only recorded", "仅记录"),
}
_HEADS = (
    ("Enforced", "强制执行"),
    ("Only observed or relaxed", "仅观察或已放宽"),
    ("Not checked by this system; people answer for it", "本系统不检查，由人负责"),
)
_NOT_CHECKED = (
    (
        "Whether recipients agreed to be written to, where no rule asks the consent ledger; and whether what it holds is true.",
        "没有规则查询同意台账时，收件人是否同意接收；以及台账所登记的内容是否属实。",
    ),
    (
        "Whether what a message says is true or fair; words, licences and labels only where a pack asks for them.",
        "邮件内容是否真实、公平；用语、资质与标注仅在规则包要求时检查。",
    ),
    (
        "Whether mail is in the right stream: an account sends what its people let it send.",
        "邮件是否用对了邮件流：账号发送什么由使用者决定。",
    ),
    (
        "Whether a recipient's domain takes mail, where [dns] servers of config.toml names no resolver.",
        "config.toml 的 [dns] servers 未写明解析服务器时，收件域名是否存在、是否收信。",
    ),
    ("The wording of correspondence: it is never read.", "个人通信的内容：系统从不读取。"),
    ("Mail that leaves without passing through this relay.", "不经过本系统发送的邮件。"),
)
_EXAMPLES = ("example", "示例")


@dataclass(frozen=True, slots=True)
class Section:
    """A head and its sentences."""

    head: Sentence
    sentences: tuple[Sentence, ...]


def show(policy: PolicySet, today: date) -> tuple[Section, ...]:
    """Say the policy as it stands on a day."""
    parts = (_enforced(policy, today), _relaxed(policy, today), _not_checked(policy, today))
    return tuple(Section(Sentence(*head), tuple(part)) for head, part in zip(_HEADS, parts, strict=True))


def examples_left(policy: PolicySet) -> list[str]:
    """Where the set still has the shipped examples instead of this organisation's facts: "file: key: value"."""
    organisation = policy.organisation
    facts = {
        "legal_name": (organisation.legal_name.zh, organisation.legal_name.en),
        "postal_address": (organisation.postal_address.zh, organisation.postal_address.en),
        "contact": (organisation.contact,),
        "refusal_mailbox": (organisation.refusal_mailbox,),
        "privacy_url": (organisation.privacy_url,),
        "preferences_url": (organisation.preferences_url,),
    }
    found = [f"organisation.toml: {key}: {text}" for key, texts in facts.items() for text in texts if _is_example(text)]
    for stream in policy.streams:
        for key in ("identities", "sender_domains"):
            entries = getattr(stream.match, key)
            found += [f"streams/{stream.name}.toml: match.{key}: {entry}" for entry in entries if _is_example(entry)]
    return found


def _is_example(text: str) -> bool:
    return any(word in text.casefold() for word in _EXAMPLES)


def _enforced(policy: PolicySet, today: date) -> Iterator[Sentence]:
    order = ", ".join(stream.name for stream in policy.streams)
    yield Sentence(
        f"Mail is taken by the first stream that matches: {order}. Mail that matches none is refused.",
        f"邮件由第一个匹配的邮件流接收：{order}。都不匹配的邮件被拒收。",
    )
    for stream in policy.streams:
        yield from _stream(stream)
        yield from _duties(stream)
        yield from _limits(stream)
        yield from _pace(stream, policy, today)
        yield from _thresholds(stream)
    yield from _reserve(policy)
    yield from _rules(policy, lambda stream, rule: _is_enforced(stream, rule, today))
    for stream in policy.streams:
        yield from _held_service(stream, today)
    yield from packs(policy)
    yield from (sentence for _, sentence in (*expired(policy, today), *expiring(policy, today)))
    for want in wants(policy):
        yield Sentence(f"{want.sentence.en}.", f"{want.sentence.zh}。")


def _stream(stream: Stream) -> Iterator[Sentence]:
    match = stream.match
    kinds = (("accounts", "账号"), ("listeners", "监听"), ("sender domains", "发件域名"))
    given = [(en, zh, ", ".join(entries)) for (en, zh), entries in zip(kinds, match.lists, strict=True) if entries]
    of, of_zh = "; ".join(f"{en} {entries}" for en, _, entries in given), "；".join(f"{zh} {entries}" for _, zh, entries in given)
    purpose, name = PURPOSE_WORDS[stream.purpose], stream.name
    yield Sentence(
        f"{name}: {purpose[0]}; takes mail of {of or 'everybody else'}.",
        f"{name}：{purpose[1]}邮件；匹配{of_zh or '其余全部邮件'}。",
    )
    reasons = [_REASONS[reason] for reason in Reason if reason in BINDS[stream.purpose]]
    yield Sentence(
        f"{name}: a recipient is not written to after {', '.join(en for en, _ in reasons)}.",
        f"{name}：以下情况不再发送：{'、'.join(zh for _, zh in reasons)}。",
    )
    if stream.signing_required:
        yield Sentence(f"{name}: nothing leaves without our DKIM signature.", f"{name}：没有本系统 DKIM 签名的邮件不会发出。")
    if stream.setting.sensitive:
        yield Sentence(
            f"{name}: its mail tells sensitive data; where it leaves the country its recipients are counted apart.",
            f"{name}：邮件涉及敏感个人信息；出境时其收件人单独统计。",
        )
    if stream.file.personalised:
        yield Sentence(f"{name}: a program chooses what each recipient is shown.", f"{name}：由程序按个人特征挑选内容。")
    if stream.file.adult:
        yield Sentence(f"{name}: its mail is sexually explicit.", f"{name}：邮件含有成人内容。")
    yield from _unsubscribing(stream)


def _duties(stream: Stream) -> Iterator[Sentence]:
    for duty in stream.duties:
        deed, deed_zh = duty.table.deed
        # Correspondence is not split: what some recipients' law asks for is done to the copies of all.
        is_for_all = duty.reach is None or (duty.reach.recipients and stream.purpose is Purpose.CORRESPONDENCE)
        where, where_zh = ("", "") if is_for_all else _reached(duty.reach)
        cite = f" [{duty.table.cite}]" if duty.table.cite else ""
        yield Sentence(
            f"{stream.name}: {deed}{where} ({duty.name}){cite}.",
            f"{stream.name}：{deed_zh}{where_zh}（{duty.name}）{cite}。",
        )


def _unsubscribing(stream: Stream) -> Iterator[Sentence]:
    name = stream.name
    scope = (
        ("every marketing stream", "所有营销邮件流")
        if stream.unsubscribe.scope == "organisation"
        else ("this stream", "本邮件流")
    )
    if stream.unsubscribe.one_click:
        yield Sentence(
            f"{name}: every recipient gets a one-click link; using it stops {scope[0]}.",
            f"{name}：每位收件人都有一键退订链接，使用后{scope[1]}停发。",
        )
    if stream.unsubscribe.mailto:
        yield Sentence(
            f"{name}: every recipient can unsubscribe by a mail to the sender; it stops {scope[0]}.",
            f"{name}：每位收件人都可以发邮件退订，收到后{scope[1]}停发。",
        )


def _rules(policy: PolicySet, wanted: Callable[[Stream, Rule], bool]) -> Iterator[Sentence]:
    """One sentence a rule, naming the streams that ask it."""
    asking: dict[str, list[tuple[Stream, Rule]]] = {}
    for stream in policy.streams:
        for rule in stream.rules:
            if wanted(stream, rule):
                asking.setdefault(rule.name, []).append((stream, rule))
    for found in asking.values():
        rule = found[0][1]
        names = ", ".join(stream.name for stream, _ in found)
        who, who_zh = ("Every stream", "所有邮件流") if len(found) == len(policy.streams) else (names, names)
        (en, zh), (where, where_zh) = ACTION_WORDS[rule.action], _where(rule)
        cite = f" [{rule.table.cite}]" if rule.table.cite else ""
        yield Sentence(
            f"{who}: {en}{where}: {rule.text} ({rule.name}){cite}.",
            f"{who_zh}：{zh}{where_zh}：{rule.text_zh}（{rule.name}）{cite}。",
        )


def _where(rule: Rule) -> tuple[str, str]:
    domains = ", ".join(rule.table.recipient_domains)
    said, said_zh = (f" for {domains}", f"（{domains}）") if domains else ("", "")
    where, where_zh = _reached(rule.reach)
    return said + where, said_zh + where_zh


def _reached(reach: Reach | None) -> tuple[str, str]:
    if reach is None:
        return "", ""
    recipients, upstreams = ", ".join(sorted(reach.recipients)), ", ".join(sorted(reach.upstreams))
    said = []
    if recipients:
        said.append((f"for recipients in {recipients}", f"{recipients} 的收件人"))
    if upstreams:
        said.append(
            (f"for mail that may leave by an upstream server in {upstreams}", f"可能经 {upstreams} 的上游服务器发出的邮件")
        )
    return " " + " or ".join(en for en, _ in said), f"（{'，或'.join(zh for _, zh in said)}）"


def _limits(stream: Stream) -> Iterator[Sentence]:
    limits = stream.limits
    scopes: list[tuple[str, str, tuple[Limit, ...]]] = [("one identity", "每个账号", limits.identity)]
    for domain, some in limits.recipient_domain.items():
        scopes.append((domain, domain, some) if domain != "*" else ("each other recipient domain", "其他每个收件域名", some))
        if not some and limits.of_domain("*"):
            yield Sentence(f"{stream.name}: no limit for {domain}.", f"{stream.name}：对 {domain} 没有上限。")
    scopes.append(("one recipient", "每个收件人", limits.recipient))
    for en, zh, some in scopes:
        for limit in some:
            yield Sentence(f"{stream.name}: at most {limit} for {en}.", f"{stream.name}：{zh}最多 {limit}。")


def _pace(stream: Stream, policy: PolicySet, today: date) -> Iterator[Sentence]:
    limits, name, home = stream.limits, stream.name, policy.organisation.time_zone
    if limits.over == "hold":
        what, what_zh = "is held by the relay and leaves when it may", "由系统暂存，到时自动发送"
    else:
        what, what_zh = "waits with the client, which is told when to come back", "由客户端按提示的时间重试"
    hours = ", ".join(map(str, limits.hours))
    if hours and stream.mode == "enforce":
        whose, whose_zh = f"by the clock in {home}", f"{home} 时间"
        if limits.hours_zone == "recipient":
            whose = f"by the recipient's clock ({home} where nobody names the country; of several zones in all)"
            whose_zh = f"收件人当地时间；国家未知时按 {home}；一国有多个时区时须全部在时段内"
        yield Sentence(f"{name}: leaves only {hours}, {whose}.", f"{name}：只在 {hours} 发送（{whose_zh}）。")
        if apart := too_wide(stream, today.year):
            zones = ", ".join(f"{country} ({zone})" for country, zone in apart)
            yield Sentence(
                f"{name}: these hours never come in all zones of a country at once; one zone counts: {zones}.",
                f"{name}：以下国家各时区没有共同的时段，只按其中一个时区计算：{zones}。",
            )
    if limits.warm_up:
        count, factor = limits.warm_up.count, limits.warm_up.factor
        yield Sentence(
            f"{name}: warms up: {count} recipients on its first day of sending, {factor} times as many on each that follows,"
            f" until the usual limit on a day ({WARM} where there is none).",
            f"{name}：预热：第一个发送日最多 {count} 位收件人，之后每个发送日乘以 {factor}，到日上限为止（无上限时为 {WARM}）。",
        )
    yield Sentence(f"{name}: what is over a limit {what}.", f"{name}：超过上限的邮件{what_zh}。")


def _reserve(policy: PolicySet) -> Iterator[Sentence]:
    kept = policy.organisation.limits.reserve
    if any(stream.purpose is Purpose.MARKETING for stream in policy.streams):
        yield Sentence(
            f"Marketing leaves {kept} of each limit of an upstream server, and its last free connection, to other mail.",
            f"营销邮件把上游服务器每个上限的 {kept} 和最后一个空闲连接留给其他邮件。",
        )


def _held_service(stream: Stream, today: date) -> Iterator[Sentence]:
    """Mail that people wait for, and that waits for a person."""
    if stream.purpose not in UNPACED:
        return
    names = [rule.name for rule in stream.rules if rule.action is Action.HOLD and _is_enforced(stream, rule, today)]
    if names:
        shown, purpose = ", ".join(names), PURPOSE_WORDS[stream.purpose]
        yield Sentence(
            f"{stream.name}: {purpose[0]} mail may be late: it waits for a person where {shown} objects.",
            f"{stream.name}：{purpose[1]}邮件可能延迟：{shown} 命中时须等待人工放行。",
        )


def _thresholds(stream: Stream) -> Iterator[Sentence]:
    held, measured = stream.thresholds, (("complaints", "投诉"), ("hard_bounces", "硬退信"))
    pauses = stream.purpose in PAUSABLE
    warns = [(en.replace("_", " "), zh, getattr(held, en)) for en, zh in measured]
    says = "; ".join(f"{en} over {r.warn} warn" + (f", over {r.pause} pause the stream" if pauses else "") for en, _, r in warns)
    says_zh = "；".join(f"{zh}超过 {r.warn} 告警" + (f"，超过 {r.pause} 暂停" if pauses else "") for _, zh, r in warns)
    yield Sentence(
        f"{stream.name}: {says} (of the mail of {held.window} days, from {held.minimum} recipients on).",
        f"{stream.name}：{says_zh}（按 {held.window} 天内发出的邮件计算，收件人满 {held.minimum} 位起）。",
    )


def _is_enforced(stream: Stream, rule: Rule, today: date) -> bool:
    if rule.never:
        return False
    override = stream.overrides.get(rule.name)
    turned_down = override is not None and today <= override.until
    return rule.protected or (rule.action > Action.WARN and stream.mode == "enforce" and not turned_down)


def _relaxed(policy: PolicySet, today: date) -> Iterator[Sentence]:
    yield from _rules(policy, lambda _, rule: rule.action is Action.WARN and not rule.never)
    for stream in policy.streams:
        if stream.mode == "shadow":
            yield Sentence(
                f"{stream.name}: in shadow mode; all but refusals, ownership, structure and the signature is only recorded.",
                f"{stream.name}：处于观察模式；除拒收、发件人归属、结构和签名外，均只记录不拦截。",
            )
        for override in stream.overrides.values():
            ends, ends_zh = until(override.until, today)
            yield Sentence(
                f"{stream.name}: {override.rule} turned down to {override.action}, {ends} ({override.by}: {override.reason}).",
                f"{stream.name}：{override.rule} 放宽为 {override.action}，{ends_zh}（{override.by}：{override.reason}）。",
            )
    for exempt in policy.organisation.exempt:
        who, rules = ", ".join(exempt.recipients), ", ".join(exempt.rules)
        ends, ends_zh = until(exempt.until, today)
        yield Sentence(
            f"{who}: exempt from {rules}, {ends} ({exempt.by}: {exempt.reason}).",
            f"{who}：豁免 {rules}，{ends_zh}（{exempt.by}：{exempt.reason}）。",
        )
    for extend in policy.organisation.extend:
        ends, ends_zh = until(extend.until, today)
        yield Sentence(
            f"The pack {extend.pack} counts as reviewed {ends} ({extend.by}: {extend.reason}).",
            f"规则包 {extend.pack} 延期，{ends_zh}（{extend.by}：{extend.reason}）。",
        )
    yield from vouched_for(policy, today)


def _not_checked(policy: PolicySet, today: date) -> Iterator[Sentence]:
    yield from (Sentence(*texts) for texts in _NOT_CHECKED)
    if any(pack.reach is not None and pack.reach.upstreams for stream in policy.streams for pack in stream.packs):
        yield Sentence(
            "Where an upstream server stands: its profile or config.toml says it, and packs that ask for it go by that.",
            "上游服务器位于哪个国家：以服务商配置或 config.toml 为准，按上游服务器适用的规则包据此判断。",
        )
    unused = sorted(set(policy.packs) - {pack.name for stream in policy.streams for pack in stream.packs})
    if unused:
        yield Sentence(
            f"What these packs ask, as no stream uses them or they apply to none: {', '.join(unused)}.",
            f"以下规则包的要求（没有邮件流使用，或均不适用）：{'、'.join(unused)}。",
        )
    for stream in policy.streams:
        if not stream.signing_required:
            yield Sentence(
                f"{stream.name}: whether mail is signed by us; without a key it leaves unsigned.",
                f"{stream.name}：是否由本系统签名；没有密钥时不签名发出。",
            )
        if stream.purpose is Purpose.MARKETING and not stream.unsubscribe.is_offered:
            yield Sentence(
                f"{stream.name}: how recipients unsubscribe; no link is added.",
                f"{stream.name}：收件人如何退订；系统不添加链接。",
            )
    retention = policy.organisation.retention
    yield Sentence(
        f"That records older than {retention.records} days and network logs older than {retention.network_log} days are deleted:"
        " the relay deletes nothing by itself.",
        f"删除超过保存期限的记录（{retention.records} 天）与网络日志（{retention.network_log} 天）：系统不会自动删除任何数据。",
    )
