"""The registers, when somebody asks."""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.policy.detectors.registers import Registers


@cache
def registers() -> "Registers":
    """The same for everybody; whoever comes first waits a tenth of a second for it."""
    loaded: Registers = import_module("relay.policy.detectors.registers").Registers()
    return loaded
