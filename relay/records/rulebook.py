"""The policy sets of the time as evidence tells them: in sentences, the purpose of each stream, the rules that were asked.

Everything is read from the files that were kept, never from those in force
now.  A set that this version cannot read any more (its format is an older
one) tells nothing but its files.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from relay.errors import ConfigurationError
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.deciding.asking import rules_asked
from relay.policy.rules.rule import Rule
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.telling.show import PURPOSE_WORDS, show
from relay.records.wording import Both, both

_Place = tuple[str, str, frozenset[str], DomainMail | None, frozenset[str]]  # the arguments of `Rulebook.asked`


@dataclass(frozen=True, slots=True)
class Applied:
    """A policy set came into force at `at`, by whom and why; `until` is when another one took its place."""

    at: float
    until: float | None
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeptSet:
    """The files of a set as they were kept, by path, none where the archive has lost it; and every time it was applied."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    applied: Sequence[Applied] = ()


class Rulebook:
    """One set, opened."""

    def __init__(self, name: str, kept: KeptSet) -> None:
        self.name = name
        self.kept = kept
        self._policy = _compiled(kept.files)
        self._named: dict[str, Rule] = {}
        self._asked: dict[_Place, tuple[str, ...]] = {}

    @property
    def is_readable(self) -> bool:
        """Whether this version understands the files."""
        return self._policy is not None

    def stream(self, name: str) -> tuple[Both, Both] | None:
        """Title and purpose of a stream; None when the set does not tell."""
        stream = self._stream(name)
        if stream is None:
            return None
        en, zh = PURPOSE_WORDS[stream.purpose]
        return both(stream.title.zh, stream.title.en), both(zh, en)

    def asked(
        self,
        stream_name: str,
        domain: str,
        upstream_countries: Iterable[str],
        *,
        mail: DomainMail | None = None,
        recorded: frozenset[str] = frozenset(),
    ) -> tuple[str, ...]:
        """The names of the rules that were asked about a recipient at this domain; () when the set does not tell.

        `mail` is what DNS said of the domain then, `recorded` where the consent ledger had the recipient.
        """
        countries = frozenset(upstream_countries)
        key = stream_name, domain, countries, mail, recorded
        if key not in self._asked:
            stream = self._stream(stream_name)
            rules: tuple[Rule, ...] = ()
            if self._policy and stream:
                rules = rules_asked(self._policy, stream, domain, countries, mail=mail, recorded=recorded)
            self._named |= {rule.name: rule for rule in rules}
            self._asked[key] = tuple(rule.name for rule in rules)
        return self._asked[key]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule that was ever named by `asked`: what it says, and what it is based on."""
        return [
            {"rule": rule.name, "text": both(rule.text_zh, rule.text), "cite": rule.table.cite}
            for rule in sorted(self._named.values(), key=lambda rule: rule.name)
        ]

    def sentences(self, days: Collection[date]) -> dict[str, bytes]:
        """The set in words, as files: what was enforced, relaxed and not checked on the days when it was asked.

        A relaxed rule ends on its day, so the words of one set may change; days with the same words stand together.
        """
        if self._policy is None:
            return {}
        return {f"policy.{language}.txt": self._text(self._policy, language, sorted(days)).encode() for language in ("en", "zh")}

    def _text(self, policy: PolicySet, language: str, days: Sequence[date]) -> str:
        groups: list[tuple[list[date], str]] = []
        for day in days:
            said = "\n".join(_lines(policy, language, day))
            if groups and groups[-1][1] == said:
                groups[-1][0].append(day)
            else:
                groups.append(([day], said))
        head = f"策略 {self.name}" if language == "zh" else f"Policy set {self.name}"
        return "\n\n".join((head, *(f"{_period(language, members)}\n{said}" for members, said in groups))) + "\n"

    def _stream(self, name: str) -> Stream | None:
        return next((one for one in self._policy.streams if one.name == name), None) if self._policy else None


def _compiled(files: Mapping[str, bytes]) -> PolicySet | None:
    try:
        return parse_policies(files) if files else None
    except ConfigurationError:
        return None


def _lines(policy: PolicySet, language: str, day: date) -> Iterator[str]:
    for section in show(policy, day):
        yield f"\n{getattr(section.head, language)}"
        for sentence in section.sentences:
            yield f"  - {getattr(sentence, language)}"
        if not section.sentences:
            yield "  （无）" if language == "zh" else "  (nothing)"


def _period(language: str, days: Sequence[date]) -> str:
    first, last = days[0], days[-1]
    if first == last:
        return f"{first} 的内容：" if language == "zh" else f"As it stood on {first}:"
    return f"{first} 至 {last} 的内容：" if language == "zh" else f"As it stood from {first} to {last}:"
