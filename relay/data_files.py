"""Files that come with the code: word lists, a table of characters, scripts for Redis, a style sheet.

They are as much of the program as its constants: nobody edits them while it
runs, and each is read once in a process.  So a pure room may look things up in
one as in a dictionary; what people write comes to it as an argument.
"""

from importlib.resources import files


def data_file(package: str, *path: str) -> str:
    """The text of the file on this path below a package."""
    return files(package).joinpath(*path).read_text("utf-8")
