"""Packs with one thing changed: what somebody may do to one by mistake."""

import copy
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

from relay.policy.rehearsing.rehearsal import Rehearsal, Stage
from relay.policy.rules.duty import DUTIES
from relay.policy.sets.crosscheck import Draft
from relay.policy.sets.faults import Faults
from relay.policy.sets.model import PackFile, rule_model
from relay.policy.sets.parse import read_rules
from relay.render.rehearsing import differences

WORDS = frozenset({"id", "check", "do", "text", "text_zh", "fix", "fix_zh", "cite"})
"""Keys that change no verdict and no copy."""
MAY_FAIL = frozenset({"footer", "remove-pixels"})
"""What cannot be done to every message; for any other duty if_impossible is never asked."""
SEVERAL = 16  # entries of a long list that are left out one by one


def mutants(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rule's table with each parameter changed, and what was changed; not all of them are valid."""
    model = rule_model(table).model_fields
    for key in sorted({*table, "action"} - WORDS):
        others = other_values(model[key].annotation, table.get(key, "reject"))
        changes = ((f"-> {other}", other) for other in others) if others else changed(key, table[key])
        for change, value in changes:
            yield f"{key}: {change}", table | {key: value}


def mutants_of_duty(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """As `mutants`; None: the pack without the duty."""
    yield "without it", None
    model = DUTIES[table["do"]].model_fields
    defaults = {"if_impossible": "reject"} if table["do"] in MAY_FAIL else {}
    for key, value in sorted((defaults | table).items()):
        if key in WORDS:
            continue
        others = other_values(model[key].annotation, value)
        changes = ((f"-> {other}", other) for other in others) if others else changed(key, value)
        for change, other in changes:
            yield f"{key}: {change}", table | {key: other}


def mutants_of_scope(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The whole pack with another scope or another last day."""
    applies = document.get("applies", {})
    for key, value in applies.items():
        yield f"applies without {key}", document | {"applies": {k: v for k, v in applies.items() if k != key}}
        for change, other in changed(key, value):
            yield f"applies.{key}: {change}", document | {"applies": applies | {key: other}}
    last = document["pack"].get("expires_on")
    for day in (last - timedelta(days=1), last + timedelta(days=1)) if last else ():
        yield f"expires_on -> {day}", document | {"pack": document["pack"] | {"expires_on": day}}


def changed(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if key == "when":
        yield from expressions(value)
    elif isinstance(value, bool):
        yield f"{value} -> {not value}", not value
    elif isinstance(value, int | float):
        yield from ((f"{value} -> {other}", other) for other in numbers(value))
    elif isinstance(value, str):
        yield from ((f"{value} -> {other}", other) for other in (value + "x", value[:-1]))
    elif isinstance(value, list):
        yield from lists(value)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield f"without {name}", {k: v for k, v in value.items() if k != name}
            yield from ((f"{name}: {change}", value | {name: other}) for change, other in changed("", one))


def numbers(value: float) -> tuple[float, float]:
    """A little more, a little less."""
    step = 1 if isinstance(value, int) and abs(value) <= 50 else value * 0.1
    more, less = value + step, value - step
    return (round(more), round(less)) if isinstance(value, int) else (more, less)


def lists(value: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    step = max(1, len(value) // SEVERAL) if len(value) > 4 * SEVERAL else 1
    for index in range(0, len(value), step):
        yield f"without {value[index]!r}", value[:index] + value[index + 1 :]


def expressions(text: str) -> Iterator[tuple[str, str]]:
    yield "turned round", f"!({text})"
    for found in re.finditer(r"(?<![\w.\"'])\d+(?![\w.\"'])", text):
        for other in numbers(int(found[0])):
            yield f"{found[0]} -> {other}", f"{text[: found.start()]}{other}{text[found.end() :]}"


def other_values(annotation: Any, value: Any) -> list[Any]:
    """The other values that a Literal allows, none where the value is free."""
    if get_origin(annotation) is Literal:
        return [one for one in get_args(annotation) if one != value]
    return [other for inner in get_args(annotation) for other in other_values(inner, value)] if isinstance(value, str) else []


def with_rule(draft: Draft, file: str, number: int, table: dict[str, Any]) -> Stage | None:
    """What judges by the set with this rule in the place of the pack's; None when the rule is not valid."""
    faults = Faults({})
    owner = file.removeprefix("packs/").removesuffix(".toml")
    rules = read_rules(file, owner, {"rule": [table]}, faults)
    if faults:
        return None
    own = draft.rules[file]
    return Stage(replace(draft, rules={**draft.rules, file: (*own[:number], *rules, *own[number + 1 :])}), Faults(draft.files))


def with_pack(draft: Draft, file: str, document: dict[str, Any]) -> Stage | None:
    """What judges by the set with this in the place of the pack, its rules as they are; None when it is not valid."""
    faults = Faults({})
    pack = faults.validate(PackFile, document, file)
    if faults or pack is None:
        return None
    return Stage(replace(draft, packs={**draft.packs, file[len("packs/") : -len(".toml")]: pack}), Faults(draft.files))


def with_duty(draft: Draft, file: str, number: int, table: dict[str, Any] | None) -> Stage | None:
    """As `with_pack`, with this duty in the place of the pack's, or without it."""
    document = copy.deepcopy(tomllib.loads(draft.files[file].decode()))
    document["duty"][number : number + 1] = [table] if table else []
    return with_pack(draft, file, document)


def is_noticed(stage: Stage, rehearsals: list[Rehearsal]) -> bool:
    """Whether some case no longer holds."""
    for rehearsal in rehearsals:
        scene = stage.scene(rehearsal.written)
        if scene is None or differences(replace(rehearsal, policy=scene[0], stream=scene[1])):
            return True
    return False
