"""Files that outlive a power cut, and the lock that processes queue on."""

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def write_durably(path: Path, octets: bytes) -> None:
    """Write a file to the disk; its name is durable only after `sync_folder`."""
    with path.open("wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def write_private(path: Path, octets: bytes) -> None:
    """Write a file with mode 0600, whole or not at all, in place of the one that may be there."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        write_durably(draft, octets)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in the folder durable; where folders cannot be synced (Windows) there is no need."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Turn:
    """A lock file on which processes stand in line. On Windows everybody goes straight on."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, *, wait: bool = True) -> bool:
        """Wait until it is our turn; without `wait`, say whether it is."""
        if sys.platform != "win32":
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def give_up(self) -> None:
        """Let the next one in; no fault when it was not our turn."""
        if sys.platform != "win32":
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the lock and of the file."""
        os.close(self._descriptor)
