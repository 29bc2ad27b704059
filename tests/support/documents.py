"""The documents that people read, and the commands in them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELLS = ("console", "sh", "bash", "shell")
_PROGRAMS = "relay|sudo|pip|python3?|make|systemctl|curl|docker|apt|apt-get|promtool|install|cp|mv|rm|ln|tar"


class Command(NamedTuple):
    """What somebody types, without the prompt and without the remark behind it."""

    place: str
    text: str


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_chinese(path: Path) -> bool:
    return path.name.endswith((".zh.md", ".zh-CN.md"))


def twin_of(path: Path) -> Path | None:
    """The Chinese document beside an English one, if there is one."""
    beside = path.with_suffix(".zh.md" if path.parent != ROOT else ".zh-CN.md")
    return beside if beside.exists() else None


def commands(path: Path) -> list[Command]:
    """Every command of the fenced blocks for a shell, in order."""
    found, kind, waiting = [], "", ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            kind = "" if kind else line[3:].strip() or "text"
            continue
        typed = _typed(line, kind)
        if waiting or typed:
            waiting += f" {line.strip()}" if waiting else typed
            if waiting.endswith("\\"):
                waiting = waiting[:-1].rstrip()
                continue
            found.append(Command(f"{name_of(path)}:{number}", re.sub(r"\s+# .*", "", waiting).strip()))
            waiting = ""
    return found


def _typed(line: str, kind: str) -> str:
    if kind == "console":
        return line.removeprefix("$ ") if line.startswith("$ ") else ""
    if kind in SHELLS and line.strip() and not line.lstrip().startswith("#"):
        return line.strip()
    return ""


def outside_of_blocks(path: Path) -> list[str]:
    """Indented lines that look like commands: no test would see them."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^(?: {{4,}}|\t)((?:\$ )?(?:{_PROGRAMS}) .*)$", text, re.MULTILINE)


def mentioned(path: Path) -> list[str]:
    """The relay's commands that stand in running text, `like this`."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s+", " ", one) for one in re.findall(r"`(relay [^`]+)`", text)]


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
