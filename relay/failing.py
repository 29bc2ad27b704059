"""What the relay itself cannot do becomes a 4yz: the client keeps the message and tries again (law 1)."""

import logging
from collections.abc import Awaitable

from relay import telemetry
from relay.errors import RecordsUnavailable, RuleFailed, StoreUnavailable
from relay.mail import replies
from relay.mail.reply import Reply
from relay.stores.contracts import Store

_log = logging.getLogger("relay.pipeline")  # whose faults these are


async def answered(work: Awaitable[Reply], what: str, store: Store) -> Reply:
    """The reply that this work comes to, else the one of the fault that ended it. Never raises."""
    try:
        return await work
    except StoreUnavailable as fault:
        tell_unavailable(store, fault)
        return replies.STORE_UNAVAILABLE
    except RecordsUnavailable as fault:
        _log.error("no record, no mail: %s", fault)
        return replies.RECORDS_UNAVAILABLE
    except RuleFailed as fault:
        _log.error("%s: %s", what, fault, exc_info=fault)
        return replies.POLICY_UNUSABLE
    except Exception:  # noqa: BLE001 - law 1: a fault of ours is never a 5yz and never a permit
        _log.exception("%s failed", what)
        return replies.INTERNAL


def tell_unavailable(store: Store, fault: StoreUnavailable) -> None:
    """Operators hear that the store did not answer the line."""
    telemetry.store_errors_total.labels(store.name, fault.reason).inc()
    telemetry.event("store unavailable", store=store.name, reason=fault.reason, text=str(fault))
