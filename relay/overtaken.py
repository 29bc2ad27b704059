"""Send a message, and judge again whom another policy set overtook.

It came in force after the ruling and before the copy could leave.  A copy that
was judged by another set than the one in force is not cleared
(`relay.clearing`).  Here its recipients are judged once more, by the set in
force, and that is on record before a byte of theirs leaves (law 5).  Who is
overtaken a second time waits for the client's next try.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from relay import telemetry
from relay.answer import Result, Standing
from relay.config import Config
from relay.consignment import Consignment, counted_of, grounds_of, residences_of
from relay.dispatch import Dispatcher
from relay.domains import Domains
from relay.errors import RecordsUnavailable, RuleFailed, StoreUnavailable
from relay.gathering import asking_of, cases_of, known_of
from relay.judging import judge, objected, stream_of
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.reply import Reply
from relay.policy.cases.case import Ruling
from relay.records.append import Records
from relay.records.judged import judged_record
from relay.refusing import count_objections
from relay.routing import Routing

_log = logging.getLogger("relay.overtaken")


class Sender:
    """One per worker."""

    def __init__(
        self, config: Config, *, keys: Keys, records: Records, routing: Routing, domains: Domains, dispatcher: Dispatcher
    ) -> None:
        self._config = config
        self._keys = keys
        self._records = records
        self._routing = routing
        self._domains = domains
        self._dispatcher = dispatcher
        self._clearing = dispatcher.clearing

    async def send(self, consignment: Consignment, recipients: Sequence[Recipient]) -> list[Result]:
        """Deliver to each recipient once, as `Dispatcher.send`, under the policy set in force when each copy leaves."""
        results = await self._dispatcher.send(consignment, recipients)
        overtaken = [result.recipient for result in results if result.reply is replies.POLICY_UNUSABLE]
        if not overtaken:
            return results
        others = [result for result in results if result.reply is not replies.POLICY_UNUSABLE]
        return others + await self._send_again(consignment, overtaken)

    async def _send_again(self, consignment: Consignment, recipients: Sequence[Recipient]) -> list[Result]:
        submission = consignment.submission
        policy = self._clearing.policy
        telemetry.event("judged again", id=submission.id, policy=policy.hash, recipients=len(recipients))
        stream = stream_of(policy, submission)
        if stream is None:
            return _all(recipients, replies.POLICY_UNUSABLE)
        routes = self._routing.routes(submission.identity, stream, submission.reverse_path, consignment.message)
        fresh = replace(  # nothing that the other set asked for is left
            consignment, policy=policy, stream=stream, routes=routes, prepared={}, treatments={}, preparing=asyncio.Lock()
        )
        try:
            rulings = await self._judge(fresh, recipients)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self._clearing.store.name, fault.reason).inc()
            return _all(recipients, replies.STORE_UNAVAILABLE)
        except RecordsUnavailable as fault:
            _log.error("no record, no mail: %s", fault)
            return _all(recipients, replies.RECORDS_UNAVAILABLE)
        except RuleFailed as fault:
            _log.error("submission %s: %s", submission.id, fault, exc_info=fault)
            return _all(recipients, replies.POLICY_UNUSABLE)
        page, now = self._config.http.page(submission.id), self._clearing.now()
        results = [objected(ruling, page, now) for ruling in rulings if ruling.leading is not None]
        free = [ruling.recipient for ruling in rulings if ruling.leading is None]
        fresh = replace(fresh, grounds=grounds_of(rulings), counted=counted_of(rulings), residences=residences_of(rulings))
        return results + (await self._dispatcher.send(fresh, free) if free else [])

    async def _judge(self, consignment: Consignment, recipients: Sequence[Recipient]) -> list[Ruling]:
        """Rule on these recipients, all facts gathered anew, and write it down."""
        submission, policy = consignment.submission, consignment.policy
        now = datetime.fromtimestamp(self._clearing.now(), policy.zone)
        store, countries = self._clearing.store, self._routing.countries(consignment.routes)
        asking = asking_of(consignment.stream, countries, now.date())
        mail = await self._domains.of(submission.id, consignment.stream, recipients, countries)
        known = await known_of(recipients, store, self._records, self._keys, asking, mail)
        pause = (await store.paused()).get(consignment.stream.name)
        narrowed = replace(submission, recipients=tuple(recipients))
        cases = cases_of(narrowed, consignment.message, policy, known, countries, pause)
        rulings = judge(policy, consignment.stream, cases, now)
        count_objections(rulings)
        person = self._records.person
        await self._records.append(
            judged_record(narrowed, rulings, policy.hash, now.timestamp(), person, upstream_countries=countries)
        )
        return rulings


def _all(recipients: Sequence[Recipient], reply: Reply) -> list[Result]:
    return [Result(recipient, Standing.TRANSIENT, reply) for recipient in recipients]
