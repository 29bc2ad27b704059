"""What `relay check` has found so far, whichever part of it looked."""

from dataclasses import dataclass, field


@dataclass
class Findings:
    """What was looked at: what is fine, what is wrong, what is still to do; each text in Chinese and English."""

    fine: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    to_do: list[tuple[str, str]] = field(default_factory=list)
    unreachable: bool = False
