"""Faults in files that people wrote, all of them at once: file, line, key, what was expected.

The line is found by searching the text for the table and the key, because
TOML readers do not keep it; where that fails the message names no line.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from relay.errors import ConfigurationError
from relay.policy.rules.duty import DUTIES
from relay.toml import parse_toml

Place = Sequence[str | int]
Model = TypeVar("Model", bound=BaseModel)

_SAID = {
    "missing": ("is missing", "缺少此项"),
    "extra_forbidden": ("there is no such key", "没有这个键"),
    "literal_error": ("expected {expected}", "应为 {expected}"),
    "union_tag_invalid": ("expected {expected_tags}", "应为 {expected_tags}"),
    "union_tag_not_found": ("is missing", "缺少此项"),
    "string_type": ("expected a text in quotes", "应为带引号的文字"),
    "tuple_type": ('expected a list such as ["a", "b"]', '应为列表，如 ["a", "b"]'),
    "dict_type": ("expected a table such as { key = ... }", "应为表，如 { key = ... }"),
    "model_type": ("expected a table such as { key = ... }", "应为表，如 { key = ... }"),
    "bool_type": ("expected true or false, without quotes", "应为 true 或 false（不加引号）"),
    "int_type": ("expected a whole number without quotes", "应为整数（不加引号）"),
    "float_type": ("expected a number without quotes", "应为数字（不加引号）"),
    "date_type": ("expected a date without quotes such as 2027-03-31", "应为日期（不加引号），如 2027-03-31"),
    "too_short": ("the list is empty", "列表不能为空"),
    "string_too_short": ("is empty", "不能为空"),
    "string_too_long": ("longer than {max_length} characters", "超过 {max_length} 个字符"),
    "greater_than": ("expected a number above {gt}", "应大于 {gt}"),
    "greater_than_equal": ("expected {ge} or more", "应不小于 {ge}"),
    "less_than_equal": ("expected {le} or less", "应不大于 {le}"),
    "string_pattern_mismatch": ("does not have the form {pattern}", "格式应为 {pattern}"),
}
_COUNTRY = ('expected two capital letters such as "CN"', '应为两个大写字母，如 "CN"')
_FORMS = {
    r"^[A-Z]{2}$": _COUNTRY,
    r"^([A-Z]{2})?$": _COUNTRY,
    r"^[a-z0-9][a-z0-9-]{0,30}$": ("expected small letters, digits and - only", "只能用小写字母、数字和 -"),
    r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$": (
        'expected a host name such as "relay.example.com"',
        '应为主机名，如 "relay.example.com"',
    ),
    r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$": ('expected a DKIM selector such as "s1"', '应为 DKIM 选择器，如 "s1"'),
    r"^[a-z0-9][a-z0-9-]{0,40}$": ("expected small letters, digits and - only", "只能用小写字母、数字和 -"),
    r"^[a-z0-9][a-z0-9-]{0,30}/[a-z0-9][a-z0-9-]{0,40}$": (
        'expected a pack, "/" and a rule, such as "base/attachment-types"',
        '应为“规则包/规则”，如 "base/attachment-types"',
    ),
    r"^[A-Za-z0-9][A-Za-z0-9-]{0,60}\*?$": ('expected a field name such as "X-Internal-*"', '应为邮件头名称，如 "X-Internal-*"'),
    r"^[a-z0-9.+-]+/([a-z0-9.+-]+|\*)$": (
        'expected a media type such as "application/zip"',
        '应为媒体类型，如 "application/zip"',
    ),
}
"""What the patterns of the models say to people."""
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")


class Faults:
    """Collects what is wrong in a set of files; `refuse` raises when anything is."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._texts = {name: octets.decode("utf-8-sig", "replace") for name, octets in files.items()}
        self._found: list[tuple[str, int, str]] = []

    def add(self, file: str, place: Place, text: str, text_zh: str = "") -> None:
        """Note a fault at a key path such as ("rule", 0, "above_mb"); indices count from 0."""
        line = line_of(self._texts.get(file, ""), place)
        key = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
        where = f"line {line}: " if line else ""
        said = f"{text} / {text_zh}" if text_zh else text
        self._found.append((file, line, f"{file}: {where}{key + ': ' if key else ''}{said}"))

    def read(self, file: str, octets: bytes) -> dict[str, Any] | None:
        """Parse a file as TOML, or note why it cannot be."""
        try:
            return parse_toml(octets, file)
        except ConfigurationError as error:
            text = str(error).removeprefix(f"{file}: ")
            at = re.search(r" \(at line (\d+), column \d+\)| \(at end of document\)", text)
            line = int(at[1]) if at and at[1] else 0
            where = f"line {line}: " if line else ""
            self._found.append((file, line, f"{file}: {where}{text.replace(at[0], '') if at and line else text}"))
            return None

    def validate(self, model: type[Model], table: dict[str, Any], file: str, place: Place = ()) -> Model | None:
        """Validate a table that stands at `place`, or note every fault in it."""
        try:
            return model.model_validate(table)
        except ValidationError as error:
            found = error.errors()
            inside = {fault["loc"][:-depth] for fault in found for depth in range(1, len(fault["loc"]))}
            for fault in found:
                if fault["type"] == "too_short" and fault["loc"] in inside:
                    continue  # the list is empty only because its entries are wrong
                self.add(file, (*place, *_known_place(fault)), *_said(fault, model))
            return None

    def refuse(self) -> None:
        """Raise ConfigurationError with every fault, in the order of files and lines."""
        if self._found:
            raise ConfigurationError("\n".join(text for _, _, text in sorted(self._found, key=lambda f: f[:2])))

    def __bool__(self) -> bool:
        return bool(self._found)


def line_of(text: str, place: Place) -> int:
    """The line that a key path stands on, or of the table it is missing from; 0 when it cannot be found."""
    lines = text.split("\n")
    start, end, rest = _table(lines, list(place))
    for part in rest:
        if isinstance(part, str):
            for number in range(start, end):
                if re.match(rf'\s*["\']?{re.escape(part)}["\']?\s*[=.]', lines[number]):
                    return number + 1
            break
    return start if start or not place else 0


def _table(lines: list[str], place: list[str | int]) -> tuple[int, int, list[str | int]]:
    """The lines of the deepest table header that the path leads through, and what remains of the path."""
    headers = [
        (number, found[1], found[2].replace(" ", "")) for number, line in enumerate(lines) if (found := _HEADER.match(line))
    ]
    ends = [number for number, _, _ in headers[1:]] + [len(lines)]
    for depth in range(len(place), 0, -1):
        name = ".".join(part for part in place[:depth] if isinstance(part, str))
        index = next((part for part in reversed(place[:depth]) if isinstance(part, int)), 0)
        same = [i for i, (_, _, header) in enumerate(headers) if header == name]
        if same and index < len(same):
            chosen = same[index]
            rest = place[depth:]
            return headers[chosen][0] + 1, ends[chosen], rest[1:] if rest and isinstance(rest[0], int) else rest
    return 0, headers[0][0] if headers else len(lines), place


def _known_place(fault: Any) -> tuple[str | int, ...]:
    """The key path as it stands in the file: of tables that a key of theirs tells apart, pydantic names the kind too."""
    place = fault["loc"]
    named = [
        part
        for before, part in zip((None, *place), place, strict=False)
        if isinstance(part, int) or not (part.startswith("function-") or (isinstance(before, int) and part in DUTIES))
    ]
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        named.append(fault["ctx"]["discriminator"].strip("'"))
    return tuple(named)


def _said(fault: Any, model: type[BaseModel]) -> tuple[str, str]:
    kind, told = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        text, _, text_zh = str(told["error"]).rpartition(" / ")
        return (text, text_zh) if text else (text_zh, "")
    if isinstance(given := fault["input"], dict | list) and kind in ("tuple_type", "model_type"):
        name = ".".join(part for part in fault["loc"] if isinstance(part, str))
        header = f"[[{name}]]" if isinstance(given, dict) else f"[{name}]"
        return f"write {header} above its keys", f"请在这些键之前写 {header}"
    said = _FORMS.get(told.get("pattern", ""), _SAID.get(kind, (fault["msg"], "")))
    told_zh = {**told, "expected": str(told.get("expected", "")).replace(", ", "、").replace(" or ", " 或 ")}
    text, text_zh = said[0].format(**told), said[1].format(**told_zh)
    if kind == "extra_forbidden":
        keys = ", ".join(_keys_beside(fault["loc"], model))
        return f"{text}; there are {keys}" if keys else text, text_zh
    return text, text_zh


def _keys_beside(place: Place, model: type[BaseModel]) -> list[str]:
    """The keys that the table at `place` knows."""
    current: Any = model
    for part in place[:-1]:
        if part in DUTIES:
            current = DUTIES[str(part)]
        elif isinstance(part, str) and part in current.model_fields:
            current = current.model_fields[part].annotation
            while not hasattr(current, "model_fields"):
                inner = [one for one in getattr(current, "__args__", ()) if one is not Ellipsis]
                if not inner:
                    return []
                current = inner[0]
    return sorted(field.alias or name for name, field in current.model_fields.items() if not field.exclude)
