"""What this worker does because of upstreams' replies: whom it does not ask now, how fast, how many recipients a mail.

It obeys what the store says is adapted (`relay.stores.adaptations`), learnt
anew each second, and at once what it caused itself.  Who causes an adaptation
tells the store, and writes the record when the store took it.  While the store
is away this worker obeys alone, and tells it later.
"""

import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from relay import telemetry
from relay.answer import Result, Standing
from relay.config import Config
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.ids import ENTROPY_OCTETS, new_id
from relay.judging import spoken
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Credentials, Recipient
from relay.policy.sets.policy_set import Stream
from relay.policy.suppressions.suppression import Purpose
from relay.policy.timing.limits import SECONDS, Charge, Limit, Window, parse_limit
from relay.records.adapted import adapted_record, name_in, person_in
from relay.records.append import Records
from relay.routing import Route
from relay.stores.adaptations import Adaptation, Kind, Scope, adaptation_key, rate_at
from relay.stores.contracts import Store
from relay.stores.held import Why
from relay.upstream.delivery import Upstreams
from relay.upstream.outcome import Outcome, UpstreamUnavailable
from relay.upstream.profile import ReplyClass
from relay.upstream.reaction import Change, Moment, Reaction, react

_log = logging.getLogger("relay.adapting")
_MINUTE = 60.0
_SLOTS = 6  # of a minute, in which what was sent is counted
_LOGIN_SECONDS = 86400.0  # before a refused password is tried once more
_LOGIN_OCTETS = 4  # enough to know a changed password; too few to confirm a guess
_LOUD = {ReplyClass.AUTHENTICATION, ReplyClass.SENDER_POLICY, ReplyClass.REPUTATION}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reply came from: what it may be about. `domain` is "" where no recipient was named yet."""

    route: Route
    stream: Stream
    zone: tzinfo
    domain: str = ""

    def name(self, scope: Scope) -> str:
        """What exactly is adapted in this scope."""
        match scope:
            case Scope.IDENTITY:
                return self.route.identity
            case Scope.UPSTREAM:
                return ""
            case Scope.DOMAIN:
                return self.domain


class Meter:
    """How many recipients were offered in the last minute, in each scope, by this process."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, Counter[tuple[str, Scope, str]]]] = deque()

    def count(self, now: float, what: Iterable[tuple[str, Scope, str]]) -> None:
        number = math.floor(now * _SLOTS / _MINUTE)
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append((number, Counter()))
            while not number - _SLOTS < self._slots[0][0] <= number:  # over, or of a clock that was set back since
                self._slots.popleft()
        counts = self._slots[-1][1]
        for one in what:  # Counter.update asks first what it was given, which takes longer than counting a few
            counts[one] += 1

    def sent(self, now: float, what: tuple[str, Scope, str]) -> int:
        begin = math.floor(now * _SLOTS / _MINUTE) - _SLOTS
        return sum(counts[what] for number, counts in self._slots if number > begin)


class Adapting:
    """One per worker. `store` may be replaced while it runs; `processes` are those of this node that send."""

    def __init__(
        self,
        config: Config,
        *,
        keys: Keys,
        store: Store,
        records: Records,
        upstreams: Upstreams,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        processes: int = 1,
    ) -> None:
        self.store = store
        self._config, self._keys, self._records, self._upstreams = config, keys, records, upstreams
        self._clock, self._entropy, self._processes = clock, entropy, processes
        self._limits = {upstream.name: tuple(map(parse_limit, upstream.limits)) for upstream in config.upstream}
        self._known: dict[bytes, Adaptation] = {}
        self._shapes: set[tuple[Kind, str, Scope]] = set()
        self._telling: dict[bytes, Adaptation] = {}  # the store is told of them right now
        self._told: dict[bytes, Adaptation] = {}  # it took them since it was asked last
        self._alone: dict[bytes, Adaptation] = {}  # it does not have them
        self._meter = Meter()

    # What is known ---------------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Obey what the store says, and what this worker caused that the answer cannot know. Raises StoreUnavailable."""
        self._told.clear()
        found = {one.key: one for one in await self.store.adaptations()}
        now = self._clock()
        self._alone = {key: one for key, one in self._alone.items() if one.is_in_force(now)}
        for one in (*self._alone.values(), *self._telling.values(), *self._told.values()):
            if one.key not in found or one.outdoes(found[one.key]):
                found[one.key] = one
        self._use(found)
        for one in list(self._alone.values()):
            await self._tell(one)

    def _use(self, known: dict[bytes, Adaptation]) -> None:
        self._known = known
        self._shapes = {(one.kind, one.upstream, one.scope) for one in known.values()}

    def _find(self, kind: Kind, upstream: str, scope: Scope, name: str, login: bytes = b"") -> Adaptation | None:
        if (kind, upstream, scope) not in self._shapes:
            return None
        one = self._known.get(self._key(kind, upstream, scope, name, login))
        return one if one is not None and one.is_in_force(self._clock()) else None

    def _key(self, kind: Kind, upstream: str, scope: Scope, name: str, login: bytes = b"") -> bytes:
        return adaptation_key(self._keys.addresses.lasting_digest, kind, upstream, scope, name, login)

    # Before a copy leaves --------------------------------------------------------------------------------------------

    def part(self, place: Place, recipients: Sequence[Recipient], page: str) -> tuple[tuple[Recipient, ...], list[Result]]:
        """Who may be offered to this upstream now, and what becomes of the others."""
        if not any(upstream == place.route.upstream for _, upstream, _ in self._shapes):
            return tuple(recipients), []
        free, kept = [], []
        is_marketing = place.stream.purpose is Purpose.MARKETING
        domains = {recipient.mailbox.domain for recipient in recipients}
        stops = {domain: self._stop(replace(place, domain=domain), is_marketing=is_marketing) for domain in domains}
        for recipient in recipients:
            stop = stops[recipient.mailbox.domain]
            if stop is None:
                free.append(recipient)
            else:
                kept.append(self._kept_back(stop, place.zone, recipient, page))
        return tuple(free), kept

    def check_free(self, place: Place) -> None:
        """For a report, which no pause binds. Raises UpstreamUnavailable when this way takes nothing now."""
        stop = self._stop(place, is_marketing=False)
        if stop is not None:
            left, upstream = max(1.0, stop.until - self._clock()), stop.upstream
            raise UpstreamUnavailable("resting", f"{upstream}: not asked for {left:.0f} s: {stop.said}", retry_after=left)

    def _stop(self, place: Place, *, is_marketing: bool) -> Adaptation | None:
        """What keeps a mail from being offered: a pause, else the rest that ends last."""
        route = place.route
        if is_marketing and (pause := next(self._each(Kind.PAUSE, place), None)) is not None:
            return pause
        rests = list(self._each(Kind.REST, place))
        if route.credentials is not None and (Kind.REST, route.upstream, Scope.IDENTITY) in self._shapes:
            login = self._login(route.upstream, route.credentials)
            if (refused := self._find(Kind.REST, route.upstream, Scope.IDENTITY, route.identity, login)) is not None:
                rests.append(refused)
        return max(rests, key=lambda rest: rest.until, default=None)

    def _each(self, kind: Kind, place: Place) -> Iterator[Adaptation]:
        """What of this kind binds mail of this place."""
        found = (self._find(kind, place.route.upstream, scope, place.name(scope)) for scope in Scope)
        return filter(None, found)

    def _kept_back(self, stop: Adaptation, zone: tzinfo, recipient: Recipient, page: str) -> Result:
        telemetry.upstream_kept_back_total.labels(stop.upstream, stop.kind.value).inc()
        if stop.kind is Kind.PAUSE:
            return spoken(recipient, Standing.TRANSIENT, replies.upstream_paused(stop.upstream, page), Why.PAUSED)
        seconds = max(1, math.ceil(stop.until - self._clock()))
        until = datetime.fromtimestamp(stop.until, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")
        reply = replies.upstream_resting(stop.upstream, until, seconds, page)
        return spoken(recipient, Standing.TRANSIENT, reply, Why.UPSTREAM, stop.until)

    def cap(self, upstream: str, usual: int) -> int:
        """How many recipients one mail may have there."""
        learnt = self._find(Kind.RECIPIENTS, upstream, Scope.UPSTREAM, "")
        return min(usual, learnt.value) if learnt else usual

    def charges(self, place: Place) -> tuple[Charge, ...]:
        """What one recipient counts against the lowered rates that are in force."""
        return tuple(map(self._charge, self._each(Kind.RATE, place))) if self._shapes else ()

    def _charge(self, rate: Adaptation) -> Charge:
        count = rate_at(rate, self._clock())
        return Charge(rate.key, Window(count, _MINUTE), 1, f"upstream {rate.upstream}: {count}/minute, lowered by its replies")

    # After its reply -------------------------------------------------------------------------------------------------

    async def learn(self, place: Place, recipients: Sequence[Recipient], outcomes: Sequence[Outcome]) -> None:
        """React to the outcomes of one transaction."""
        now, upstream = self._clock(), place.route.upstream
        places = [Place(place.route, place.stream, place.zone, recipient.mailbox.domain) for recipient in recipients]
        self._meter.count(now, ((upstream, scope, one.name(scope)) for one in places for scope in Scope))
        if all(outcome.reply_class is ReplyClass.ACCEPTED for outcome in outcomes):
            await self._log_in_works(place.route)
            return
        taken = sum(not outcome.reaction.split for outcome in outcomes)
        for reply_class in {outcome.reply_class for outcome in outcomes}:
            self._warn(upstream, reply_class)
        for one, outcome in zip(places, outcomes, strict=True):
            if outcome.reaction.adapts:
                await self._react(one, outcome.reaction, outcome.reply_class, outcome.upstream_text, len(outcomes), taken)

    async def learn_fault(self, place: Place, fault: UpstreamUnavailable) -> None:
        """React to a reply that came before any mail was offered: to the connection, or to the login."""
        self._warn(place.route.upstream, fault.reply_class)
        if fault.reason == "refused" and place.route.credentials is not None:
            await self._rest_login(place.route, place.route.credentials, fault.said)
        elif fault.reaction.adapts:
            await self._react(place, fault.reaction, fault.reply_class, fault.said)

    async def _react(
        self, place: Place, reaction: Reaction, reply_class: ReplyClass | None, said: str, recipients: int = 1, taken: int = 0
    ) -> None:
        scope = reaction.scope if place.name(reaction.scope) else Scope.UPSTREAM
        rate = self._find(Kind.RATE, place.route.upstream, scope, place.name(scope))
        now, zone = self._clock(), self._upstreams.profile(place.route.upstream).zone or place.zone
        moment = Moment(
            now,
            zone,
            recipients,
            taken,
            self._processes * self._meter.sent(now, (place.route.upstream, scope, place.name(scope))),
            self._limit(place, scope),
            rate_at(rate, now) if rate else None,
        )
        for change in react(reaction, moment):
            in_scope = scope if change.kind is not Kind.RECIPIENTS else Scope.UPSTREAM
            await self._adapt(self._made(place, change, in_scope, reply_class, said))

    def _made(self, place: Place, change: Change, scope: Scope, reply_class: ReplyClass | None, said: str) -> Adaptation:
        upstream, name = place.route.upstream, place.name(scope)
        return Adaptation(
            self._key(change.kind, upstream, scope, name),
            change.kind,
            upstream,
            scope,
            self._records.person(name).sealed if name else b"",
            self._clock(),
            change.until,
            change.value,
            reply_class=reply_class.value if reply_class else "",
            said=said,
        )

    async def _adapt(self, new: Adaptation) -> None:
        """Obey it at once, and tell everybody unless as much is in force."""
        before = self._known.get(new.key)
        if before is not None and before.is_in_force(self._clock()) and not new.outdoes(before):
            return
        self._use({**{key: one for key, one in self._known.items() if one.is_in_force(self._clock())}, new.key: new})
        telemetry.event(
            "upstream adapted", level=logging.WARNING, upstream=new.upstream, kind=new.kind.value, scope=new.scope.value,
            reply_class=new.reply_class, value=new.value, seconds=round(new.until - new.since) if new.until < math.inf else None,
        )  # fmt: skip
        await self._tell(new)

    async def _tell(self, new: Adaptation) -> None:
        """Let everybody know, and write it down; later, when the store is away."""
        self._telling[new.key] = new
        try:
            is_new = await self.store.adapt(new)
            self._alone.pop(new.key, None)
            if is_new:
                self._told[new.key] = new
                await self._record(new)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            self._alone[new.key] = new
        except RecordsUnavailable:
            _log.exception("what is adapted at %s could not be recorded", new.upstream)
        finally:
            self._telling.pop(new.key, None)

    async def _record(self, one: Adaptation, ended: str = "") -> None:
        now = self._clock()
        person = person_in(self._records, one)
        await self._records.append(adapted_record(new_id(now, self._entropy(ENTROPY_OCTETS)), now, one, person, ended=ended))

    def _limit(self, place: Place, scope: Scope) -> int | None:
        """The configured limit of this scope, a minute."""
        limits: dict[Scope, Sequence[Limit]] = {
            Scope.IDENTITY: place.stream.limits.identity,
            Scope.UPSTREAM: self._limits[place.route.upstream],
            Scope.DOMAIN: place.stream.limits.of_domain(place.domain),
        }
        paced = [limit.count * _MINUTE / SECONDS[limit.unit] for limit in limits[scope] if limit.unit != "day"]
        return max(1, int(min(paced))) if paced else None

    def _warn(self, upstream: str, reply_class: ReplyClass | None) -> None:
        if reply_class in _LOUD:
            telemetry.event("upstream objects", level=logging.WARNING, upstream=upstream, reply_class=reply_class.value)

    # Logins ----------------------------------------------------------------------------------------------------------

    async def _rest_login(self, route: Route, credentials: Credentials, said: str) -> None:
        """The password is wrong: nobody tries it again before it changes, works anew, or a day is over."""
        login, now = self._login(route.upstream, credentials), self._clock()
        key = self._key(Kind.REST, route.upstream, Scope.IDENTITY, route.identity, login)
        sealed, reply_class = self._records.person(route.identity).sealed, ReplyClass.AUTHENTICATION.value
        await self._adapt(
            Adaptation(
                key, Kind.REST, route.upstream, Scope.IDENTITY, sealed, now, now + _LOGIN_SECONDS,
                login=login, reply_class=reply_class, said=said,
            )
        )  # fmt: skip

    async def logged_in(self, upstream: str, identity: str) -> None:
        """A login of this identity was taken: what rests for an earlier password of it is over."""
        for one in [one for one in self._known.values() if one.login and one.upstream == upstream]:
            if name_in(self._records.reader, one) == identity:
                await self._end_login(one)

    async def _log_in_works(self, route: Route) -> None:
        if (Kind.REST, route.upstream, Scope.IDENTITY) in self._shapes:
            await self.logged_in(route.upstream, route.identity)

    async def _end_login(self, one: Adaptation) -> None:
        self._use({key: other for key, other in self._known.items() if key != one.key})
        self._alone.pop(one.key, None)
        self._told.pop(one.key, None)
        try:
            if await self.store.end_adaptation(one.key):
                await self._record(one, ended="login")
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
        except RecordsUnavailable:
            _log.exception("that a login works again at %s could not be recorded", one.upstream)

    def _login(self, upstream: str, credentials: Credentials) -> bytes:
        """What stands for a login with its password."""
        text = "\0".join(("login", upstream, credentials.login, credentials.password))
        return self._keys.addresses.lasting_digest(text)[:_LOGIN_OCTETS]
