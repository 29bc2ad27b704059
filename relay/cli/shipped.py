"""The policy files that come with the relay: inside the package once installed, beside it in a checkout."""

from importlib.resources import files
from pathlib import Path

import relay


def shipped_policies() -> dict[str, bytes]:
    """Return the shipped policy files by their path inside policies/."""
    installed = Path(str(files("relay") / "shipped" / "policies"))
    root = installed if installed.is_dir() else Path(relay.__file__).parent.parent / "policies"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.toml"))}
