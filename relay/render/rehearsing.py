"""Judge the cases of a policy set whole: the verdict, and of what may leave the copy, written as the line writes it.

What only a running relay knows is invented: the link is nobody's, and a
mailbox that somebody reads is the one for refusals.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from relay.errors import ConfigurationError, RenderingImpossible, RuleFailed
from relay.mail.message import Message
from relay.policy.cases.jurisdiction import countries_told
from relay.policy.consents.consent import Ground
from relay.policy.rehearsing.rehearsal import Difference, Rehearsal, read_rehearsals, verdict_differences
from relay.policy.rehearsing.rehearsal_file import CopyTable
from relay.render.duties import Treatment, carry_out, treatment_for
from relay.render.letterhead import letterhead_of

_LINK = "https://unsubscribe.example.com/u/case"


def differences(rehearsal: Rehearsal) -> tuple[Difference, ...]:
    """What the case expects of the verdict and of the copy, and what does not come out; nothing when it holds."""
    expected, message = rehearsal.table.copied, rehearsal.case.message
    found = verdict_differences(rehearsal)
    return found if expected is None or message is None else (*found, *_of_copy(rehearsal, message, expected))


def _of_copy(rehearsal: Rehearsal, message: Message, expected: CopyTable) -> Iterator[Difference]:
    case, stream = rehearsal.case, rehearsal.stream
    told = countries_told(case.recipient.mailbox.domain, case.recorded_countries)
    agreed = stream.agreed(_grounds(rehearsal))
    treatment = treatment_for(stream, told, case.jurisdictions, case.upstream_countries, agreed, message)
    try:
        copy, left_out = _copied(rehearsal, message, treatment)
    except RenderingImpossible as fault:
        if fault.rule != expected.impossible:
            yield Difference(f"no copy can be made: {fault.rule}: {fault}", f"无法生成副本：{fault.rule}：{fault}")
        return
    if expected.impossible:
        yield Difference(f"a copy can be made in spite of {expected.impossible}", f"{expected.impossible} 并未阻止生成副本")
        return
    yield from _of_header(message, copy, expected)
    yield from _of_texts(message, copy, treatment, expected)
    yield from _listed("duties done", "已执行的处理", expected.done, [name for name in treatment.names if name not in left_out])
    yield from _listed("left out", "未能执行的处理", expected.left_out, left_out)


def _grounds(rehearsal: Rehearsal) -> tuple[Ground, ...]:
    """The consents on which the verdict rests; of a rule that fails the verdict tells."""
    try:
        return rehearsal.judge().grounds
    except RuleFailed:
        return ()


def _copied(rehearsal: Rehearsal, message: Message, treatment: Treatment) -> tuple[Message, tuple[str, ...]]:
    """The copy as its recipient reads it, and the duties that could not be done. Raises RenderingImpossible."""
    organisation, stream = rehearsal.policy.organisation, rehearsal.stream
    signing = frozenset(author.domain for author in message.authors or ()) if stream.signing_required else frozenset()
    letterhead = letterhead_of(organisation, stream, feedback_mailbox=organisation.refusal_mailbox, signing_domains=signing)
    done = carry_out(message, treatment, letterhead, rehearsal.at.timestamp())
    fields = b"".join([*(field.raw for field in done.fields), *(raw for _, raw in done.added)])
    link = _LINK if letterhead.has_link else None
    return Message.parse(fields + b"\r\n" + done.body.octets(link)), tuple(name for name, _ in done.skipped)


def _of_header(message: Message, copy: Message, expected: CopyTable) -> Iterator[Difference]:
    if expected.subject is not None and copy.subject != expected.subject:
        yield _other("subject", "主题", expected.subject, copy.subject)
    before, now = ({field.name.decode("latin-1") for field in one.fields} for one in (message, copy))
    yield from _listed("fields added", "添加的邮件头", expected.adds, now - before)
    yield from _listed("fields removed", "移除的邮件头", expected.removes, before - now)


def _of_texts(message: Message, copy: Message, treatment: Treatment, expected: CopyTable) -> Iterator[Difference]:
    before = {text.where: text.shown for text in message.content.texts}
    written = [text for text in copy.content.texts if text.where != "subject" and text.shown != before.get(text.where, "")]
    if expected.footer is not None:
        found = bool(written) if isinstance(expected.footer, bool) else "+".join(treatment.languages) if written else False
        if found != expected.footer:
            yield _other("footer", "页脚", str(expected.footer).lower(), str(found).lower())
    for words in expected.says:
        silent = [text.where for text in written if words not in text.shown or words in before.get(text.where, "")]
        if silent or not written:
            where = ", ".join(silent) or "any text"
            yield Difference(f'"{words}" is not written into {where}', f"没有把“{words}”写入正文（{where}）")
    gone = len(message.content.pixels) - len(copy.content.pixels)
    if expected.pixels_removed is not None and gone != expected.pixels_removed:
        yield _other("pixels removed", "移除的跟踪像素", str(expected.pixels_removed), str(gone))


def _listed(what: str, what_zh: str, expected: Iterable[str] | None, found: Iterable[str]) -> Iterator[Difference]:
    """Nothing is expected of None; the order and the case of letters say nothing."""
    wanted, there = (sorted(map(str.lower, some)) for some in (expected or (), found))
    if expected is not None and wanted != there:
        yield _other(what, what_zh, ", ".join(wanted), ", ".join(there))


def _other(what: str, what_zh: str, expected: str, found: str) -> Difference:
    return Difference(
        f"{what}: expected {expected or 'none'}, found {found or 'none'}",
        f"{what_zh}应为 {expected or '无'}，实为 {found or '无'}",
    )


@dataclass(frozen=True, slots=True)
class Failed:
    """A case that does not hold, and why not."""

    rehearsal: Rehearsal
    differences: tuple[Difference, ...]

    def lines(self) -> Iterator[str]:
        """One for each difference: file, line, case, what was expected and what was found, in English and Chinese."""
        for one in self.differences:
            yield f"{self.rehearsal.file}: line {self.rehearsal.line}: {self.rehearsal.name}: {one.text} / {one.text_zh}"


def failures(rehearsals: Iterable[Rehearsal]) -> tuple[Failed, ...]:
    """Those that do not hold."""
    judged = ((one, differences(one)) for one in rehearsals)
    return tuple(Failed(one, found) for one, found in judged if found)


def require_cases_to_hold(files: Mapping[str, bytes]) -> int:
    """Judge every case of a set and return how many there are. Raises ConfigurationError that lists what does not hold."""
    rehearsals = read_rehearsals(files)
    if failed := failures(rehearsals):
        remedy = (
            f"of {len(rehearsals)} cases in tests/ {len(failed)} do not hold: correct the rule, or the case if it is what changed"
            f" / tests/ 中 {len(rehearsals)} 个用例有 {len(failed)} 个不符：请修正规则；若规则的改动是有意的，请修改用例"
        )
        raise ConfigurationError("\n".join([*(line for one in failed for line in one.lines()), remedy]))
    return len(rehearsals)
