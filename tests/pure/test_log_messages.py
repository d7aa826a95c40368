"""Alerts read log lines by their message: each that terraform names is one that the code writes."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {"info", "warning", "error", "exception"}


def messages_written() -> set[str]:
    """The messages of all log calls of what is deployed."""
    found = set()
    for folder in ("turnout", "functions", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    first = node.args[0] if node.args else None
                    if node.func.attr in LEVELS and isinstance(first, ast.Constant):
                        found.add(str(first.value))
    return found


def test_every_log_message_that_an_alert_counts_is_written() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "terraform").glob("*.tf"))
    conditions = re.findall(r"jsonPayload\.message=(\([^)]*\)|\\\"[^\\]*\\\")", text)
    named = {message for condition in conditions for message in re.findall(r'\\"([^\\]*)\\"', condition)}
    assert len(named) >= 5
    assert named <= messages_written()
