"""The tokens that Google's services send to handlers, signed by a key of this machine, and where their keys are served.

`tokens` makes them, `keys` keeps the signing key, `server` publishes what verifies them.
"""

from emulators.identity.keys import load_key
from emulators.identity.tokens import Identity

__all__ = ["Identity", "load_key"]
