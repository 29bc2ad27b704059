"""A relay that keeps what cannot leave and tries it again soon; a script of each stream hands in without a password."""

import asyncio
import time

from relay.config import load_config
from relay.holding.codec import Codec
from relay.keys import load_keys
from relay.stores.opening import open_store
from tests.support.ports import free_port
from tests.support.service import NEWS, OFFICE, SHOP, Relay

SENDERS = {"news": NEWS, "office": OFFICE, "shop": SHOP}
STREAMS = {"news": "newsletter", "office": "correspondence", "shop": "receipts"}


def patient_relay(folder, upstream, redis=None) -> Relay:
    """Two workers in front of the upstream, on SQLite or that Redis."""
    listen = "".join(
        f'[[listen]]\nname = "{name}"\naddress = "127.0.0.1:{free_port()}"\ntls = "none"\nauth = "none"\n' for name in SENDERS
    )
    match = {name: f'match = {{ identities = [], listeners = ["{name}"], sender_domains = [] }}' for name in SENDERS}
    return Relay(
        folder,
        workers=2,
        store=redis.url if redis else "sqlite",
        listen=listen,
        auth='trusted_networks = ["127.0.0.1/32"]',
        policy={f"streams/{STREAMS[name]}.toml": [("match = .*", match[name])] for name in SENDERS},
        upstreams=f'[[upstream]]\nname = "up"\naddresses = ["{upstream.address}"]\ntls = "none"\nauth = "none"\n'
        "max_connections_per_identity = 8\n",
        delivery='patience = "3s"\npast_dot = "1s"',
        extra='[hold]\nfirst_retry = "1s"\nlongest_retry = "4s"\n[smtp]\nmax_connections_per_address = 500\n',
        holds=True,
    )


def held(relay: Relay) -> list[str]:
    """Whose copies the store holds."""

    async def ask():
        keys = load_keys(relay.data / "keys.toml")
        codec = Codec(keys)
        store = await open_store(load_config(str(relay.config)), keys, time.time)
        try:
            copies = await store.held_copies(None, 1_000_000)
            return [codec.read_detail(copy.message, copy.sealed).recipient.mailbox.wire for copy in copies]
        finally:
            await store.aclose()

    return asyncio.run(ask())
