"""The archive of `relay backup`: a tar file with everything that one node cannot do without, and a list of it.

backup.json     what is in it, with size and SHA-256, and whose store it is
relay.db        the embedded store, as it was at one moment
records.db      the records, from the same moment or a little later: no refusal is in the store only
store.id        which store data_dir belongs to
records.id      which chain of records
policies/...    every policy set that was ever in force
held/...        the bodies of held mail, when the store is relay.db
keys.toml       the key rings: the store cannot be read without them, nor they be of use without it
"""

import hashlib
import io
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import orjson

from relay.errors import RelayError

MANIFEST = "backup.json"
KEYS = "keys.toml"
STORE = "relay.db"
DATABASES = (STORE, "records.db")
FILES = ("store.id", "records.id")
FOLDER = "policies"
HELD = "held"
FORMAT = 1

Progress = Callable[[str, int, int], None]
"""Told the name of a file, how much of it is done and how much there is."""

_PAGES = 4096  # of a database at a time
_CHUNK = 1 << 20


class ArchiveError(RelayError):
    """The archive is not whole, or not one of ours; nothing of it has been put in place."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an archive."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself."""

    created_at: float
    store: str  # "sqlite" | "redis"
    store_id: str
    files: dict[str, Part]


def copy_database(source: Path, target: Path, progress: Progress) -> None:
    """Copy a database that others are writing to, as it is at one moment.

    Raises sqlite3.Error.
    """
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as db,
        closing(sqlite3.connect(target)) as copy,
    ):
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on writers do not move what we read
        db.backup(copy, pages=_PAGES, progress=lambda _, left, total: progress(source.name, total - left, total))


def kept_files(folder: Path) -> Iterator[Path]:
    """The plain files of data_dir that belong into an archive, relative to it."""
    for name in FILES:
        if (folder / name).is_file():
            yield Path(name)
    for path in sorted((folder / FOLDER).rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in relative.parts):
            yield relative


def write_archive(out: Path, files: dict[str, Path], *, created_at: float, store: str, store_id: str, progress: Progress) -> None:
    """Write the archive, readable by its owner only, whole or not at all.

    Raises OSError.
    """
    parts = {name: _measure(path) for name, path in files.items()}
    manifest = orjson.dumps(
        {
            "format": FORMAT, "created_at": created_at, "store": store, "store_id": store_id,
            "files": {name: {"size": part.size, "sha256": part.sha256} for name, part in parts.items()},
        },
        option=orjson.OPT_INDENT_2,
    )  # fmt: skip
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                tar.addfile(_member(MANIFEST, len(manifest), created_at), io.BytesIO(manifest))
                for done, (name, path) in enumerate(files.items()):
                    progress(out.name, done, len(files))
                    with path.open("rb") as content:
                        tar.addfile(_member(name, parts[name].size, created_at), content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(out)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_archive(source: Path, folder: Path, progress: Progress) -> Manifest:
    """Unpack an archive into an empty folder and compare every octet with its list.

    Raises ArchiveError and OSError.
    """
    try:
        with tarfile.open(source, "r:") as tar:
            manifest = _read_manifest(tar)
            wanted = dict(manifest.files)
            for done, member in enumerate(tar):
                if member.name == MANIFEST:
                    continue
                progress(source.name, done, len(manifest.files) + 1)
                _unpack(tar, member, folder, wanted.pop(member.name, None))
    except tarfile.TarError as error:
        raise ArchiveError(f"{source} is not a whole archive: {error}") from None
    if wanted:
        raise ArchiveError(f"{source} is cut off: {', '.join(sorted(wanted))} missing")
    return manifest


def require_sound(path: Path) -> None:
    """Read a whole database and make sure that it hangs together.

    Raises ArchiveError.
    """
    try:
        with closing(sqlite3.connect(path)) as db:
            answer = db.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        answer = (str(error),)
    if answer != ("ok",):
        raise ArchiveError(f"{path.name} in the archive is damaged: {answer[0]}")


def _measure(path: Path) -> Part:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Part(size, digest.hexdigest())


def _member(name: str, size: int, at: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(at)
    return member


def _read_manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    content = tar.extractfile(first) if first is not None and first.name == MANIFEST and first.isfile() else None
    if content is None:
        raise ArchiveError(f"this is not an archive of `relay backup`: {MANIFEST} is not its first file")
    try:
        document = orjson.loads(content.read())
        if document["format"] != FORMAT:
            raise ArchiveError(f"the archive has format {document['format']}; this version reads format {FORMAT}")
        files = {str(name): Part(int(part["size"]), str(part["sha256"])) for name, part in document["files"].items()}
        return Manifest(float(document["created_at"]), str(document["store"]), str(document["store_id"]), files)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArchiveError(f"{MANIFEST} in the archive is damaged") from None


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, part: Part | None) -> None:
    content = tar.extractfile(member) if member.isfile() and _is_ours(member.name) else None
    if content is None or part is None:
        raise ArchiveError(f"the archive holds something that does not belong there: {member.name}")
    path = folder / member.name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != part.sha256:
        raise ArchiveError(f"{member.name} in the archive is damaged: its SHA-256 is not the one in {MANIFEST}")


def _is_ours(name: str) -> bool:
    """Whether `relay backup` could have put a file of this name into an archive."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or str(path) != name:
        return False
    return name in (*DATABASES, *FILES, KEYS) or (path.parts[0] in (FOLDER, HELD) and len(path.parts) > 1)
