"""The monthly report as one page that needs nothing else, and as a table for spreadsheets."""

import csv
import io
import re

from relay.records.monthly import governance, mail
from relay.records.monthly.view import Cell, Mark, Section, Table, View
from relay.stores.formats import guarded
from relay.templates import templates_of

_DATE = re.compile(r"\d{4}-\d\d-\d\d")

_templates = templates_of("relay.records")


def sections(view: View) -> list[Section]:
    """The whole report, in the order in which it is read."""
    return [
        mail.recipients(view),
        mail.rules(view),
        mail.refusals(view),
        mail.returned(view),
        mail.limits(view),
        governance.policies(view),
        governance.relaxed(view),
        governance.pauses(view),
        governance.adaptations(view),
        governance.transfers(view),
        governance.suppression_list(view),
        governance.unsaid(view),
    ]


def page(view: View) -> bytes:
    """HTML without scripts and without anything from outside."""
    template = _templates.get_template("monthly.html")
    return template.render(view=view, t=view.t, sections=sections(view), number=number, kind=_kind).encode()


def spreadsheet(view: View) -> bytes:
    """CSV with one number per row, safe to open in a spreadsheet; the mark at its start tells Excel that it is UTF-8."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["section", "row", "column", "value"])
    rows = [("about", label, "", value) for label, value in view.covers]
    rows += [("figures", label, "", str(value)) for label, value in view.figures]
    for section in sections(view):
        for part in section.filled:
            rows += _cells(part.table)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return stream.getvalue().encode("utf-8-sig")


def number(cell: Cell) -> str:
    """A cell for people: thousands apart."""
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _cells(table: Table) -> list[tuple[str, str, str, str]]:
    rows = [*table.rows, table.total] if table.total else table.rows
    return [
        (table.key, str(row[0]), column, str(cell))
        for row in rows
        for column, cell in zip(table.columns[1:], row[1:], strict=True)
    ]


def _kind(cell: Cell) -> str:
    """The class of a cell."""
    if isinstance(cell, Mark):
        return f"number {cell.kind}"
    if isinstance(cell, int):
        return "number"
    return "date" if _DATE.fullmatch(cell) else ""
