"""What `relay explain` prints: rule by rule what it looked at and said, and the copy that would leave."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from relay.cli.output import language, local_time, say, text
from relay.explain import Explained
from relay.policy.cases.case import Action, Asked, Case
from relay.policy.cases.jurisdiction import Source, Told
from relay.policy.consents.consent import Ground
from relay.policy.deciding.asking import cites_of
from relay.policy.sets.policy_set import Stream
from relay.policy.telling.inputs import FACTS, Input, facts_of, inputs_of
from relay.policy.telling.show import PURPOSE_WORDS
from relay.policy.telling.whose_law import whose_law
from relay.records.answered import NO_OBJECTION, Answered
from relay.records.explanations import Explanation
from relay.records.wording import ORIGINS, REASONS, WEIGHTS, detail_words, scope_words, word
from relay.render.copy import Copy

FIRST_LINES = 10
_WIDTH = 200  # characters of a value or a line of a body
_MOST = 8  # entries of a list; --json has them all
_ENOUGH = 64 * 1024  # octets of a body that its first lines are looked for in

_OF_RECIPIENT = (
    "recipient.domain", "recipient.countries", "recipient.countries_from", "recipient.suppressions", "recipient.consents",
    "upstream.countries",
)  # fmt: skip
_UNSAID = {
    "stream.name",
    "stream.purpose",
    "recipient.address",
    "message.from_address",
    "message.from_domain",
    "message.fields",
}
_OF_MESSAGE = tuple(
    name for name in FACTS if name not in _UNSAID and name not in _OF_RECIPIENT and not name.startswith("organisation.")
)
_MODES = {"enforce": "强制执行", "shadow": "仅观察"}


def show(stream: Stream, explained: Sequence[Explained], files: Mapping[str, str]) -> None:
    """Print everything for people, each verdict before what it rests on.

    `files` are the copies that were written, by recipient key.
    """
    say(
        f"邮件流：{stream.name}（{PURPOSE_WORDS[stream.purpose][1]}，{_MODES[stream.mode]}）",
        f"Stream: {stream.name} ({stream.purpose.value}, {stream.mode})",
    )
    for one in explained:
        _show_one(stream, one, files.get(one.ruling.recipient.key, ""))
    seen = next((one.case for one in explained if one.case.message), explained[0].case)
    say("\n邮件本身：", "\nThe message:")
    if seen.message is None:
        say(
            "  收件人在 RCPT 阶段已全部被拒，没有规则看到邮件内容",
            "  All recipients are refused at RCPT, before there is a message",
        )
    _show_facts(_OF_MESSAGE, seen, stream)


def _show_one(stream: Stream, one: Explained, file: str) -> None:
    click.echo()
    who, action = one.ruling.recipient.mailbox.wire, weight(one.ruling.action)
    click.secho(text(f"{who}：{action}", f"{who}: {action}"), bold=True)
    if one.is_held:
        say(
            "  会由中继保留（答复 250），规则允许时自动发送，或由管理员放行",
            "  would be held (reply 250), and sent when the rule allows it or somebody releases it",
        )
    elif one.reply is not None:
        click.echo("  " + "\n  ".join(one.reply.lines()))
    if one.impossible:
        say(f"  无法生成合规副本：{one.impossible}", f"  no compliant copy can be made: {one.impossible}")
    _show_facts(_OF_RECIPIENT, one.case, stream)
    cites = cites_of(stream)
    for asked, before in zip(one.ruling.asked, inputs_of(one.ruling.asked, stream, one.case), strict=True):
        click.echo(f"  {_asked_line(asked)}")
        if given := _input_line(before):
            say(f"      依据：{given}", f"      input: {given}")
        if cite := _cite(asked, cites):
            say(f"      出处：{cite}", f"      cite: {cite}")
        if asked.objection and (remedy := asked.objection.fix_zh if language() == "zh" else asked.objection.fix):
            click.echo(f"      → {remedy}")
    if one.copy is not None:
        _show_copy(one, one.copy)
    if file:
        say(f"  已写入 {file}", f"  written to {file}")


def _show_facts(names: Iterable[str], case: Case, stream: Stream) -> None:
    for name, value in facts_of(names, case, stream.setting).items():
        fact, shown = FACTS[name], _shown(value, name)
        say(f"  {fact.meaning_zh}（{name}）：{shown}", f"  {fact.meaning} ({name}): {shown}")


def _cite(asked: Asked, cites: Mapping[str, str]) -> str:
    """What the rule rests on, asked or not."""
    return (asked.objection.cite if asked.objection else "") or cites.get(asked.rule, "")


def _asked_line(asked: Asked) -> str:
    why = text(asked.why_zh or asked.why, asked.why)
    if not asked.asked:
        return text(f"- {asked.rule}：未询问（{why}）", f"- {asked.rule}: not asked ({why})")
    objection = asked.objection
    if objection is None:
        rests = in_brackets(text("；", "; ").join(map(_ground, asked.grounds)))
        return text(f"✓ {asked.rule}：无异议{rests}", f"ok {asked.rule}{rests}")
    detail = in_brackets(detail_words(asked.rule, objection.detail)[language()])
    turned = "" if asked.why == "asked" else text(f"〔{why}〕", f" [{why}]")
    heavy = weight(objection.action)
    return text(
        f"✗ {asked.rule}：{heavy}{turned}：{objection.text_zh}{detail}",
        f"✗ {asked.rule}: {heavy}{turned}: {objection.text}{detail}",
    )


def _ground(ground: Ground) -> str:
    given = local_time(ground.at)
    return text(
        f"依据同意 {ground.consent}：{ground.purpose}，{ground.basis}，{given}",
        f"on consent {ground.consent}: {ground.purpose}, {ground.basis}, {given}",
    )


def in_brackets(detail: str) -> str:
    """What was seen, as it follows a sentence."""
    return text(f"（{detail}）", f" ({detail})") if detail else ""


def _input_line(before: Input) -> str:
    given = [(name, _shown(value, name)) for name, value in (*before.facts.items(), *before.parameters.items())]
    return text("；", "; ").join(f"{name} = {shown}" for name, shown in given)


def weight(action: Action) -> str:
    """An action as people call it."""
    return word(WEIGHTS, action.word)[language()]


def _shown(value: Any, name: str = "") -> str:
    """A value in one line, shortened, nothing in it that a terminal would obey."""
    if isinstance(value, bool):
        return text("是", "yes") if value else text("否", "no")
    if value is None or value in ("", (), [], {}):
        return text("无", "none")
    if isinstance(value, Mapping):
        return _IN_WORDS.get(name, _table)(value)
    if isinstance(value, list | tuple):
        more = f" … ({len(value)})" if len(value) > _MOST else ""
        return text("、", ", ").join(_shown(one, name) for one in value[:_MOST]) + more
    return printable(str(value))


def _table(value: Mapping[str, Any]) -> str:
    items = list(dated(value).items())
    more = f" … ({len(items)})" if len(items) > _MOST else ""
    return "{" + ", ".join(f"{printable(key)}: {_shown(one)}" for key, one in items[:_MOST]) + more + "}"


def _teller(told: Mapping[str, Any]) -> str:
    en, zh = whose_law([Told(Source(told["by"]), frozenset(told["countries"]), told["at"])])
    return text(zh, en)


def _suppression(entry: Mapping[str, Any]) -> str:
    entry = dated(entry)
    reason = text(*(word(REASONS, entry["reason"])[chosen] for chosen in ("zh", "en")))
    ends = text(f"至 {entry['expires_at']}", f"until {entry['expires_at']}") if entry["expires_at"] else ""
    again = text(f"最近 {entry['again_at']}", f"again {entry['again_at']}") if entry["again_at"] else ""
    scope, origin = scope_words(entry["scope"])[language()], word(ORIGINS, entry["origin"])[language()]
    facts = (f"{entry['reason']} ({reason})", scope, origin, entry["at"], again, ends, printable(entry["note"]))
    return "[" + ", ".join(filter(None, facts)) + "]"


_IN_WORDS = {"recipient.suppressions": _suppression, "recipient.countries_from": _teller}


def dated(value: Any) -> Any:
    """The same with local times for people instead of seconds."""
    if isinstance(value, Mapping):
        return {name: local_time(one) if name in _TIMES and isinstance(one, float) else dated(one) for name, one in value.items()}
    return [dated(one) for one in value] if isinstance(value, list | tuple) else value


_TIMES = frozenset({"at", "again_at", "expires_at"})


def printable(line: str, width: int = _WIDTH) -> str:
    """The line as far as it fits, with an escape for whatever a terminal would not print but obey."""
    shown = "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line[:width])
    return shown + ("…" if len(line) > width else "")


def _show_copy(one: Explained, copy: Copy) -> None:
    say(f"  将经 {one.upstream} 发出的邮件头：", f"  the header that would leave by {one.upstream}:")
    for line in copy.header.decode("utf-8", "backslashreplace").rstrip().split("\r\n"):
        click.echo(f"    {printable(line, len(line))}")
    encodings = ", ".join(map(printable, one.encodings))
    anew = text("，已为上游服务器重新编码", ", encoded anew for the upstream server") if one.is_encoded else ""
    if copy.needs_8bit:
        anew += text("；上游服务器不支持 8BITMIME 时改为 quoted-printable", "; quoted-printable if the server lacks 8BITMIME")
    size, shown = len(copy.body), first_lines(copy)
    say(
        f"  正文：{size:,} 字节，{encodings}{anew}；开头 {len(shown)} 行：",
        f"  the body: {size:,} octets, {encodings}{anew}; its first lines ({len(shown)}):",
    )
    for line in shown:
        click.echo(f"    {line}".rstrip())
    if copy.duties:
        names = ", ".join(copy.duties)
        say(f"  已执行的处理：{names}", f"  duties done: {names}")
    for name, why in copy.skipped:
        say(f"  未能执行的处理：{name}（{why}）", f"  duty left out: {name} ({why})")


def first_lines(copy: Copy) -> list[str]:
    """How the body begins, octets that are not UTF-8 as escapes."""
    lines = copy.body[:_ENOUGH].removesuffix(b"\r\n").split(b"\r\n", FIRST_LINES)[:FIRST_LINES]
    return [printable(line.decode("utf-8", "backslashreplace")) for line in lines]


def as_json(stream: Stream, one: Explained, file: str) -> dict[str, Any]:
    """One recipient for machines; `file` is where its copy was written, "" when it was not."""
    ruling, copy, cites = one.ruling, one.copy, cites_of(stream)
    body = copy and {
        "octets": len(copy.body),
        "transfer_encodings": one.encodings,
        "encoded_anew": one.is_encoded,
        "first_lines": first_lines(copy),
    }
    return {
        "recipient": ruling.recipient.mailbox.wire,
        "action": ruling.action.word,
        "stream": stream.name,
        "facts": dated(facts_of((name for name in FACTS if name != "message.fields"), one.case, stream.setting)),
        "rules": [
            _rule(asked, before, _cite(asked, cites))
            for asked, before in zip(ruling.asked, inputs_of(ruling.asked, stream, one.case), strict=True)
        ],
        "reply": one.reply.lines() if one.reply else None,
        "held": one.is_held,
        "impossible": one.impossible,
        "upstream": one.upstream,
        "header": copy.header.decode("utf-8", "replace") if copy else None,
        "body": body,
        "duties": {"done": copy.duties, "skipped": dict(copy.skipped)} if copy else None,
        "eml": file or None,
    }


def _rule(asked: Asked, before: Input, cite: str) -> dict[str, Any]:
    return {
        "rule": asked.rule,
        "asked": asked.asked,
        "why": asked.why,
        "why_zh": asked.why_zh,
        "input": {"facts": dated(before.facts), "parameters": before.parameters},
        "action": asked.objection.action.word if asked.objection else None,
        "detail": asked.objection.detail if asked.objection else "",
        "text": {"en": asked.objection.text, "zh": asked.objection.text_zh} if asked.objection else None,
        "cite": cite,
        "consents": [dated(asdict(ground)) for ground in asked.grounds],
    }


def _show_answers(answers: Iterable[Answered]) -> None:
    """Every rule of the time: asked or not and why, its answer, what it rests on."""
    for one in answers:
        answer = one.answer[language()]
        if not one.asked:
            say(f"  - {one.rule}：未询问（{answer}）", f"  - {one.rule}: not asked ({answer})")
        elif one.answer == NO_OBJECTION:
            say(f"  ✓ {one.rule}：{answer}", f"  ok {one.rule}")
        else:
            say(f"  ✗ {one.rule}：{answer}", f"  ✗ {one.rule}: {answer}")
        if one.cite:
            say(f"      出处：{one.cite}", f"      cite: {one.cite}")


def show_explanation(explanation: Explanation) -> None:
    """Print what the records say of a refusal."""
    chosen = language()
    click.echo(f"{explanation.id}  {explanation.stream}  {explanation.sender}")
    for fate in explanation.fates:
        click.secho(f"\n{fate.sentence[chosen]}", bold=True)
        click.echo("  " + ", ".join(fate.people) + (f" … ({fate.count})" if fate.count > len(fate.people) else ""))
        if fate.law:
            say(f"  适用的法律：{fate.law['zh']}", f"  law of: {fate.law['en']}")
        for reason in fate.reasons:
            click.echo(f"  {reason.rule} ({reason.weight[chosen]}): {reason.text[chosen]}{in_brackets(reason.seen[chosen])}")
            if reason.fix[chosen]:
                click.echo(f"      → {reason.fix[chosen]}")
            if reason.cite and not fate.answers:
                click.echo(f"      {reason.cite}")
        if fate.upstream_text:
            click.echo(f"  {fate.upstream_text}")
        _show_answers(fate.answers)
        first, last = fate.cleared
        if last:
            say(f"  放行序号：{first}–{last}", f"  let leave under numbers {first} to {last} of the store")
    if explanation.untold:
        say(f"\n{explanation.untold['zh']}", f"\n{explanation.untold['en']}")
    say(
        "\n中继不保存邮件，无法再显示副本；可把邮件存成文件后运行 relay explain FILE",
        "\nThe relay keeps no message, so no copy can be shown; save the message as a file and run `relay explain FILE`",
    )
