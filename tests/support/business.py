"""Ordinary business mail in Chinese and English: no two texts are the same, and none refuses mail, however it sounds.

Many begin with a word of refusal that is about goods, rooms or files, alone on its line.
"""

import re

PRODUCTS = (
    ("轴承", "the ball bearings"), ("T恤样品", "the T series"), ("TD-LTE 模块", "the TD-4 pumps"), ("阀门", "the steel valves"),
    ("包装纸箱", "the cartons"), ("液压泵", "the STOP-7 switches"), ("显示屏", "the displays"), ("电缆", "the cables"),
    ("陶瓷杯", "the cups"), ("茶叶礼盒", "the tea boxes"), ("打印机", "the printers"),
)  # fmt: skip
DAYS = (
    ("周一", "Monday"), ("下周三", "next Wednesday"), ("3月18日", "18 March"), ("月底", "the end of the month"),
    ("明天", "tomorrow"), ("春节后", "Easter"), ("5号", "the 5th"),
)  # fmt: skip
PEOPLE = (("王芳", "Ada"), ("李明", "Mr Smith"), ("陈经理", "our buyer"), ("仓库", "the warehouse"), ("财务部", "accounting"))

# {p} product, {d} day, {n} person, {q} a number
REFUSING_FIRST = (
    "停止发送。\n第二批{p}等我通知，{d}再说。",
    "拒收\n客户说{p}包装破损，请{d}前补发。",
    "退订\n{q}间会议室，改到{d}，联系{n}。",
    "不要再发\n旧版报价，{p}的新价格{d}给{n}，谢谢",
    "别再发了\n上次{p}的合同版本不对，用V{q}，{d}签",
    "取消订阅\n的按钮在你们关于{p}的邮件里打不开，{d}能看一下吗？",
    "退订\n{n}的会议室，{d}那{q}间",
    "T\n系列的{p}什么时候到货？{d}前要{q}件",
    "TD\n模块和{p}一起发，{d}到就行，{n}收",
    "停止推送\n{p}的数据到测试环境，{d}等{n}通知",
    "不要发了\n{p}库存够了，{d}再订{q}箱",
    "别发\n空运，{p}走海运，{d}前到，{n}",
    "勿扰\n模式下{p}的说明书在哪里下载？{d}要给{n}",
    "退\n{q}件{p}，{d}来取，{n}在",
    "您好，\n拒收。\n{p}少了{q}箱，{d}请{n}回电话",
    "终止订阅\n{p}的维保合同需要什么手续？{n}{d}想办",
    "停止订阅\n{p}行情服务的是{n}，我们{d}继续",
    "请退订\n{n}的{q}张机票，{d}的那班",
    "退订，谢谢\n另外{p}的发票{d}能开吗？{n}",
    "Unsubscribe\nbutton in your mail about {p} is broken, can you check by {d}? {n} saw it too.",
    "Unsubscribe\n{n} from the training on {p}, he is away until {d}.",
    "Stop\nby our booth on {d}, {n} will show {p}, row {q}.",
    "Stop\nthe production of {p} until {d}, {n} has found {q} faults.",
    "Stop sending\n{p} by air, by sea is fine; {n} needs {q} of them by {d}.",
    "Please remove me\nfrom the visit on {d} and put {n} on it, it is about {p}, room {q}.",
    "Opt out\nof the warranty for {p}: what does it save for {q} pieces? {n} asks by {d}.",
    "No\nproblem with {p}, {n} will pay {q} of them on {d}.",
    "NO\n{q} of {p} is missing in the box of {d}, says {n}",
    "Cancel my subscription\nto the spare parts of {p}? {n} pays it until {d}, is that so for all {q}?",
    "Do not contact\n{n} about {p}, ask me, I am back on {d}, extension {q}",
    "Hi,\nplease stop.\n{p} are in the wrong colour, {n} calls you on {d} about all {q}.",
    "Remove\n{q} of {p} from the order, deliver the rest on {d} to {n}.",
    "Unsubscribe?\nWhy would I: {p} are what {n} needs on {d}, send {q}.",
    "TD\nbatch {q} of {p} came on {d}, {n} has signed for it",
    "No more emails\nabout {p} got through to {n} since {d}, did you send all {q}?",
)  # fmt: skip
SENTENCES = (
    "您好，附件是{p}的最新报价，{d}前有效，请{n}查收，共{q}项。",
    "请问贵司{p}的退订政策是怎样的？{n}{d}要退{q}件。",
    "客户要求拒收这{q}箱{p}，请{d}前联系{n}。",
    "{p}的订单先不要取消订阅服务，{d}再说，{n}已知，共{q}台。",
    "{p}已寄出{q}件，{d}到，收件人{n}。",
    "请把{p}合同第{q}条删除后，{d}前发给{n}。",
    "请将{n}从{d}的参会名单中删除，{p}由我介绍，第{q}场。",
    "我们不想收到破损的{p}，{d}那{q}箱请{n}加强包装。",
    "停止发送第{q}批{p}，{d}等{n}通知。",
    "不需要退订，{p}{d}照发{q}件给{n}。",
    "不要发票，{p}{q}件{d}开收据给{n}就行。",
    "看到你们通讯里的{p}，{n}想{d}订{q}件，多少钱？",
    "谢谢你们的通讯，{p}那篇文章{n}{d}要在会上讲，第{q}页能否给原图？",
    "T {q} 型的{p}有现货吗？{d}要，{n}。",
    "不需要，谢谢。{p}我们{d}已买了{q}件，{n}。",
    "退订单请见附件：{p}{q}件，{d}，{n}签字。",
    "不要退订{p}，{n}{d}还要用{q}套。",
    "关于取消{p}订单的流程，请{n}{d}来电，分机{q}。",
    "Thanks for the newsletter, {n} liked the article on {p}; may we print {q} copies by {d}?",
    "Could you stop the line for {p} until {d}? {n} checks {q} pieces.",
    "How do I unsubscribe {n} from the training on {p} of {d}, group {q}?",
    "We would like to remove item {q} from the order and add {p}, due on {d}, for {n}.",
    "{p} and the TD series are in stock, {q} of each, and leave on {d} with {n}.",
    "I do not want to unsubscribe: what do {q} of {p} cost if {n} collects them on {d}?",
    "No, {p} have not come yet, {n} waits since {d} for {q} of them.",
    "If you do not want {p} by air, tell {n} by {d}; box {q} is still here.",
    "Please stop by on {d}; {n} has {q} samples of {p} for you.",
    "We no longer want {p} in grey, {n} ordered {q} in blue for {d}.",
    "Please take {p} off your list of returns, {n} keeps all {q}, see mail of {d}.",
    "Do not send {p} before {d}, the store is full; {n} says {q} pallets is the most.",
    "Your unsubscribe rate of {q} % in the report on {p} is good, {n} presents it on {d}.",
    "Bitte senden Sie {n} das Angebot über {q} Stück ({p}) bis {d} noch einmal.",
    "We cannot remove me from the rota of {d} so easily, {n} must take {p}, shift {q}.",
    "Das Abbestellen der {q} Muster ({p}) war ein Versehen, {n} braucht sie bis {d}.",
)  # fmt: skip


def business_texts(count: int) -> list[str]:
    """So many texts, each once; every second one begins with a refusing word that is about something else."""
    shapes = [shape for pair in zip(REFUSING_FIRST, (*SENTENCES, SENTENCES[0]), strict=True) for shape in pair]
    texts: dict[str, None] = {}
    turn = 0
    while len(texts) < count:
        turn += 1
        for place, shape in enumerate(shapes):
            english = not re.search("[\u4e00-\u9fff]", shape)
            p, d, n = (pool[(turn * step + place) % len(pool)][english] for pool, step in ((PRODUCTS, 1), (DAYS, 3), (PEOPLE, 2)))
            texts.setdefault(shape.format(p=p, d=d, n=n, q=2 + (turn * 7 + place) % 97))
    return [*texts][:count]
