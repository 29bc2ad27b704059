"""What a monthly report is made from, and the parts that the page and the CSV both show, in one language. Pure.

Nothing in it is an address: people are counted, and text that somebody typed
is masked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo

from relay.mail.mailbox import without_addresses
from relay.policy.telling.difference import Change
from relay.records.monthly.counts import OTHERS, Fate, Month, rate
from relay.records.monthly.relaxations import Reign, Relaxation
from relay.records.search import Verdict
from relay.records.timeliness import Effects

GROUPS: Sequence[tuple[str, tuple[Fate, ...], str, str]] = (
    ("delivered", (Fate.DELIVERED,), "已送达", "Delivered"),
    ("rule", (Fate.RULE,), "规则拒绝", "Refused by a rule"),
    ("server", (Fate.SERVER,), "上游拒收", "Refused by the server"),
    ("waiting", (Fate.DEFERRED, Fate.TRANSIENT, Fate.UNKNOWN, Fate.HELD), "暂缓、保留或未知", "Deferred, held or not known"),
)
"""What the charts tell apart: the class of its colour, what belongs to it, its name."""

COMPLAINTS = (0.001, 0.003)
DEAD_ADDRESSES = (0.02, 0.05)
"""Shares of the delivered: from the first on it is worth looking at, from the second on providers stop the mail."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A number that is not plain: `kind` is fine, look, bad, or none when there is no number."""

    text: str
    kind: str

    def __str__(self) -> str:
        return self.text


Cell = str | int | Mark


@dataclass(frozen=True, slots=True)
class Table:
    """`key` names it in the CSV; numbers are integers, so that both can write them their way."""

    key: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture (SVG) and the meaning of its colours, by class."""

    title: str
    picture: str
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A table, and the chart that belongs to it."""

    table: Table
    chart: Chart | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what to know about it, and its numbers."""

    title: str
    notes: Sequence[str] = ()
    parts: Sequence[Part] = ()

    @property
    def filled(self) -> list[Part]:
        """The parts that have something to show."""
        return [part for part in self.parts if part.table.rows]


@dataclass(frozen=True, slots=True)
class Applied:
    """A policy set that came into force; `changes` None when one of the two sets is no longer kept."""

    at: float
    by: str
    reason: str
    hash: str
    laxer: int
    changes: Sequence[Change] | None


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that a monthly report is made from. Times are epoch seconds, `until` excluded."""

    month: str
    zone: tzinfo
    since: float
    until: float
    made_at: float
    hostname: str
    chain: str
    verdict: Verdict
    counts: Month
    unfinished: int
    effects: Effects
    applied: Sequence[Applied] = ()
    held: Sequence[Reign] = ()
    relaxed: Sequence[Relaxation] = ()
    legal_name: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.made_at >= self.until


class View:
    """A report in one language, "zh" or "en"."""

    def __init__(self, material: Material, language: str) -> None:
        self.material = material
        self.language = language
        self.counts = material.counts

    def t(self, zh: str, en: str) -> str:
        """Choose between two texts of the same meaning."""
        return zh if self.language == "zh" else en

    def time(self, at: float) -> str:
        """A moment with its offset from UTC, in the organisation's zone."""
        return datetime.fromtimestamp(at, self.material.zone).isoformat(sep=" ", timespec="minutes")

    def date(self, at: float) -> date:
        """The day of a moment."""
        return datetime.fromtimestamp(at, self.material.zone).date()

    @property
    def title(self) -> str:
        return self.t(f"{self.material.month} 月度报告", f"Monthly report {self.material.month}")

    @property
    def is_sound(self) -> bool:
        """Whether the chain of records holds."""
        return self.material.verdict.broken is None

    @property
    def figures(self) -> list[tuple[str, Cell]]:
        """The few numbers that everybody asks for first."""
        total = self.counts.total
        complaints = rate(self.counts.complaints.total(), total[Fate.DELIVERED])
        return [
            (self.t("送达的收件人", "Recipients delivered"), total[Fate.DELIVERED]),
            (self.t("被规则拒绝", "Refused by a rule"), total[Fate.RULE]),
            (self.t("收件人拒收（次）", "Recipients' refusals"), self.counts.refusals.total()),
            (self.t("投诉率", "Complaint rate"), self.rate(complaints, COMPLAINTS)),
            (self.t("无效地址率", "Rate of dead addresses"), self.rate(self.counts.dead_addresses(None), DEAD_ADDRESSES)),
            (self.t("放宽的规则", "Relaxed rules"), len(self.material.relaxed)),
        ]

    @property
    def covers(self) -> list[tuple[str, str]]:
        """What the report covers, and what vouches for it."""
        m, verdict, counts = self.material, self.material.verdict, self.counts
        last = datetime.fromtimestamp(min(m.until, m.made_at), m.zone)
        period = f"{self.time(m.since)} – {last.isoformat(sep=' ', timespec='minutes')} ({m.zone})"
        if not m.is_over:
            period += self.t("；本月尚未结束", "; the month is not over")
        numbers = f"{counts.first_seq:,} – {counts.last_seq:,}" if counts.records else "–"
        rows = [
            (self.t("期间", "Period"), period),
            (self.t("制作时间", "Made at"), self.time(m.made_at)),
            (
                self.t("节点", "Node"),
                self.t(
                    f"{m.hostname}：只包括本节点的记录；有多个节点时，请在每个节点各做一份",
                    f"{m.hostname}: the records of this node only; where there are several nodes, each makes its own report",
                ),
            ),
            (self.t("记录链", "Chain of records"), f"{m.chain} (data_dir/records.db)"),
            (
                self.t("本月记录", "Records of the month"),
                self.t(f"{counts.records.total():,} 条（序号 {numbers}）", f"{counts.records.total():,} (numbers {numbers})"),
            ),
            (self.t("完整性", "Integrity"), self._integrity(verdict)),
        ]
        if name := m.legal_name.get(self.language):
            rows.insert(0, (self.t("单位", "Organisation"), without_addresses(name)))
        return rows

    def stream(self, name: str) -> str:
        """A stream as people read it."""
        return name if name and name != OTHERS else self.t("（其他）", "(others)") if name else self.t("（未归入）", "(none)")

    def rate(self, share: float | None, bounds: tuple[float, float]) -> Cell:
        """A share as per cent, marked when it is not below the bounds."""
        if share is None:
            return Mark("–", "none")
        text = f"{share:.2%}"
        return Mark(text, "fine" if share < bounds[0] else "look" if share < bounds[1] else "bad")

    def _integrity(self, verdict: Verdict) -> str:
        head = f"{verdict.count}:{verdict.head.hex()}"
        if verdict.broken is None:
            return self.t(
                f"哈希链完好：已核验全部 {verdict.count:,} 条记录，链头 {head}",
                f"the chain of hashes holds: all {verdict.count:,} records were verified, head {head}",
            )
        return self.t(
            f"哈希链有问题：第 {verdict.broken.seq} 条：{verdict.broken.why}。此后的数字不足为凭",
            f"the chain of hashes is broken at record {verdict.broken.seq}: {verdict.broken.why}. Do not rely on these numbers",
        )
