"""`python -m tests.infrastructure.terraform_offline …`: terraform, with the stand-ins in place of the providers."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.infrastructure.terraform_offline.command import arguments, environment

with tempfile.TemporaryDirectory() as folder:
    done = subprocess.run(
        [os.environ.get("TERRAFORM", "terraform"), *arguments(sys.argv[1:])],
        env={**os.environ, **environment(Path(folder))},
        check=False,
    )
sys.exit(done.returncode)
