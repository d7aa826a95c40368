"""Handlers: Python functions that do tasks' work. `task`, `Context`, `Retry`, `Fail` and `Snooze` are all one needs."""

from turnout.tasks.handlers.context import Context
from turnout.tasks.handlers.declaring import task
from turnout.tasks.running import Fail, Retry, Snooze

__all__ = ["Context", "Fail", "Retry", "Snooze", "task"]
