"""What policies ask of the copies themselves: each `do` has a module, and here they are done in their order.

    remove-fields, remove-pixels      first, so that nothing of ours is taken for the message's own
    label, add-fields                 in the header section
    footer                            last: it alone may differ from copy to copy

A duty that cannot be done stops the copy, or is left out and named in
`Done.skipped`, as its table says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from relay.errors import DutyImpossible, RenderingImpossible
from relay.mail.message import Message
from relay.mail.parts.fields import Field
from relay.policy.rules.duty import AddFields, DutyTable, Footer, FooterPart, LabelSubject, RemoveFields, RemovePixels
from relay.policy.sets.policy_set import Duty, Stream
from relay.policy.words.labels import in_order
from relay.render.body import Body
from relay.render.fields import Added, added_fields, removed_names
from relay.render.footer import Wish, footed
from relay.render.label import labelled
from relay.render.language import ENGLISH, languages_by_law, languages_of
from relay.render.letterhead import Language, Languages, Letterhead
from relay.render.pixels import without_pixels

_KNOWN = (RemoveFields, AddFields, LabelSubject, Footer, RemovePixels)

Table = TypeVar("Table", bound=DutyTable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done to the copy for some recipients: their duties in order, and the languages of what is written for them.

    Recipients whose treatments are equal may share a copy.  Names tell the duties of a stream apart.
    `by_law` are the languages that must not be left out.
    """

    duties: tuple[Duty, ...] = field(compare=False)
    names: tuple[str, ...]
    languages: Languages
    may_skip: bool  # in shadow mode nothing is refused for a duty's sake
    by_law: Languages = ()

    @property
    def writes_link(self) -> bool:
        """Whether each copy shows the recipient's own unsubscribe link."""
        return any("unsubscribe" in table.show for _, table in of_kind(self.duties, Footer))

    @property
    def changes_body(self) -> bool:
        """Whether the texts of the message are read and written."""
        return any(isinstance(duty.table, Footer | RemovePixels) for duty in self.duties)


NONE = Treatment((), (), ("en",), may_skip=False)
NOBODY = Letterhead("", "", {"zh": "", "en": ""}, {"zh": "", "en": ""}, {"zh": "", "en": ""})
"""For mail of the relay's own, to which no duty is done."""


def treatment_for(
    stream: Stream,
    told: frozenset[str],
    jurisdictions: frozenset[str],
    upstream_countries: frozenset[str],
    agreed: frozenset[str],
    message: Message,
) -> Treatment:
    """What is done to the copy for a recipient of whom somebody told these countries, none where nobody did.

    The recipient is under the laws of `jurisdictions` and agreed to this mail on the grounds `agreed` (`Stream.agreed`); the
    copy may leave by servers in `upstream_countries`.
    """
    if not stream.duties:
        return NONE
    duties = stream.duties_for(jurisdictions, upstream_countries, agreed)
    return treatment_of(duties, told, message, may_skip=stream.mode == "shadow")


def treatment_of(duties: Sequence[Duty], countries: frozenset[str], message: Message, *, may_skip: bool = False) -> Treatment:
    """The treatment of a recipient in these countries, as far as they are known."""
    has_footer = any(isinstance(duty.table, Footer) for duty in duties)
    languages = languages_of(countries, message.subject) if has_footer else ENGLISH
    by_law = languages_by_law(countries) if has_footer else ()
    return Treatment(tuple(duties), tuple([duty.name for duty in duties]), languages, may_skip, by_law)


def of_kind(duties: Iterable[Duty], kind: type[Table]) -> Iterator[tuple[Duty, Table]]:
    """The duties of one kind with their tables."""
    for duty in duties:
        if isinstance(duty.table, kind):
            yield duty, duty.table


@dataclass(frozen=True, slots=True)
class Done:
    """A message after its duties: its fields, and those of ours behind them.

    `skipped` names the duties that could not be done, with why.
    """

    fields: tuple[Field, ...]
    added: tuple[Added, ...]
    body: Body
    skipped: tuple[tuple[str, str], ...] = ()


class _Work:
    """Notes what could not be done."""

    def __init__(self, treatment: Treatment) -> None:
        self._treatment = treatment
        self.skipped: list[tuple[str, str]] = []

    def attempt(self, duties: Sequence[Duty], work: Callable[[], T]) -> T | None:
        """Do a work that these duties ask for. Raises RenderingImpossible where one of them insists on it."""
        try:
            return work()
        except DutyImpossible as fault:
            insisting = [duty for duty in duties if duty.table.if_impossible == "reject"]
            if insisting and not self._treatment.may_skip:
                raise RenderingImpossible(insisting[0].name, str(fault)) from None
            self.skipped += [(duty.name, str(fault)) for duty in duties]
            return None


def carry_out(message: Message, treatment: Treatment, letterhead: Letterhead, at: float, *, eight_bit: bool = True) -> Done:
    """Do all duties of the treatment.

    `at` is when the message came; `eight_bit` whether 8-bit octets may come into a body that has none.
    Raises RenderingImpossible naming the duty that cannot be carried out.
    """
    duties, work = treatment.duties, _Work(treatment)
    for duty in duties:
        if not isinstance(duty.table, _KNOWN):
            raise RenderingImpossible(duty.name, f'this version does not know the duty "{duty.table.do}"')
    removed = removed_names([table for _, table in of_kind(duties, RemoveFields)], [one.name for one in message.fields])
    fields = tuple([one for one in message.fields if one.name not in removed]) if removed else message.fields
    labels = in_order(table.label for _, table in of_kind(duties, LabelSubject))
    added = {
        name: raw
        for _, table in of_kind(duties, AddFields)
        for name, raw in added_fields(table, message, letterhead, at, removed)
    }
    body = _body(message, treatment, letterhead, work, eight_bit) if treatment.changes_body else Body((message.body,))
    return Done(labelled(fields, labels) if labels else fields, tuple(added.items()), body, tuple(work.skipped))


def _body(message: Message, treatment: Treatment, letterhead: Letterhead, work: _Work, eight_bit: bool) -> Body:
    if pixels := [duty for duty, _ in of_kind(treatment.duties, RemovePixels)]:
        message = work.attempt(pixels, lambda: without_pixels(message)) or message
    footers = list(of_kind(treatment.duties, Footer))
    if not footers:
        return Body((message.body,))
    wish = _wish([table for _, table in footers], treatment)
    body = work.attempt([duty for duty, _ in footers], lambda: footed(message, wish, letterhead, eight_bit=eight_bit))
    return body or Body((message.body,))


def _wish(tables: Sequence[Footer], treatment: Treatment) -> Wish:
    """One footer that says what all of them want; the first that has words of its own gives the reason."""
    parts: tuple[FooterPart, ...] = tuple(dict.fromkeys(part for table in tables for part in table.show))
    own = next((table for table in tables if table.reason), None)
    reasons: dict[Language, str] = {"en": own.reason, "zh": own.reason_zh} if own else {}
    return Wish(parts, reasons, treatment.languages, treatment.by_law)
