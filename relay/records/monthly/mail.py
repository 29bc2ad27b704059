"""The sections on mail: recipients and outcomes, rules, refusals, what came back, limits. Pure."""

from collections import Counter
from datetime import timedelta

from relay.mail.mailbox import without_addresses
from relay.records.monthly.charts import Column, bar_chart, column_chart
from relay.records.monthly.counts import AGES, DAY, HOUR, Fate, rate
from relay.records.monthly.view import COMPLAINTS, DEAD_ADDRESSES, GROUPS, Cell, Chart, Part, Section, Table, View
from relay.records.timeliness import LONGER
from relay.records.wording import ORIGINS, REASONS, word

_SHOWN_BARS = 12


def recipients(view: View) -> Section:
    """Who was written to, and what came of it, by stream and by day."""
    counts, total = view.counts, view.counts.total
    fates = [_fate_name(view, fate) for fate in Fate]
    streams: list[list[Cell]] = [
        [view.stream(name), counts.messages[name], *(counts.fates[name][fate] for fate in Fate), counts.warned[name]]
        for name in counts.streams
    ]
    sums: list[Cell] = [view.t("合计", "Total"), counts.messages.total(), *(total[fate] for fate in Fate), counts.warned.total()]
    columns = [view.t("邮件流", "Stream"), view.t("邮件", "Messages"), *fates, view.t("其中有提醒", "With a warning")]
    days: list[list[Cell]] = [[str(day), *(counts.days[day][fate] for fate in Fate)] for day in sorted(counts.days)]
    by_stream = Table("recipients_by_stream", view.t("按邮件流", "By stream"), columns, streams, sums)
    by_day = Table("recipients_by_day", view.t("按日", "By day"), [view.t("日期", "Day"), *fates], days)
    return Section(
        view.t("收件人与结果", "Recipients and outcomes"),
        _notes_on_recipients(view),
        [Part(by_stream), Part(by_day, _day_chart(view) if days else None)],
    )


def _notes_on_recipients(view: View) -> list[str]:
    counts, unfinished = view.counts, view.material.unfinished
    if not counts.messages and not counts.fates:
        notes = [view.t("本月没有经过本节点的邮件。", "No mail passed through this node in this month.")]
    else:
        notes = [
            view.t(
                "每次尝试各计一次：软件重试时会再次计入“暂缓”，已有结果的收件人不再重复计入。没有邮件的日子不列出。",
                "Each try counts: a retry counts as deferred again; whoever has an outcome already does not count twice."
                " Days without mail are left out.",
            )
        ]
    if unfinished:
        notes.append(
            view.t(
                f"没有结果记录的邮件（服务中断或仍在发送）：{unfinished:,}。其收件人的结果未知，未计入表中。",
                "Messages without an outcome on record (the relay was stopped in between, or is sending them now):"
                f" {unfinished:,}."
                " What became of their recipients is not known, and they are not in the table.",
            )
        )
    if counts.late:
        said = view.t("，", ", ").join(f"{_state(view, state)} {number:,}" for state, number in sorted(counts.late.items()))
        notes.append(
            view.t(f"记为“未知”之后才到的上游答复：{said}。", f"Answers of the server that came after “not known”: {said}.")
        )
    if counts.senders_refused:
        notes.append(
            view.t(
                f"因发件人或邮件格式被拒绝、未涉及具体收件人：{counts.senders_refused:,} 次。",
                f"Senders and malformed messages refused before a recipient was judged: {counts.senders_refused:,}.",
            )
        )
    if counts.untold:
        notes.append(
            view.t(
                f"没有报告给任何人的未送达收件人（信封或邮件类型不允许）：{counts.untold:,}。",
                "Refused recipients of whom nobody was told, because the envelope or the kind of mail forbids it:"
                f" {counts.untold:,}.",
            )
        )
    return notes


def _day_chart(view: View) -> Chart:
    """A bar for every day from the first of the month, days without mail too."""
    counts = view.counts
    first, last = min(counts.days).replace(day=1), max(counts.days)
    if view.material.is_over:
        last = view.date(view.material.until - 1)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    groups = [fates for _, fates, _, _ in GROUPS]
    sums = [counts.days.get(day, Counter()) for day in days]
    bars = [
        Column(str(day.day), tuple(sum(found[fate] for fate in fates) for fates in groups))
        for day, found in zip(days, sums, strict=True)
    ]
    title = view.t("每日收件人，按结果", "Recipients per day, by outcome")
    busiest = max(counts.days, key=lambda day: counts.days[day].total())
    description = view.t(
        f"共 {counts.total.total():,} 人次，最多的一天是 {busiest}，{counts.days[busiest].total():,} 人次。数字见“按日”表。",
        f"{counts.total.total():,} in all; the busiest day was {busiest} with {counts.days[busiest].total():,}."
        " The table “By day” has the numbers.",
    )
    picture = column_chart("days", title, description, bars, [name for name, *_ in GROUPS])
    return Chart(title, picture, [(name, view.t(zh, en)) for name, _, zh, en in GROUPS])


def rules(view: View) -> Section:
    """Which rules stopped how many, and what they say."""
    met = {name: rule for name, rule in view.counts.rules.items() if rule.refused or rule.deferred or rule.warned}
    ranked = sorted(met.items(), key=lambda item: (-item[1].refused - item[1].deferred, -item[1].warned, item[0]))
    rows: list[list[Cell]] = [
        [name, without_addresses(rule.text[view.language]), rule.cite or "–", rule.refused, rule.deferred, rule.warned]
        for name, rule in ranked
    ]
    bars = [Column(name, (rule.refused, rule.deferred)) for name, rule in ranked if rule.refused or rule.deferred]
    title = view.t("拒绝与暂缓最多的规则", "The rules that stopped most")
    description = view.t("每条规则拒绝和暂缓的收件人。", "Recipients that each rule refused and deferred.")
    legend = [("rule", view.t("拒绝", "Refused")), ("waiting", view.t("暂缓", "Deferred"))]
    chart = Chart(title, bar_chart("rules", title, description, bars[:_SHOWN_BARS], ("rule", "waiting")), legend)
    columns = [
        view.t("规则", "Rule"), view.t("内容", "What it says"), view.t("依据", "Based on"),
        view.t("拒绝", "Refused"), view.t("暂缓", "Deferred"), view.t("仅提醒", "Only warned"),
    ]  # fmt: skip
    return Section(
        view.t("按规则统计的拒绝", "Refusals by rule"),
        [] if rows else [view.t("没有规则拦下邮件。", "No rule stopped or warned about anything.")],
        [Part(Table("refusals_by_rule", view.t("规则", "Rules"), columns, rows), chart if bars else None)],
    )


def refusals(view: View) -> Section:
    """How recipients refused, how old the mail was, how soon it held."""
    counts, effects = view.counts, view.material.effects
    title = view.t("从发信到拒收", "From the mail to the refusal")
    labels = [_age(view, number) for number in range(len(AGES) + 1)]
    ages = [Column(label, (number,)) for label, number in zip(labels, counts.ages, strict=True)]
    age_rows: list[list[Cell]] = [[label, number] for label, number in zip(labels, counts.ages, strict=True)]
    if counts.ages_unknown:
        age_rows.append([view.t("对应的邮件不详", "It is not known which mail"), counts.ages_unknown])
    description = view.t("邮件发出多久之后被拒收。", "How old the mail was when its recipient refused.")
    way, reason, number = view.t("途径", "Way"), view.t("原因", "Reason"), view.t("次数", "Times")
    ways: list[list[Cell]] = [
        [word(ORIGINS, origin)[view.language], word(REASONS, why)[view.language], times]
        for (origin, why), times in sorted(counts.refusals.items())
    ]
    effect: list[list[Cell]] = [[_within(view, bound), times] for bound, times in sorted(effects.within.items())]
    notes = [
        view.t(
            "拒收在写入记录的同一事务中对本节点生效，从下一位收件人起不再发送；下表是共享的存储多久之后也收到了它。同一人可以拒收多次。",
            "A refusal binds this node in the transaction that records it, from the next recipient on; the last table says"
            " how soon the store, which other nodes ask, had it too. A person may refuse more than once.",
        )
    ]
    if effects.waiting_since is not None:
        notes.append(
            view.t(
                f"{effects.waiting:,} 个拒收仍在日志中等待存储，最早的是 {view.time(effects.waiting_since)}。",
                f"{effects.waiting:,} refusals still wait for the store, the oldest since {view.time(effects.waiting_since)}.",
            )
        )
    chart = Chart(title, bar_chart("ages", title, description, ages, ("delivered",))) if sum(counts.ages) else None
    until_stored = view.t("到达存储所需时间", "Until the store had it")
    parts = [
        Part(Table("unsubscribe_age", title, [view.t("邮件发出后", "After the mail"), number], age_rows), chart),
        Part(Table("refusals_by_way", view.t("按途径", "By way"), [way, reason, number], ways)),
        Part(Table("time_to_effect", until_stored, [view.t("时间", "Time"), number], effect)),
    ]
    return Section(
        view.t("收件人的拒收", "Recipients' refusals"),
        notes if counts.refusals else [view.t("本月没有收件人拒收。", "No recipient refused in this month."), *notes[1:]],
        parts if counts.refusals or effect else [],
    )


def returned(view: View) -> Section:
    """What came back or had nobody to go to, counted as the thresholds count it."""
    counts = view.counts
    rows = [_returned_row(view, view.stream(name), name) for name in counts.streams]
    columns = [
        view.t("邮件流", "Stream"), view.t("送达", "Delivered"), view.t("当场答复无此邮箱", "No mailbox, said at once"),
        view.t("退信", "Bounces"), view.t("其中地址无效", "Address is dead"), view.t("无效率", "Rate of dead addresses"),
        view.t("投诉", "Complaints"), view.t("投诉率", "Complaint rate"),
    ]  # fmt: skip
    notes = [
        view.t(
            "退信和投诉来自所读取的邮箱，没有带 imap 的 [[account]] 时为零；同一封邮件的同一收件人只计一次。"
            "投诉率以本月送达数为分母，无效率以送达和当场答复无此邮箱的总数为分母。"
            "各大服务商要求投诉率低于 0.1%，不得达到 0.3%；地址无效率宜低于 2%。",
            "Bounces and complaints come from the mailboxes that the relay reads; without an [[account]] that has imap they are"
            " nought. One recipient of one mail counts once. Complaints are a share of what was delivered in the month, dead"
            " addresses of that and of those who had no mailbox. Large providers ask for less than 0.1% complaints and never"
            " 0.3%; dead addresses should stay under 2%.",
        )
    ]
    totals = _returned_row(view, view.t("合计", "Total"), None)
    return Section(
        view.t("退信与投诉", "Bounces and complaints"),
        notes,
        [Part(Table("bounces_and_complaints", view.t("按邮件流", "By stream"), columns, rows, totals))],
    )


def _returned_row(view: View, label: str, stream: str | None) -> list[Cell]:
    counts = view.counts
    delivered = (counts.total if stream is None else counts.fates[stream])[Fate.DELIVERED]
    absent, bounces, gone, complaints = (
        part.total() if stream is None else part[stream]
        for part in (counts.absent, counts.bounces, counts.gone, counts.complaints)
    )
    return [
        label, delivered, absent, bounces, gone, view.rate(counts.dead_addresses(stream), DEAD_ADDRESSES),
        complaints, view.rate(rate(complaints, delivered), COMPLAINTS),
    ]  # fmt: skip


def limits(view: View) -> Section:
    """Which sending limits were met."""
    met = view.counts.limits.most_common()
    bars = [Column(without_addresses(name), (times,)) for name, times in met]
    title = view.t("因限额而暂缓的收件人", "Recipients deferred by a limit")
    description = view.t("每个限额的次数。", "How often each limit was met.")
    chart = Chart(title, bar_chart("limits", title, description, bars[:_SHOWN_BARS], ("waiting",)))
    notes = [
        view.t(
            "指策略与上游的发送限额。连接数、邮件大小等入口限制不逐条记录，见指标 relay_refused_by_limit_total。",
            "Sending limits of streams and upstreams. Bounds of the SMTP door (connections, sizes) are not recorded one by one:"
            " see the metric relay_refused_by_limit_total.",
        )
    ]
    columns = [view.t("限额", "Limit"), view.t("次数", "Times")]
    rows: list[list[Cell]] = [[without_addresses(name), times] for name, times in met]
    return Section(
        view.t("达到的限额", "Limits met"),
        notes if met else [view.t("本月没有达到发送限额。", "No sending limit was met in this month."), *notes],
        [Part(Table("limits_met", view.t("限额", "Limits"), columns, rows), chart)],
    )


def _fate_name(view: View, fate: Fate) -> str:
    zh, en = {
        Fate.DELIVERED: ("送达", "Delivered"),
        Fate.RULE: ("规则拒绝", "Refused by a rule"),
        Fate.SERVER: ("上游拒收", "Refused by the server"),
        Fate.DEFERRED: ("规则暂缓", "Deferred by a rule"),
        Fate.TRANSIENT: ("上游暂缓", "Deferred by the server"),
        Fate.UNKNOWN: ("未知", "Not known"),
        Fate.HELD: ("由中继保留", "Held by the relay"),
    }[fate]
    return view.t(zh, en)


def _age(view: View, number: int) -> str:
    if number == len(AGES):
        return view.t("更久", "later")
    bound = AGES[number]
    if bound == HOUR:
        return view.t("1 小时内", "within 1 hour")
    days = round(bound / DAY)
    return view.t(f"{days} 天内", f"within {days} day{'s' if days > 1 else ''}")


def _within(view: View, bound: int) -> str:
    if bound == LONGER:
        return view.t("更久", "longer")
    for size, zh, en in ((86400, "天", "day"), (3600, "小时", "hour"), (60, "分钟", "minute"), (1, "秒", "second")):
        if bound >= size:
            number = bound // size
            return view.t(f"{number} {zh}内", f"within {number} {en}{'s' if number > 1 else ''}")
    return str(bound)


def _state(view: View, state: str) -> str:
    return _fate_name(view, Fate(state))
