"""The store that several nodes share: `store` is the whole, `link` carries what it asks to `functions`.

The functions (Lua) run inside Redis and decide there; the other modules put their operations into words and read the
answers: `held`, `consents`, `lookup`, `transfers`.
"""
