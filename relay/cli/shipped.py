"""The policy files that come with the relay: beside the package in a checkout, inside it once installed."""

from importlib.resources import files
from pathlib import Path

import relay


def shipped_policies() -> dict[str, bytes]:
    """Return the shipped policy files by their path inside policies/."""
    checkout = Path(relay.__file__).parent.parent / "policies"
    root = checkout if checkout.is_dir() else Path(str(files("relay") / "shipped" / "policies"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.toml"))}
