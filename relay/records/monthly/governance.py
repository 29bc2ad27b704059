"""The sections on who changed what: policies, relaxed rules, pauses, the suppression list, keys, stores. Pure."""

from fnmatch import fnmatchcase

from relay.mail.mailbox import without_addresses
from relay.records.kinds import Kind
from relay.records.monthly.counts import Event
from relay.records.monthly.relaxations import ALL_RULES, Relaxation
from relay.records.monthly.view import Applied, Cell, Mark, Part, Section, Table, View
from relay.records.wording import ADAPTED, CONSENTS, KINDS, MEASURES, OBSERVED, REASONS, word

_SHOWN_CHANGES = 40


def policies(view: View) -> Section:
    """Which policy sets came into force, by whom, why, and what became laxer."""
    columns = [view.t("时间", "Time"), view.t("操作人", "By"), view.t("原因", "Reason"), view.t("策略", "Policy set")]
    columns += [view.t("放宽之处", "Laxer lines"), view.t("变化", "What changed")]
    rows: list[list[Cell]] = [
        [
            view.time(one.at), without_addresses(one.by), without_addresses(one.reason), one.hash,
            Mark(str(one.laxer), "look") if one.laxer else 0, _changes(view, one),
        ]
        for one in view.material.applied
    ]  # fmt: skip
    none = view.t("本月没有策略变更。", "No policy set came into force in this month.")
    return Section(
        view.t("策略变更", "Policy changes"),
        [] if rows else [none],
        [Part(Table("policy_changes", view.t("变更", "Changes"), columns, rows))],
    )


def _changes(view: View, applied: Applied) -> str:
    if applied.changes is None:
        return view.t("存档中已没有这套或前一套策略", "This set or the one before is no longer kept")
    marked = sorted(applied.changes, key=lambda change: not change.laxer)
    lines = [
        f"{view.t('放宽：', 'laxer: ') if change.laxer else ''}{without_addresses(view.t(change.text_zh, change.text_en))}"
        for change in marked[:_SHOWN_CHANGES]
    ]
    if len(marked) > _SHOWN_CHANGES:
        more = len(marked) - _SHOWN_CHANGES
        lines.append(view.t(f"……另有 {more} 处", f"... and {more} more"))
    return "\n".join(lines) or view.t("内容相同", "Nothing")


def relaxed(view: View) -> Section:
    """Which rules were relaxed, by whom, until when, and how often it mattered."""
    columns = [
        view.t("规则", "Rule"), view.t("邮件流", "Stream"), view.t("方式", "How"), view.t("操作人", "By"),
        view.t("原因", "Reason"), view.t("期限", "Until"), view.t("本月生效", "In force in the month"), view.t("用到", "Used"),
    ]  # fmt: skip
    rows = [_relaxation(view, one) for one in view.material.relaxed]
    notes = [] if rows else [view.t("本月没有放宽的规则。", "No rule was relaxed in this month.")]
    if rows:
        notes.append(
            view.t(
                "“用到”是该规则本应拦下、因放宽而继续发送的收件人。收件人的拒收、发件人归属与签名不能放宽。",
                "“Used” counts the recipients whom the rule would have stopped. Refusals of recipients, ownership and the"
                " signature cannot be relaxed.",
            )
        )
    if lost := [reign.hash for reign in view.material.held if reign.policy is None]:
        names = ", ".join(dict.fromkeys(lost))
        notes.append(view.t(f"以下策略已不在存档中，无从得知其放宽之处：{names}", f"No longer kept, so not listed: {names}"))
    if not view.material.held:
        notes.append(view.t("本月没有生效的策略。", "No policy set was in force in this month."))
    return Section(
        view.t("放宽的规则", "Relaxed rules"),
        notes,
        [Part(Table("relaxed_rules", view.t("放宽", "Relaxations"), columns, rows))],
    )


def _relaxation(view: View, one: Relaxation) -> list[Cell]:
    how = word(OBSERVED, one.what)[view.language]
    if one.mailboxes:
        how += view.t(f"（{one.mailboxes} 个邮箱）", f" ({one.mailboxes} mailboxes)")
    rules = view.t("全部规则", "every rule") if one.rules == ALL_RULES else without_addresses(one.rules)
    used = sum(times for key, times in view.counts.observed.items() if _is_use(one, *key))
    return [
        rules, one.stream or view.t("全部", "all"), how, without_addresses(one.by), without_addresses(one.reason),
        str(one.until) if one.until else view.t("直到修改", "until changed"),
        f"{view.time(one.since)} – {view.time(one.ended)}", used,
    ]  # fmt: skip


def pauses(view: View) -> Section:
    """Which streams were paused and resumed: by whom, why, by which threshold."""
    columns = [
        view.t("时间", "Time"), view.t("邮件流", "Stream"), view.t("事件", "Event"), view.t("依据", "Threshold"),
        view.t("操作人", "By"), view.t("原因", "Reason"), view.t("已判定收件人", "Recipients decided on"),
        view.t("硬退信", "Hard bounces"), view.t("投诉", "Complaints"),
    ]  # fmt: skip
    rows = [_pause(view, event) for event in view.counts.pauses]
    note = view.t(
        "人数为阈值窗口内、暂停或恢复之时的累计。多个节点共用存储时，由执行暂停或恢复的那个节点记录，见该节点的报告。",
        "The numbers are those of the threshold's window at that moment. Where nodes share a store, the one that paused or"
        " resumed has the record, and its report shows it.",
    )
    return Section(
        view.t("邮件流的暂停与恢复", "Streams paused and resumed"),
        [note] if rows else [view.t("本节点本月没有暂停或恢复邮件流。", "This node paused or resumed no stream in this month.")],
        [Part(Table("pauses", view.t("暂停与恢复", "Pauses and their ends"), columns, rows))],
    )


def _pause(view: View, event: Event) -> list[Cell]:
    facts, counts = event.facts, event.facts["counts"]
    reason = facts.get("reason_zh", facts["reason"]) if view.language == "zh" else facts["reason"]
    what = KINDS[event.kind][view.language]
    if "since" in facts:
        what += view.t(f"（自 {view.time(facts['since'])} 起暂停）", f" (paused since {view.time(facts['since'])})")
    by = view.t("系统", "the relay") if facts["by"] == "relay" else without_addresses(facts["by"])
    return [
        view.time(event.at), view.stream(facts["stream"]), what, word(MEASURES, facts["measure"])[view.language], by,
        without_addresses(reason), counts["delivered"] + counts["refused"], counts["refused"] + counts["returned"],
        counts["complaints"],
    ]  # fmt: skip


def adaptations(view: View) -> Section:
    """How often upstreams made the relay wait, go slower, split mail or pause."""
    columns = [view.t("上游与调整", "Upstream and adaptation"), view.t("次数", "Times")]
    counts = sorted(view.counts.adapted.items())
    rows: list[list[Cell]] = [[f"{name}: {word(ADAPTED, kind)[view.language]}", times] for (name, kind), times in counts]
    note = view.t("本节点本月没有因上游服务器的答复而调整发送。", "This node adapted to no upstream's replies in this month.")
    return Section(
        view.t("因上游答复而作的调整", "Adapted to upstreams' replies"),
        [] if rows else [note],
        [Part(Table("adaptations", view.t("调整", "Adaptations"), columns, rows))],
    )


def transfers(view: View) -> Section:
    """Which grounds for sending personal data abroad are nearly or wholly used up."""
    columns = [
        view.t("时间", "Time"), view.t("年份", "Year"), view.t("类别", "Category"), view.t("依据", "Ground"),
        view.t("人数", "Persons"), view.t("须少于", "Fewer than"), view.t("占比", "Share"),
    ]  # fmt: skip
    names = {"ordinary": view.t("一般", "ordinary"), "sensitive": view.t("敏感", "sensitive")}
    rows: list[list[Cell]] = [
        [view.time(event.at), str(said["year"]), names[said["category"]], said["basis"], said["persons"], said["below"],
         said["share"]]
        for event in view.counts.thresholds
        for said in (event.facts,)
    ]  # fmt: skip
    note = view.t(
        "本节点本月没有记录出境人数接近上限；当前人数见 relay transfers。",
        "This node wrote down no count that neared its threshold in this month; relay transfers shows where they stand.",
    )
    return Section(
        view.t("个人信息出境", "Personal data abroad"),
        [] if rows else [note],
        [Part(Table("transfers", view.t("出境人数", "Persons whose data left"), columns, rows))],
    )


def suppression_list(view: View) -> Section:
    """What people did to the suppression list, the keys and the stores."""
    counts = view.counts
    rows: list[list[Cell]] = [
        [view.t("列入", "Entered"), word(REASONS, reason)[view.language], times]
        for reason, times in sorted(counts.entered.items())
    ]
    if counts.imported:
        rows.append([view.t("导入", "Imported"), "–", counts.imported])
    rows += [
        [view.t("解除", "Lifted"), word(REASONS, reason)[view.language], times] for reason, times in sorted(counts.lifted.items())
    ]
    rows += [
        [
            view.t("同意台账", "Consent ledger"),
            word(CONSENTS, event)[view.language] if event else view.t("导入", "Imported"),
            times,
        ]
        for event, times in sorted(counts.consents.items())
    ]
    events: list[list[Cell]] = [
        [view.time(event.at), KINDS[event.kind][view.language], _event(view, event)]
        for event in counts.events
        if event.kind is not Kind.POLICY
    ]
    columns = [view.t("操作", "What"), view.t("原因", "Reason"), view.t("数量", "Number")]
    event_columns = [view.t("时间", "Time"), view.t("事件", "Event"), view.t("内容", "What")]
    tables = [
        Table(
            "suppression_list", view.t("由人或系统操作的禁发名单", "The suppression list, by hand or by the relay"), columns, rows
        ),
        Table("keys_and_stores", view.t("密钥与存储", "Keys and stores"), event_columns, events),
    ]
    return Section(
        view.t("名单、密钥与存储", "List, keys and stores"),
        [] if rows or events else [view.t("没有变动。", "Nothing changed.")],
        list(map(Part, tables)),
    )


def _event(view: View, event: Event) -> str:
    shown = ("ring", "store", "store_id", "why", "by")
    return without_addresses(", ".join(str(event.facts[name]) for name in shown if name in event.facts))


def unsaid(view: View) -> Section:
    """What nobody may conclude from the report."""
    return Section(
        view.t("本报告不能说明的", "What this report cannot tell"),
        [
            view.t(
                "没有经过本系统发送的邮件，以及其他节点的记录。",
                "Mail that did not pass through this relay, and the records of other nodes.",
            ),
            view.t(
                "“送达”指上游服务器已接收，不表示进入了收件箱。",
                "“Delivered” means that the upstream server took it, not that it reached an inbox.",
            ),
            view.t(
                "登记的同意、宣传是否属实：由人负责。",
                "Whether recorded consents and claims are true: people answer for that.",
            ),
        ],
    )


def _is_use(one: Relaxation, stream: str, rule: str, observed: str) -> bool:
    """Whether an objection that did not count was this relaxation's doing."""
    return observed == one.what and one.stream in ("", stream) and _names(one.rules, rule)


def _names(rules: str, rule: str) -> bool:
    from_file = [pattern.strip() for pattern in rules.split(",")]
    return any(fnmatchcase(rule, pattern) for pattern in from_file)
