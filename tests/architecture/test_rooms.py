"""The rooms inside relay/mail and relay/policy stand on floors as the house does, and the door of each is a module in it."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.test_house import MODULES, PACKAGE, drawn, imports

FLOORS = {
    "mail": [
        {"mailbox", "reply"},
        {"envelope", "replies"},
        {"parts", "page"},
        {"reply_table", "words"},
        {"message"},
        {"incoming"},
    ],
    "policy": [
        {"suppressions", "detectors"},
        {"consents", "timing"},
        {"cases"},
        {"rules"},
        {"words"},
        {"checks"},
        {"sets"},
        {"opting_in", "deciding"},
        {"rehearsing"},
        {"telling"},
    ],
}
"""From the ground up. A room may import those below, and itself."""


def floor(house: str, name: str) -> int:
    for number, rooms in enumerate(FLOORS[house]):
        if name in rooms:
            return number
    raise AssertionError(f"relay/{house}/{name} stands on no floor; add it to FLOORS where it belongs")


def room_of(module: str) -> tuple[str, str] | None:
    """The house and the room of relay.mail.parts.mime: ("mail", "parts"); None outside of these houses."""
    parts = module.split(".")
    return (parts[1], parts[2]) if parts[0] == "relay" and len(parts) > 2 and parts[1] in FLOORS else None


@pytest.mark.parametrize("house", FLOORS)
def test_the_map_of_the_rooms_names_each_on_its_floor(house: str):
    assert drawn(PACKAGE / house) == FLOORS[house]


@pytest.mark.parametrize("house", FLOORS)
def test_every_module_has_a_room(house: str):
    kept = {
        path.name.removesuffix(".py") for path in (PACKAGE / house).iterdir() if path.name not in ("__init__.py", "__pycache__")
    }
    assert kept == set().union(*FLOORS[house])


@pytest.mark.parametrize("house", FLOORS)
def test_no_room_imports_one_beside_or_above_it(house: str):
    faults = []
    for path in MODULES:
        own = room_of(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
        if own is None or own[0] != house or own[1] == "__init__":
            continue
        for module, _ in imports(path):
            other = room_of(module)
            if other and other[0] == house and other != own and floor(*other) >= floor(*own):
                faults.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not faults, "\n".join(faults)


def rooms() -> list[Path]:
    return [path for house in FLOORS for path in (PACKAGE / house).iterdir() if (path / "__init__.py").exists()]


@pytest.mark.parametrize("room", rooms(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_says_in_one_line_what_it_is_and_where_its_door_is(room: Path):
    """The door is its `__init__` where that defines something, else the module that it names."""
    source = ast.parse((room / "__init__.py").read_text("utf-8"))
    first = (ast.get_docstring(source) or "").partition("\n")[0]
    assert first.endswith(".")
    if len(source.body) == 1:
        named = re.search(r"The door is `(\w+)`\.$", first)
        assert named, f"{room.name} names no door"
        assert (room / f"{named[1]}.py").exists()
