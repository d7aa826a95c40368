"""The code of the page that shows how to add a family, as it stands there."""

import re
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[1] / "docs" / "new-family.md"


def load() -> ModuleType:
    """A module with the page's code blocks, in their order."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    module = ModuleType("new_family")
    exec(compile("\n".join(blocks), str(PAGE), "exec"), module.__dict__)  # it is our own page
    return module
