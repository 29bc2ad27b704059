"""Reading TOML that people wrote: strict, with every fault named by its place.

Admins in China edit with Windows tools, so a BOM is accepted, and GB18030 or
typographic quotes are answered with what to do, in both languages.
"""

import re
import tomllib
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from relay.errors import ConfigurationError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


_HINTS = {
    "Invalid value": '; a text stands in quotes, as "text" / 文字须加英文双引号，如 "text"',
    "Cannot declare": "; this table is there already: write all of its keys in one place / 此表已存在，请把各键写在同一处",
    "Cannot overwrite": "; this key is there already / 此键已存在",
    "Illegal character '\\n'": "; the quote at the end of the line is missing / 行末缺少引号",
    "Unescaped '\\'": "; write / instead of \\ in paths / 路径中请用 / 代替 \\",
}


class StrictTable(BaseModel):
    """A table in which a key that nobody knows is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def parse_duration(value: Any) -> float:
    """Read "20s", "5m", "2h", "5d" as seconds.

    Raises ValueError with what was expected.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('expected a duration such as "20s", "5m", "2h" or "5d" / 应为时长，如 "20s"、"5m"、"2h"、"5d"')
    return float(match[1]) * _UNITS[match[2]]


def _parse_lasting(value: Any) -> float:
    if not (seconds := parse_duration(value)):
        raise ValueError("expected longer than 0s / 应长于 0s")
    return seconds


def parse_size(value: Any) -> int:
    """Read "32MiB", "256KiB" or a number of octets."""
    match = re.fullmatch(r"(\d+)(KiB|MiB|GiB|)", str(value)) if isinstance(value, str | int) else None
    if match is None:
        raise ValueError('expected a size such as "32MiB" or "256KiB" / 应为大小，如 "32MiB"、"256KiB"')
    return int(match[1]) * _SIZES[match[2]]


Duration = Annotated[float, BeforeValidator(parse_duration)]
Lasting = Annotated[float, BeforeValidator(_parse_lasting)]
"""A duration in which something has to be done: none at all would undo it."""
Size = Annotated[int, BeforeValidator(parse_size)]


def parse_toml(octets: bytes, source: str) -> dict[str, Any]:
    """Read TOML, telling a person what to do about the usual faults of Chinese Windows editors.

    Raises ConfigurationError.
    """
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{source}: not UTF-8 (probably GB18030/GBK): save the file as UTF-8 in your editor"
            f" / 文件不是 UTF-8 编码（可能是 GBK），请在编辑器中另存为 UTF-8"
        ) from None
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        hint = next((hint for words, hint in _HINTS.items() if words in str(error)), "")
        if re.search("[\u201c\u201d\u2018\u2019\uff02\uff1d]", text):
            hint = '; the file has typographic quotes (“ ”): use plain " / 文件中有中文引号（“ ”），请改用英文直引号 "'
        raise ConfigurationError(f"{source}: {error}{hint}") from None


def describe(error: ValidationError, source: str) -> str:
    """All faults of a validation, one a line: file, key, what was expected."""
    lines = []
    for fault in error.errors():
        place = ".".join(str(part + 1) if isinstance(part, int) else part for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "there is no such key; see config.example.toml"
        lines.append(f"{source}: {place + ': ' if place else ''}{message}")
    return "\n".join(lines)
