"""The CEL extension without its command line.

`import cel` also loads the package's interactive shell: 300 modules, 14 MB in
every worker and a quarter of a second before every command.  An empty module
in its place keeps it out.
"""

import sys
from types import ModuleType

sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))

from cel import compile as compile_cel  # noqa: E402 - the line above must come first

__all__ = ["compile_cel"]
