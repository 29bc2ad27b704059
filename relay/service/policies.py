"""Every policy set that was ever in force, by its hash, and which one is in force now.

    data_dir/policies/sets/<hash>/...     the files as they were
    data_dir/policies/history.jsonl       one line per switch; the last whole line is in force

A switch is one appended line, so a crash leaves the old set or the new one in
force, never half of each (law 7).
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from relay.accounts import Upstream
from relay.config import Config
from relay.errors import ConfigurationError
from relay.files import Turn, sync_folder, write_durably
from relay.policy.checks.transfer import TransferRule
from relay.policy.checks.transfer_consent import TransferConsent
from relay.policy.checks.transfer_count import TransferCountRule
from relay.policy.rules.rule import Rule
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet, Stream, set_hash
from relay.upstream.profile import Profile

MAX_FILE = 1024 * 1024
MAX_FILES = 1000
_TURN_SECONDS = 0.05
_REMEMBERED = 4  # compiled sets that one process keeps


@dataclass(frozen=True, slots=True)
class Switch:
    """One policy set came into force: when, by whom and why."""

    hash: str
    at: float
    by: str
    reason: str


class PolicyArchive:
    """The archive of one node. Any number of processes may read it; whoever applies a set writes."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "policies"
        self._history = self._folder / "history.jsonl"
        self._compiled: dict[str, PolicySet] = {}

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One process at a time looks at what is in force and changes it; the others wait, and their loops go on."""
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.mkdir(exist_ok=True)
        turn = Turn(self._history)  # an empty history is none yet
        try:
            while not turn.take(wait=False):  # noqa: ASYNC110 - another process sets no event here
                await asyncio.sleep(_TURN_SECONDS)
            yield
        finally:
            turn.close()

    def keep(self, files: Mapping[str, bytes]) -> str:
        """Store a set durably and return its hash; storing it again changes nothing."""
        name = set_hash(files)
        place = self._set_folder(name)
        if self._is_intact(name):
            return name
        shutil.rmtree(place, ignore_errors=True)  # somebody altered it
        building = place.with_name(f".{name}.{os.getpid()}")
        shutil.rmtree(building, ignore_errors=True)
        for file, octets in files.items():
            path = building / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, octets)
        for folder in {building, *(p.parent for p in map(building.joinpath, files))}:
            sync_folder(folder)
        try:
            building.rename(place)
        except OSError:  # another process kept the same set first
            shutil.rmtree(building, ignore_errors=True)
            if not self._is_intact(name):
                raise
        sync_folder(place.parent)
        return name

    def load(self, name: str) -> PolicySet:
        """Return a set that was kept, compiled.

        Raises ConfigurationError when it is missing or was altered.
        """
        if name not in self._compiled:
            files = read_folder(self._set_folder(name))
            if set_hash(files) != name:
                raise ConfigurationError(f"{self._set_folder(name)}: the kept policy set was altered; apply your policies again")
            while len(self._compiled) >= _REMEMBERED:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[name] = parse_policies(files)
        return self._compiled[name]

    def find(self, name: str) -> PolicySet | None:
        """As `load`; None when the set is missing, was altered, or is one that this version cannot read."""
        try:
            return self.load(name)
        except ConfigurationError:
            return None

    def in_force(self) -> str | None:
        """Return the hash of the set in force, None before the first."""
        history = self.history()
        return history[-1].hash if history else None

    def in_force_at(self, at: float) -> Switch | None:
        """Return what was in force at a moment, None when nothing was yet."""
        return next((switch for switch in reversed(self.history()) if switch.at <= at), None)

    def history(self) -> list[Switch]:
        """Every switch, oldest first."""
        try:
            lines = self._history.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        switches = []
        for line in lines[:-1]:  # what follows the last line end was not finished
            try:
                switches.append(Switch(**orjson.loads(line)))
            except (orjson.JSONDecodeError, TypeError):
                continue  # a write that a crash cut off; it never came into force
        return switches

    def put_in_force(self, name: str, at: float, by: str, reason: str) -> None:
        """Switch to a set that was kept: one durable line.

        Raises ConfigurationError when the set was never kept.
        """
        if not self._set_folder(name).is_dir():
            raise ConfigurationError(f"policy set {name} was never kept")
        line = orjson.dumps(asdict(Switch(name, at, by, reason))) + b"\n"
        with self._history.open("a+b", buffering=0) as file:
            if end := file.seek(0, os.SEEK_END):
                file.seek(end - 1)
                if file.read(1) != b"\n":  # a crash cut the last write off
                    line = b"\n" + line
            file.write(line)
            os.fsync(file.fileno())
        sync_folder(self._folder)

    def _is_intact(self, name: str) -> bool:
        try:
            return set_hash(read_folder(self._set_folder(name))) == name
        except ConfigurationError:
            return False

    def _set_folder(self, name: str) -> Path:
        return self._folder / "sets" / name


def read_folder(folder: Path) -> dict[str, bytes]:
    """Read every *.toml below a folder, named by its path inside it with "/".

    Hidden files and everything that is not *.toml stay out.  Raises
    ConfigurationError for a folder that cannot be read, a link that leads
    outside, and files that no person wrote by hand.
    """
    root = folder.resolve()
    files: dict[str, bytes] = {}
    try:
        for path in sorted(root.rglob("*.toml")):
            name = path.relative_to(root).as_posix()
            if not any(part.startswith(".") for part in name.split("/")) and path.is_file():
                files[name] = _read(path, root)
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder}: {error.strerror}") from None
    if not files:
        raise ConfigurationError(f"{folder}: there are no policy files here / 此目录下没有策略文件")
    if len(files) > MAX_FILES:
        raise ConfigurationError(f"{folder}: more than {MAX_FILES} files / 文件超过 {MAX_FILES} 个")
    return files


def config_faults(policy: PolicySet, config: Config, profiles: Mapping[str, Profile]) -> list[str]:
    """What a policy set names and config.toml does not have, or what an upstream's provider makes impossible.

    A set with such a fault must not come into force.
    """
    upstreams = {upstream.name for upstream in config.upstream}
    listeners = {listen.name for listen in config.listen}
    faults = []
    for stream in policy.streams:
        file = f"streams/{stream.name}.toml"
        faults += [
            f'{file}: upstream: config.toml has no [[upstream]] named "{name}" / config.toml 中没有此 [[upstream]]'
            for name in stream.upstream
            if name not in upstreams
        ]
        faults += [
            f'{file}: match: listeners: config.toml has no [[listen]] named "{name}" / config.toml 中没有此 [[listen]]'
            for name in stream.match.listeners
            if name not in listeners
        ]
        if stream.unsubscribe.is_offered:
            key = "one_click" if stream.unsubscribe.one_click else "mailto"
            faults += [
                f'{file}: {key}: the provider of [[upstream]] "{upstream.name}" adds List-Unsubscribe itself: switch that'
                " off there, then write own_list_unsubscribe = false into its profile"
                " / 该服务商会自行添加 List-Unsubscribe：请先在服务商处关闭，再修改其 profile"
                for upstream in _upstreams_of(stream, config)
                if upstream.provider in profiles and profiles[upstream.provider].own_list_unsubscribe
            ]
        faults += _unread_refusals(stream, policy, config)
    return faults


def _unread_refusals(stream: Stream, policy: PolicySet, config: Config) -> list[str]:
    """Senders for whose refusals by mail there is no mailbox that the collector reads."""
    if not stream.unsubscribe.mailto:
        return []
    fallback = policy.organisation.refusal_mailbox
    unread = [who for who in stream.match.identities or ("",) if config.watched_account(who, fallback) is None]
    return [
        f"streams/{stream.name}.toml: unsubscribe.mailto: nobody would read the refusals: config.toml needs an [[account]] with"
        f" imap for {who or 'a refusal_mailbox in organisation.toml'}"
        f" / 无人读取退订邮件：config.toml 需要为 {who or 'organisation.toml 的 refusal_mailbox'} 配置带 imap 的 [[account]]"
        for who in unread
    ]


def unknown_countries(policy: PolicySet, config: Config, profiles: Mapping[str, Profile]) -> dict[str, list[str]]:
    """Upstreams whose country nobody named, each with the packs that ask about it.

    A pack by upstream does not bind the mail that leaves by them; a rule on transfers objects to it.
    """
    asking: dict[str, dict[str, None]] = {}
    for stream in policy.streams:
        packs = [pack.name for pack in stream.packs if pack.reach is not None and pack.reach.upstreams]
        packs += [rule.name.partition("/")[0] for rule in stream.rules if _asks_where(rule, stream)]
        for upstream in _upstreams_of(stream, config) if packs else ():
            profile = profiles.get(upstream.provider)
            if not upstream.country and profile is not None and not profile.country:
                asking.setdefault(upstream.name, {}).update(dict.fromkeys(packs))
    return {name: list(packs) for name, packs in asking.items()}


def _asks_where(rule: Rule, stream: Stream) -> bool:
    table = rule.table
    if rule.never or not isinstance(table, TransferRule | TransferCountRule | TransferConsent):
        return False
    return stream.facts.country in table.from_countries


def countries_of(stream: Stream, config: Config, profiles: Mapping[str, Profile]) -> frozenset[str]:
    """Where the upstreams are that the stream's mail may leave by, as far as somebody said it."""
    named = (
        one.country or (profiles[one.provider].country if one.provider in profiles else "")
        for one in _upstreams_of(stream, config)
    )
    return frozenset(filter(None, named))


def _upstreams_of(stream: Stream, config: Config) -> list[Upstream]:
    """Every upstream that the stream's mail may leave by: those it names, else the first, and those of its clients' logins."""
    names = set(stream.upstream or (config.upstream[0].name,))
    if config.auth.mode == "upstream":
        heard = (listen for listen in config.listen if not stream.match.listeners or listen.name in stream.match.listeners)
        names |= {listen.upstream or config.upstream[0].name for listen in heard if listen.auth == "required"}
    return [upstream for upstream in config.upstream if upstream.name in names]


def _read(path: Path, root: Path) -> bytes:
    if not path.resolve().is_relative_to(root):
        raise ConfigurationError(f"{path}: this link leads out of the policy folder / 此链接指向策略目录之外")
    with path.open("rb") as file:
        octets = file.read(MAX_FILE + 1)
    if len(octets) > MAX_FILE:
        raise ConfigurationError(f"{path}: larger than 1 MiB / 文件超过 1 MiB")
    return octets
