"""`relay backup` and `relay restore`: store and keys together, because one is useless without the other."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.progress import Progress

from relay.cli import archive
from relay.cli.archive import ArchiveError, Manifest
from relay.cli.opening import refuse_foreign_root
from relay.cli.output import FINDINGS, UNREACHABLE, fail, local_time, option, require_new, say, text, warn
from relay.config import Config, load_config
from relay.errors import ConfigurationError, RelayError, StoreUnavailable
from relay.ids import new_id
from relay.keys import Keys, load_keys, save_keys
from relay.records.append import Records
from relay.records.facts import opened_record
from relay.stores.contracts import StoreMeta
from relay.stores.opening import StoreName, read_store_name
from relay.stores.sqlite import SQLiteStore, archived

_DRAFT = ".restoring"
_LOOKED_AT_WITHIN = 5 * 86400.0  # seconds that restored mail waits for a person at least
_LACKING = (
    "密钥文件缺少存储写入时所用的密钥，二者不配套",
    "the key file lacks keys that the store was written with: they do not belong together",
)


@click.command("backup")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def backup(out: Path) -> None:
    """Write store, held mail, records, policies, keys into one file while the relay runs / 备份到一个文件，服务无需停止."""
    config = load_config(option("config"))
    folder = config.data_path
    refuse_foreign_root(folder)
    require_new(out)
    try:
        name = read_store_name(folder)
        if name is None:
            fail(FINDINGS, f"{folder} 中还没有存储，无可备份。", f"{folder} has no store yet; there is nothing to back up.")
        with tempfile.TemporaryDirectory(prefix=".relay-backup-", dir=out.absolute().parent) as scratch, _progress() as progress:
            files = _snapshot(config, name, Path(scratch), progress)
            at = time.time()
            archive.write_archive(out, files, created_at=at, store=name.kind, store_id=name.store_id, progress=progress)
    except StoreUnavailable:
        raise
    except (sqlite3.Error, OSError) as fault:
        fail(UNREACHABLE, f"无法备份到 {out}：{fault}", f"{out}: the backup failed: {fault}")
    say(
        f"已备份到 {out}（{len(files)} 个文件）。内含密钥，请妥善保管。",
        f"{out} holds {len(files)} files, the keys among them: keep it where only you can read it.",
    )
    if name.kind == "redis":
        warn(
            "Redis 中的数据不在此备份内；请另行备份 Redis 的 appendonly 文件。",
            "What is in Redis is not in this file: back up the append-only files of Redis as well.",
        )


@click.command("restore")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(source: Path) -> None:
    """Put a backup into an empty data_dir, after everything in it was verified / 将备份恢复到空的数据目录."""
    config = load_config(option("config"))
    folder = config.data_path
    refuse_foreign_root(folder)
    if folder.exists() and any(folder.iterdir()):
        fail(
            FINDINGS,
            f"{folder} 不是空目录；恢复只写入空目录。请停止服务并将其改名保留。",
            f"{folder} is not empty, and a restore writes over nothing. Stop the relay and move the folder away.",
        )
    try:
        manifest, parked = _restore(config, source)
        asyncio.run(_record(config, source, manifest))
    except (ArchiveError, StoreUnavailable) as fault:
        fail(FINDINGS, f"备份无法使用：{fault}", f"The backup cannot be used: {fault}")
    except ConfigurationError:
        raise
    except (RelayError, sqlite3.Error, OSError) as fault:
        fail(UNREACHABLE, f"恢复失败：{fault}", f"The restore failed: {fault}")
    at = local_time(manifest.created_at)
    say(
        f"已恢复到 {folder}，状态为 {at}。此后收到的退订不在其中，请从其他来源补录。",
        f"{folder} is as it was at {at}. Refusals that came later are not in it; import them if you have them elsewhere.",
    )
    if parked:
        warn(
            f"{parked} 份暂存邮件等待人工处理：备份之后它们可能已经送达。用 relay held list 查看，再 release 或 drop。",
            f"{parked} held copies wait for a person, since they may have been delivered after the backup: look at them with"
            " relay held list, then release or drop them.",
        )
    if manifest.store == "redis":
        warn(
            "Redis 中的数据不在备份内；请先恢复 Redis，再启动服务。",
            "What is in Redis was not in the file: restore Redis before you start the relay.",
        )


def _snapshot(config: Config, name: StoreName, scratch: Path, progress: archive.Progress) -> dict[str, Path]:
    """Copies of what changes, the files themselves of what does not; the keys last, so that they open all of it."""
    folder = config.data_path
    files: dict[str, Path] = {}
    for database in archive.DATABASES:
        if (folder / database).exists():
            archive.copy_database(folder / database, scratch / database, progress)
            files[database] = scratch / database
    if archive.STORE in files:
        files |= _held_bodies(folder, scratch)
    files |= {path.as_posix(): folder / path for path in archive.kept_files(folder)}
    scratch.joinpath(archive.KEYS).write_bytes(config.keys_path.read_bytes())
    files[archive.KEYS] = scratch / archive.KEYS
    if name.kind == "sqlite":
        _require_together(SQLiteStore.read_meta(scratch / archive.STORE), name, load_keys(config.keys_path))
    return files


def _held_bodies(folder: Path, scratch: Path) -> dict[str, Path]:
    """The bodies of what is held; what has left since relay.db was copied is taken out of the copy, and logins too."""
    files: dict[str, Path] = {}
    gone: set[str] = set()
    scratch.joinpath(archive.HELD).mkdir()
    for name in archived.files_of(scratch / archive.STORE):
        kept = scratch / archive.HELD / name
        try:
            _keep(folder / archive.HELD / name, kept)
        except FileNotFoundError:
            gone.add(name)
        else:
            files[f"{archive.HELD}/{name}"] = kept
    for name in sorted(gone.intersection(archived.files_of(folder / archive.STORE))):
        gone.remove(name)
        lost = folder / archive.HELD / name
        warn(
            f"{lost} 缺失：这封暂存邮件的正文已丢失，备份中也没有。",
            f"{lost} is missing: this held mail has lost its body, here and in the backup.",
        )
    archived.leave_out(scratch / archive.STORE, gone)
    return files


def _keep(path: Path, kept: Path) -> None:
    """Hold on to a file that the relay may remove any moment. Raises FileNotFoundError when it has."""
    try:
        os.link(path, kept)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, kept)


def _restore(config: Config, source: Path) -> tuple[Manifest, int]:
    """Unpack beside the place, verify, then move everything in; store.id comes last. How many held copies wait now, too."""
    folder = config.data_path
    draft = folder / _DRAFT
    with ExitStack() as undo:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.mkdir(mode=0o700)
        undo.callback(_remove, draft)
        with _progress() as progress:
            manifest = archive.read_archive(source, draft, progress)
        _verify(config, manifest, draft)
        parked = archived.park(draft / archive.STORE, time.time() + _LOOKED_AT_WITHIN) if manifest.store == "sqlite" else 0
        _place_keys(config, draft / archive.KEYS)
        for path in sorted(draft.iterdir(), key=lambda p: p.name == "store.id"):
            path.rename(folder / path.name)
    return manifest, parked


def _verify(config: Config, manifest: Manifest, draft: Path) -> None:
    if (kind := "sqlite" if config.store.url == "sqlite" else "redis") != manifest.store:
        raise ConfigurationError(f"[store] url names {kind}, the backup is of a relay with {manifest.store}")
    for database in archive.DATABASES:
        if (draft / database).exists():
            archive.require_sound(draft / database)
    name = read_store_name(draft)
    if name is None or (name.store_id, name.kind) != (manifest.store_id, manifest.store):
        raise ArchiveError("store.id in the archive is not that of its store")
    keys = load_keys(draft / archive.KEYS)
    if manifest.store == "sqlite":
        _require_together(SQLiteStore.read_meta(draft / archive.STORE), name, keys)


def _require_together(meta: StoreMeta, name: StoreName, keys: Keys) -> None:
    if meta.store_id != name.store_id:
        raise StoreUnavailable("foreign", f"relay.db is store {meta.store_id}, store.id says {name.store_id}")
    if not meta.fingerprints <= keys.fingerprints:
        raise StoreUnavailable("keys", text(*_LACKING))


def _place_keys(config: Config, restored: Path) -> None:
    """Put the keys where the configuration wants them; keys that are there already stay if they can do the same."""
    path = config.keys_path
    keys = load_keys(restored)
    if path.exists():
        if not all(
            set(getattr(keys, r).keys) <= set(getattr(load_keys(path), r).keys)
            for r in ("addresses", "records", "tokens", "held")
        ):
            raise ConfigurationError(f"{path} holds other keys than the backup; move it away, or name another file in [keys]")
    else:
        save_keys(path, keys)
    restored.unlink()


async def _record(config: Config, source: Path, manifest: Manifest) -> None:
    """Let the records say that they were restored."""
    now = time.time()
    records = Records.open(config.data_path / "records.db", load_keys(config.keys_path), config.records.min_free, time.time)
    try:
        made = datetime.fromtimestamp(manifest.created_at, UTC).isoformat(timespec="seconds")
        why = f"restored from {source.name}, made at {made}"
        record_id = new_id(now, os.urandom(10))
        await records.append(opened_record(record_id, now, store=manifest.store, store_id=manifest.store_id, why=why))
    finally:
        await records.aclose()


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@contextmanager
def _progress() -> Iterator[archive.Progress]:
    """A bar for people on stderr, one line per file."""
    with Progress(disable=not os.isatty(2), transient=True) as bars:
        tasks = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield show
