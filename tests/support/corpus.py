"""Awkward messages: those in tests/corpus, and those in the folder that RELAY_TEST_CORPUS names."""

import os
from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "corpus"


@cache
def corpus() -> list[tuple[str, bytes]]:
    """Every message with its name, as its octets are on disk."""
    folders = [SHIPPED]
    if more := os.environ.get("RELAY_TEST_CORPUS"):
        folders.append(Path(more))
    return [(path.stem, path.read_bytes()) for folder in folders for path in sorted(folder.glob("*.eml"))]


def shipped(name: str) -> bytes:
    """One message of tests/corpus."""
    return (SHIPPED / f"{name}.eml").read_bytes()
