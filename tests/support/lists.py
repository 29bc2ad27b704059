"""Lists of any size, and a node that takes them."""

from collections.abc import Iterable
from pathlib import Path

from tests.support.small import SMALL_CONFIG


def a_node(folder: Path) -> Path:
    """The configuration of a relay on SQLite that only commands use."""
    (folder / "policies" / "streams").mkdir(parents=True)
    config = folder / "config.toml"
    config.write_text(SMALL_CONFIG, "utf-8")
    return config


def write_list(path: Path, people: Iterable[int]) -> Path:
    """A table of customers, one a line, below its heading."""
    with path.open("w", encoding="utf-8") as file:
        file.write("name,email,telephone\n")
        file.writelines(f"Customer {number},customer-{number}@example.com,+86 21 {number}\n" for number in people)
    return path


def lines_of(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
