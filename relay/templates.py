"""HTML from the templates of a room: every fact is escaped, and one that is missing is a fault."""

from importlib.resources import files

import jinja2


def templates_of(package: str) -> jinja2.Environment:
    """The templates in the folder "templates" of this package."""
    folder = files(package) / "templates"
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
