"""What reading and checking a 100 KB HTML newsletter costs, in RSA-2048 signatures.

    python -m benchmarks.content [--rounds 40]

One process, CPU time only.  Each step is measured beside signatures by the library that the relay signs with, and the median
of the rounds' ratios is printed: other work on the machine spoils it a little, as it takes the caches that reading needs and
signing does not.  Every step of every round reads a message that nobody has read before, but for those "again", whose
body a message before them had, and those "for another reader", who has links of their own to the same page.
"""

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import count

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from selectolax.lexbor import LexborHTMLParser

from benchmarks.figures import median, ratio_of, short, table
from benchmarks.newsletter import LANGUAGES, newsletter_html, newsletter_mail
from relay.mail.message import Message
from relay.mail.page.nesting import is_readable
from relay.policy.cases.case import Phase
from relay.policy.deciding.decide import decide
from relay.policy.words.lexicon import hits_of
from tests.support.policies import a_case, newsletter, noon

BASE, CHINA = '["base"]', '["base", "cn-marketing"]'
EVERY = '["base", "cn-marketing", "us-can-spam", "eu-gdpr", "gmail-yahoo-bulk", "content"]'
SIGNATURES, WARM = 4, 3  # in a round; rounds that only fill what is remembered
NOW = noon(date(2026, 11, 21))
Work = Callable[[], object]


def main() -> None:
    """Measure newsletters of both languages and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    rows: dict[str, list[str]] = {}
    for language in LANGUAGES:
        for name, ratio in measure(language, rounds).items():
            rows.setdefault(name, [name]).append(short(ratio))
    print(table(["step", *LANGUAGES], list(rows.values())))


def measure(language: str, rounds: int) -> dict[str, float]:
    """Each step in signatures."""
    sign = signing()
    steps = the_steps(language)
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    gc.freeze()  # as a worker does before it takes mail
    for number in range(rounds + WARM):
        for name, step in steps.items():
            work = step(number)
            beside = taken(sign) / SIGNATURES
            found = (taken(work), beside)
            if number >= WARM:
                pairs[name].append(found)
    print(f"{language}: one signature takes {median([beside for _, beside in pairs['Lexbor alone']]) * 1e3:.2f} ms of CPU")
    return {name: ratio_of(found) for name, found in pairs.items()}


def the_steps(language: str) -> dict[str, Callable[[int], Work]]:
    """What is measured, by name: each makes its work on a message of its own."""
    numbers = count()

    def page(_: int) -> str:
        return newsletter_html(language, next(numbers))

    def first(_: int) -> Message:
        return Message.parse(newsletter_mail(language, next(numbers)))

    def again(number: int) -> Message:
        return Message.parse(newsletter_mail(language, -1, mail=number))

    def elsewhere(_: int) -> Message:
        return Message.parse(newsletter_mail(language, -2, reader=next(numbers)))

    def read(message: Callable[[int], Message]) -> Callable[[int], Work]:
        return lambda number: partial(getattr, message(number), "content")

    def judged(packs: str, message: Callable[[int], Message]) -> Callable[[int], Work]:
        policy = newsletter(packs=packs)
        stream = policy.stream("newsletter")
        case = a_case(jurisdictions=frozenset({"CN"}))
        return lambda number: partial(decide, policy, stream, replace(case, message=message(number)), Phase.DATA, NOW)

    return {
        "Lexbor alone": lambda number: partial(LexborHTMLParser, page(number)),
        "whether the page is nested within reason": lambda number: partial(is_readable, page(number)),
        "texts, links, pictures": read(first),
        "texts, links, pictures again": read(again),
        "texts, links, pictures for another reader": read(elsewhere),
        "word lists": lambda number: partial(hits_of, first(number).content),
        "rules that read no content": judged(BASE, first),
        "the rules of cn-marketing too": judged(CHINA, first),
        "the rules of cn-marketing again": judged(CHINA, again),
        "the rules of cn-marketing for another reader": judged(CHINA, elsewhere),
        "the rules of content and three packs more": judged(EVERY, first),
        "the rules of content and three packs more again": judged(EVERY, again),
        "the rules of content and three packs more for another reader": judged(EVERY, elsewhere),
    }


def signing() -> Work:
    """Some signatures."""
    key, padding, digest = generate_private_key(65537, 2048), PKCS1v15(), Prehashed(hashes.SHA256())

    def sign() -> None:
        for _ in range(SIGNATURES):
            key.sign(b"d" * 32, padding, digest)

    return sign


def taken(work: Work) -> float:
    """Seconds of CPU."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
