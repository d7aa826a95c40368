"""`python -m tests.infrastructure.terraform_offline …`: terraform, with the stand-ins in place of the providers."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.infrastructure.terraform_offline.provider import World
from tests.infrastructure.terraform_offline.serving import serving

CHDIR = "-chdir="

folder = next(
    (Path(each.removeprefix(CHDIR)) for each in sys.argv[1:] if each.startswith(CHDIR)), Path()
).resolve()
# An example's types are its module's as well.
sources = next((each for each in (folder, *folder.parents) if each.name == "terraform"), folder)
with serving(World(folder=folder, sources=sources, now=lambda: datetime.now(UTC))) as variables:
    done = subprocess.run(
        [os.environ.get("TERRAFORM", "terraform"), *sys.argv[1:]],
        env={**os.environ, **variables},
        check=False,
    )
sys.exit(done.returncode)
