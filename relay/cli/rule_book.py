"""docs/rules.md and its Chinese twin: every rule of the shipped packs, its law, and an example each way from policies/tests."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from relay.cli.false_positives import chapter
from relay.cli.left_out import LEFT_OUT
from relay.cli.shipped import shipped_policies
from relay.policy.cases.case import Action
from relay.policy.rehearsing.rehearsal_file import filled
from relay.policy.rules.duty import DutyTable
from relay.policy.rules.rule import Rule, RuleTable
from relay.policy.rules.table import PURPOSES
from relay.policy.sets.model import PackFile
from relay.policy.sets.parse import parse_policies
from relay.policy.telling.show import ACTION_WORDS, PURPOSE_WORDS

_INTRO = """\
Every rule of the packs in `policies/packs`: the law behind it, what it does, a message that it stops and one that it lets
through. Made from the packs and from `policies/tests` by `make docs`; `relay policy test` judges the examples. How to write packs
and rules: [policies.md](policies.md).

This is no legal advice. Each pack says on what it rests, who vouches for it and until when; after that day its mail waits (451)
until somebody has reviewed it. A stream is bound by the packs in its `packs`, each says itself for which mail; of all objections
the gravest wins. How often the rules on words and numbers are wrong was measured: [policies.md](policies.md)."""
_INTRO_ZH = """\
`policies/packs` 中每条规则的依据、作用，以及一封会被拦下和一封会被放行的邮件。由 `make docs` 从规则包和 `policies/tests` 生成，
例子由 `relay policy test` 判定。如何编写规则包与规则见 [policies.zh.md](policies.zh.md)。

本手册不是法律意见。每个规则包写明依据、复核日期和有效期；过期后所适用的邮件暂缓（451），直至复核。
邮件流受其 `packs` 中的规则包约束，各包自行判断适用于哪些邮件；多条规则有异议时，以最严的为准。
用语和号码类规则的误判率见 [policies.zh.md](policies.zh.md)。"""
_TEXTS: dict[str, tuple[str, str]] = {
    "title": ("The rule book", "规则手册"),
    "other": ("[中文](rules.zh.md)", "[English](rules.md)"),
    "intro": (_INTRO, _INTRO_ZH),
    "packs": ("| pack | binds | rules | until |\n|---|---|---|---|", "| 规则包 | 约束 | 规则数 | 有效期至 |\n|---|---|---|---|"),
    "for ever": ("no law, does not expire", "非法律规定，不过期"),
    "sources": ("Rests on", "依据"),
    "reviewed": ("Reviewed on", "复核于"),
    "expires": ("Expires on", "有效期至"),
    "penalty": ("A breach costs", "违反的后果"),
    "binds": ("Binds", "约束"),
    "law": ("Law", "依据"),
    "when": ("Checked", "检查内容"),
    "fix": ("What to do", "如何处理"),
    "passed": ("Let through, for example", "会放行，例如"),
    "plain": ("an ordinary message", "普通邮件"),
    ":": (": ", "："),
    "all mail": ("all mail", "全部邮件"),
    "duties": ("What is done to copies", "对副本的处理"),
    "left out": ("## What no rule checks, and why", "## 没有规则检查的事项与原因"),
    "left out head": ("| what | why |\n|---|---|", "| 事项 | 原因 |\n|---|---|"),
}
_OBJECTED = {
    Action.REJECT: ("Refused, for example", "会拒收，例如"),
    Action.DEFER: ("Must wait, for example", "会暂缓，例如"),
    Action.HOLD: ("Held, for example", "会暂存，例如"),
    Action.WARN: ("Recorded, for example", "会记录，例如"),
}
_COUNTRY = {"organisation": ("organisations in", "单位位于"), "recipient": ("recipients in", "收件人位于"),
            "upstream": ("mail by an upstream server in", "上游服务器位于")}  # fmt: skip
_OF_CASE = frozenset({"name", "each", "expect", "objects", "passes", "unasked", "copy"})
_ESCAPED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SHOWN = 300  # characters of one value of an example
_RUN = re.compile(r"(.)\1{15,}")


def english() -> str:
    """docs/rules.md."""
    return _book(0)


def chinese() -> str:
    """docs/rules.zh.md."""
    return _book(1)


@lru_cache(maxsize=1)
def _shipped() -> tuple[Mapping[str, PackFile], Mapping[str, tuple[Rule, ...]], Mapping[str, dict[str, Any]]]:
    """Packs and their rules by pack, and the cases by file."""
    files = shipped_policies()
    names = [name.removeprefix("packs/").removesuffix(".toml") for name in files if name.startswith("packs/")]
    packs = orjson.dumps(names).decode()
    whole = {name: octets for name, octets in files.items() if name.startswith("packs/")}
    whole["organisation.toml"] = b'country = "ZZ"\ntime_zone = "UTC"\nstreams = ["all"]\n'
    whole["streams/all.toml"] = f'purpose = "marketing"\nmatch = {{}}\npacks = {packs}\n'.encode()
    policy = parse_policies(whole)
    rules: dict[str, dict[str, Rule]] = {}
    for rule in policy.stream("all").rules:
        rules.setdefault(rule.name.partition("/")[0], {})[rule.name] = rule
    cases = {name: tomllib.loads(octets.decode()) for name, octets in files.items() if name.startswith("tests/")}
    return policy.packs, {pack: tuple(some.values()) for pack, some in rules.items()}, cases


def _book(language: int) -> str:
    packs, rules, cases = _shipped()
    examples = _Examples(cases)
    order = sorted(packs, key=lambda name: (name != "base", name))
    says = {key: texts[language] for key, texts in _TEXTS.items()}
    parts = [f"# {says['title']}", says["other"], says["intro"]]
    rows = [
        f"| [{name}](#{name}) | {_binds(packs[name], language)} | {len(rules[name])}"
        f" | {packs[name].pack.expires_on or says['for ever']} |"
        for name in order
    ]
    parts.append("\n".join([says["packs"], *rows]))
    for name in order:
        parts += _pack(name, packs[name], rules[name], examples, language, says)
    parts += chapter(language)
    rows = [f"| {(one.what, one.what_zh)[language]} | {(one.why, one.why_zh)[language]} |" for one in LEFT_OUT]
    parts += [says["left out"], "\n".join([says["left out head"], *rows])]
    return "\n\n".join(parts) + "\n"


def _pack(
    name: str, pack: PackFile, rules: tuple[Rule, ...], examples: "_Examples", language: int, says: Mapping[str, str]
) -> Iterator[str]:
    facts = pack.pack
    yield f"## {name}"
    title, penalty = ((texts.en, texts.zh)[language] for texts in (facts.title, facts.penalty))
    lines = [
        f"- {says['binds']}{says[':']}{_binds(pack, language)}",
        f"- {says['sources']}{says[':']}{', '.join(facts.sources)}",
        *([f"- {says['reviewed']}{says[':']}{facts.reviewed_on}"] if facts.reviewed_on else []),
        *([f"- {says['expires']}{says[':']}{facts.expires_on}"] if facts.expires_on else []),
        *([f"- {says['penalty']}{says[':']}{penalty}"] if penalty else []),
    ]
    yield f"**{title}**"
    yield "\n".join(lines)
    for rule in rules:
        yield f"### {rule.name}"
        yield _rule(rule, examples, language, says)
    if pack.duty:
        yield f"### {name}{says[':']}{says['duties']}"
        yield "\n".join(f"- `{name}/{duty.id}`{says[':']}{_deed(duty, language)}" for duty in pack.duty)


def _deed(duty: DutyTable, language: int) -> str:
    where = _in_brackets(_several(duty.recipient_countries, language), language)
    otherwise = (("; else refused", "；否则拒收"), ("; else as it came", "；否则原样发出"))[duty.if_impossible == "warn"][
        language
    ]
    cite = f" [{duty.cite}]" if duty.cite else ""
    return f"{duty.deed[language]}{_purposes(duty, language)}{where}{otherwise}{cite}"


def _rule(rule: Rule, examples: "_Examples", language: int, says: Mapping[str, str]) -> str:
    text, fix = (rule.text, rule.text_zh)[language], (rule.fix, rule.fix_zh)[language]
    stop, action = (".", "。")[language], ACTION_WORDS[rule.action][language].capitalize()
    space = "" if language else " "  # Chinese full stops bring their own
    lines = (
        (says["law"], rule.table.cite),
        (says["when"], _when(rule, language)),
        (says["fix"], fix),
        (_OBJECTED[rule.action][language], examples.shown(rule.name, "objects") or says["plain"]),
        (says["passed"], examples.shown(rule.name, "passes") or says["plain"]),
    )
    head = f"{text}{stop}{space}**{action}**{_purposes(rule.table, language)}{stop}"
    return "\n".join([head, "", *(f"- {label}{says[':']}{said}" for label, said in lines)])


def _purposes(table: RuleTable | DutyTable, language: int) -> str:
    if not table.purposes:
        return ""
    if language:
        return f"（仅{_chinese(table.purposes)}）"
    return f" ({', '.join(table.purposes)} only)"


def _chinese(purposes: Sequence[str]) -> str:
    return "、".join(PURPOSE_WORDS[PURPOSES[purpose]][1] for purpose in purposes)


def _when(rule: Rule, language: int) -> str:
    own = type(rule.table).model_fields.keys() - RuleTable.model_fields.keys()
    given = rule.table.model_dump(mode="json", include=own & rule.table.model_fields_set)
    keys = ("; ", "；")[language].join(f"`{key} = {_value(value)}`" for key, value in given.items())
    summary = "CEL" if rule.check is None else (rule.check.summary, rule.check.summary_zh)[language]
    return summary + (f" ({keys})", f"；本规则：{keys}")[language] if keys else summary


def _in_brackets(text: str, language: int) -> str:
    return (f" ({text})", f"（{text}）")[language] if text else ""


def _binds(pack: PackFile, language: int) -> str:
    purposes = pack.applies.purpose
    what = _chinese(purposes) if language else ", ".join(purposes)
    countries: dict[str, list[str]] = {}
    for condition in pack.applies.any:
        for key, country in condition.model_dump(exclude_none=True).items():
            countries.setdefault(key, []).append(country)
    where = [f"{_COUNTRY[key][language]} {_several(some, language)}" for key, some in countries.items()]
    said = ((" or ", "，或")[language]).join(where)
    if what and said:
        return what + (f": {said}", f"（{said}）")[language]
    return what or said or _TEXTS["all mail"][language]


def _several(countries: Sequence[str], language: int) -> str:
    return ((", ", "、")[language]).join(countries) if len(countries) < 30 else "EEA"


class _Examples:
    """The cases of policies/tests, by the rules that they name."""

    def __init__(self, documents: Mapping[str, dict[str, Any]]) -> None:
        self._cases = [(name, case) for name in sorted(documents) for case in documents[name]["case"]]

    def shown(self, rule: str, key: str) -> str:
        """What a case that names the rule under this key writes itself, rather one of its pack. Raises KeyError without any."""
        named = [(name, case) for name, case in self._cases if rule in case.get(key, ())]
        own = f"tests/{rule.partition('/')[0]}.toml"
        found = [case for name, case in named if name == own] or [case for _, case in named]
        if not found:
            raise KeyError(f"policies/tests has no case that names {rule} in {key}")
        found = [one for one in found if key == "objects" or one["expect"] == "permit"] or found
        fewest = min(len(case[key]) for case in found)  # what names few rules is about this one
        written = (_written(case) for case in found if len(case[key]) == fewest)
        return min(written, key=lambda text: (not text, len(text)))  # rather one that says something of its own


def _written(case: Mapping[str, Any]) -> str:
    """What the case says itself, with the first of its words."""
    one = next(iter(case.get("each", [])), "")
    said = {name: _value(filled(value, one)) for name, value in case.items() if name not in _OF_CASE}
    return ", ".join(f"`{name} = {value}`".replace("\n", " ") for name, value in said.items())


def _value(value: Any) -> str:
    """As in TOML, shortened, hidden characters written out."""
    if isinstance(value, dict):
        text = f"{{ {', '.join(f'{key} = {_value(inner)}' for key, inner in value.items())} }}"
    elif isinstance(value, list):
        shown = ", ".join(_value(one) for one in value[:3])
        text = f"[{shown}, … ({len(value)})]" if len(value) > 3 else f"[{shown}]"
    elif isinstance(value, str):
        text = _RUN.sub(lambda run: f"{run[1] * 3}…({len(run[0])})…", value.replace("`", "'"))
        visible = "".join(c if c.isprintable() else _ESCAPED.get(c, f"\\u{ord(c):04x}") for c in text)
        text = f'"{visible[:_SHOWN]}{"…" if len(visible) > _SHOWN else ""}"'
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text
