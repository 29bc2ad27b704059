"""Open a store that is kept in Redis. `relay.stores.opening` imports this when the configuration names one."""

from collections.abc import Callable

from relay.config import Config
from relay.errors import StoreUnavailable
from relay.keys import Keys
from relay.stores.contracts import Store, StoreMeta
from relay.stores.opening import SCHEMA, StoreName, fresh_meta, require_keys, with_all_keys, write_store_name
from relay.stores.redis.store import RedisStore


async def open_redis(config: Config, keys: Keys, known: StoreName | None, clock: Callable[[], float]) -> Store:
    """Open the database that the URL names, named as `known` or made now. Raises StoreUnavailable, ConfigurationError."""
    url, timeout_ms = config.store.url, config.store.timeout_ms
    if known is None:
        meta = await RedisStore.peek(url, timeout_ms=timeout_ms)
        if meta is None:
            meta = await RedisStore.create(url, fresh_meta(keys, clock), timeout_ms=timeout_ms)
        require_keys(meta, keys)
        known = StoreName(meta.store_id, "redis")
        try:
            config.data_path.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_store_name(config.data_path, known)
        except OSError as error:
            raise StoreUnavailable("disk", f"{config.data_path}: {error.strerror}") from None
    store = await RedisStore.open(
        url,
        StoreMeta(known.store_id, SCHEMA, keys.fingerprints),
        timeout_ms=timeout_ms,
        durability_confirmed=config.store.durability_confirmed,
    )
    return await with_all_keys(store, keys)


async def reach_redis(config: Config) -> None:
    """Find out whether it answers; nothing is written. Raises StoreUnavailable, ConfigurationError."""
    await RedisStore.peek(config.store.url, timeout_ms=config.store.timeout_ms)
