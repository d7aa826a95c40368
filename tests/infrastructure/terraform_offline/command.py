"""Terraform's command, with the stand-ins in place of the providers."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.infrastructure.terraform_offline import schema

ROOT = Path(__file__).resolve().parents[3]
#: Options of `init` that `get`, which takes its place, does not know.
INIT_ONLY = ("-backend=", "-input=", "-reconfigure", "-upgrade", "-lockfile=")


def environment(folder: Path) -> dict[str, str]:
    """The variables under which Terraform uses the stand-ins; what they name is written into the folder."""
    overrides = []
    for name in schema.names():
        program = folder / name / f"terraform-provider-{name}"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} "
            f"-m tests.infrastructure.terraform_offline.provider {name}\n",
            encoding="utf-8",
        )
        program.chmod(0o755)
        overrides.append(f'    "hashicorp/{name}" = "{program.parent}"\n')
    settings = folder / "terraformrc"
    settings.write_text(
        "provider_installation {\n  dev_overrides {\n" + "".join(overrides) + "  }\n  direct {}\n}\n",
        encoding="utf-8",
    )
    return {
        "TF_CLI_CONFIG_FILE": str(settings),
        # The stand-ins serve on a local socket without certificates.
        "TF_DISABLE_PLUGIN_TLS": "1",
        "CHECKPOINT_DISABLE": "1",
    }


def arguments(given: Sequence[str]) -> list[str]:
    """Terraform's arguments; `init` becomes `get`: modules are found, and there are no providers to download."""
    command = next((each for each in given if not each.startswith("-")), "")
    if command != "init":
        return list(given)
    return ["get" if each == "init" else each for each in given if not each.startswith(INIT_ONLY)]
