"""Write the documents that are made from the code: `python -m relay.cli.documents docs`."""

import sys
from collections.abc import Callable
from pathlib import Path

from relay.cli import rule_book
from relay.mail import reply_table
from relay.records import reference as records_reference
from relay.service import reference as metrics_reference

DOCUMENTS: dict[str, Callable[[], str]] = {
    "replies.md": reply_table.reference,
    "records.md": records_reference.reference,
    "metrics.md": metrics_reference.reference,
    "rules.md": rule_book.english,
    "rules.zh.md": rule_book.chinese,
}


def main(arguments: list[str]) -> None:
    """Write every document into the named folder."""
    (folder,) = map(Path, arguments)
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text(), "utf-8", newline="\n")
        sys.stdout.write(f"{folder / name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
