"""Names of ended tasks, held back for a while."""

from collections import OrderedDict


class Tombstones:
    """A bounded number of names and until when each is held; the oldest go first. Moments are microseconds."""

    def __init__(self, names_max: int) -> None:
        self._names_max = names_max
        self._until: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def hold(self, name: str, until_us: int, now_us: int) -> None:
        """Holds a name back. Calls come with growing `until_us`, so that the first to expire is the oldest."""
        self._until[name] = until_us
        self._until.move_to_end(name)
        while self._until and (
            len(self._until) > self._names_max or next(iter(self._until.values())) <= now_us
        ):
            self._until.popitem(last=False)

    def holds(self, name: str, now_us: int) -> bool:
        """Whether a name is held back now."""
        return self._until.get(name, 0) > now_us
