"""Bodies of held messages: a file each, in the folder `held` beside relay.db.

A body is on the disk, name and all, before the row that names it is committed,
and is removed after the commit that forgets the row.  What a crash leaves in
between is a file that no row names: it is removed when it is an hour old.  No
two attempts to hold share a file, so that none removes what another needs.
"""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relay.errors import StoreUnavailable
from relay.files import sync_folder, write_private
from relay.stores.held import BodyLost

FOLDER = "held"
ORPHANED = 3600.0
"""Seconds after which a file without a row is nobody's: the commit that was to name it is long over."""

_RANDOM_OCTETS = 4
_NOT_THE_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # another read may give it


def submission_of(file: str) -> str:
    """Whose body a file is, by its name."""
    return file.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Body:
    """A message's sealed body as a file: its name, its length, and its digest."""

    file: str
    octets: int
    sha256: bytes


class Bodies:
    """The files of one folder. Every method waits for the disk: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._is_made = False

    def write(self, message: str, octets: bytes) -> Body:
        """Keep a body under a name of its own. Raises StoreUnavailable, and nothing is kept."""
        name = f"{message}.{os.urandom(_RANDOM_OCTETS).hex()}"
        try:
            self._make()
            write_private(self.folder / name, octets)
        except OSError as error:
            raise StoreUnavailable("disk", f"{self.folder / name} cannot be written: {error.strerror}") from None
        return Body(name, len(octets), hashlib.sha256(octets).digest())

    def read(self, body: Body) -> bytes:
        """Raises BodyLost when it is missing, cannot be read or is not what was written.

        Raises StoreUnavailable when that is not the file's fault: for want of memory or of open files.
        """
        path = self.folder / body.file
        try:
            octets = path.read_bytes()
        except FileNotFoundError:
            fault = "is missing"
        except OSError as error:
            if error.errno in _NOT_THE_FILE:
                raise StoreUnavailable("disk", f"{path} cannot be read: {error.strerror}") from None
            fault = f"cannot be read ({error.strerror})"
        else:
            if hashlib.sha256(octets).digest() == body.sha256:
                return octets
            fault = "is damaged"
        raise BodyLost(
            "disk",
            f"{path} {fault}: it is the body of the held submission {submission_of(body.file)};"
            " restore the file, or drop the submission",
        )

    def remove(self, files: Iterable[str]) -> None:
        """Remove bodies; what cannot be removed now is left to `sweep`."""
        for file in files:
            with suppress(OSError):
                (self.folder / file).unlink(missing_ok=True)

    def sweep(self, is_kept: Callable[[str], bool]) -> None:
        """Remove old files that no row names."""
        self.remove(file for file in list(self._old()) if not is_kept(file))

    def _make(self) -> None:
        if not self.folder.is_dir():
            self._is_made = False
            self.folder.mkdir(exist_ok=True, mode=0o700)
        if not self._is_made:  # maybe by another process that has not kept it yet
            sync_folder(self.folder.parent)
            self._is_made = True

    def _old(self) -> Iterator[str]:
        latest = time.time() - ORPHANED  # the file system's clock, not the store's
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < latest:
                        yield entry.name
