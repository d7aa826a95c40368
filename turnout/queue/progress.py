"""What a consumer has done so far."""

import msgspec


class ConsumerProgress(msgspec.Struct):
    """Counts of messages, whatever their family."""

    messages: int = 0
    dead_letters: int = 0
    released: int = 0
    #: From the first lease to the last acknowledgement.
    busy_seconds: float = 0.0
