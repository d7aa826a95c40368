"""The command line: `turnout …`."""

from turnout.cli.main import app

__all__ = ["app"]
