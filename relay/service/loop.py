"""The event loop: uvloop where there is one (TLS sessions take a tenth of the memory), asyncio's on Windows."""

import asyncio
import sys

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop
else:
    import uvloop

    new_event_loop = uvloop.new_event_loop
