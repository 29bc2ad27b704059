"""`python -m relay.service`: one worker. No garbage is looked for until it serves; what it is made of by then stays."""

import gc
from importlib import import_module

gc.disable()
import_module("relay.service.worker").main()
