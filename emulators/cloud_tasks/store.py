"""What survives a restart: queues, tasks and held names in SQLite, one transaction for all that arrives together.

WAL with `synchronous=NORMAL`: a commit is safe from SIGKILL as soon as it returns (and from a power cut after the next
checkpoint). The event loop writes by itself: a task costs it some 10 µs, and handing it to a thread and back cost ten times
that. Every few thousand tasks a checkpoint waits for the disk, for tens of milliseconds.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from emulators.cloud_tasks.changes import (
    Change,
    EncryptionSaved,
    Kept,
    PolicySaved,
    QueueEnded,
    QueueSaved,
    TaskChanged,
    TaskCreated,
    TaskEnded,
    TaskRecord,
)
from emulators.cloud_tasks.errors import Unwritable
from emulators.errors import LocalCloudError

logger = logging.getLogger(__name__)

STORE_FILE = "cloud-tasks.sqlite"
SCHEMA_VERSION = 1
#: How long to wait before what must be written is tried again, as while the disk is full.
RETRY_SECONDS = 1.0
LOCK_SECONDS = 2.0
#: Calls gather for one transaction: so long for each that the one before had, and never longer than the latter. What is
#: answered together travels together, which halves what a call takes of the processor, here and at its caller's.
GATHER_SECONDS_EACH = 0.001
GATHER_SECONDS_MAX = 0.005

_SCHEMA = """
CREATE TABLE queues (name TEXT PRIMARY KEY, definition BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE held_queues (name TEXT PRIMARY KEY, until_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE policies (queue TEXT PRIMARY KEY, policy BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE encryption (name TEXT PRIMARY KEY, config BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE held_tasks (until_us INTEGER NOT NULL, queue TEXT NOT NULL, id TEXT NOT NULL);
CREATE INDEX held_tasks_until ON held_tasks (until_us);
CREATE TABLE tasks (
  number INTEGER PRIMARY KEY, queue TEXT NOT NULL, id TEXT NOT NULL, named INTEGER NOT NULL, app_engine INTEGER NOT NULL,
  create_us INTEGER NOT NULL, schedule_us INTEGER NOT NULL, dispatch_count INTEGER NOT NULL, response_count INTEGER NOT NULL,
  execution_count INTEGER NOT NULL, first_dispatch_us INTEGER NOT NULL, last_schedule_us INTEGER NOT NULL,
  last_dispatch_us INTEGER NOT NULL, last_response_us INTEGER NOT NULL, previous INTEGER NOT NULL,
  own_retry BLOB NOT NULL, definition BLOB NOT NULL
);
"""
_INSERT_TASK = "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE_TASK = (
    "UPDATE tasks SET schedule_us = ?, dispatch_count = ?, response_count = ?, execution_count = ?, first_dispatch_us = ?, "
    "last_schedule_us = ?, last_dispatch_us = ?, last_response_us = ?, previous = ? WHERE number = ?"
)
#: The first column of `TaskRecord` that changes after the creation.
_CHANGING = TaskRecord.__struct_fields__.index("schedule_us")


class StateUnusable(LocalCloudError):
    """The file of the state cannot be used."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"The state of Cloud Tasks in {path} cannot be used: {why}. Choose another state folder, or start with --reset, "
            "which begins with an empty one."
        )


class StateInUse(LocalCloudError):
    """Another process has the state open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"Another stand-in of Cloud Tasks uses {path}. Stop it, or choose another state folder."
        )


@dataclass(slots=True)
class _Write:
    changes: Sequence[Change]
    #: None: nobody waits for it.
    done: asyncio.Future[None] | None = None
    #: What takes the changes back if they cannot be written; without it they have happened, and are tried until they can.
    take_back: Callable[[], None] | None = None


class Store:
    """The state of one stand-in; it belongs to one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / STORE_FILE
        self._pending: list[_Write] = []
        #: When `_pending` is written: at the end of this turn of the loop, or later while much comes or the disk refuses.
        self._planned: asyncio.Handle | None = None
        #: How long the next changes gather.
        self._gather_seconds = 0.0
        self._loop: asyncio.AbstractEventLoop
        self._database: sqlite3.Connection

    async def open(self, now_us: int, *, reset: bool = False) -> Kept:
        """Opens the state, or an empty one with `reset`, and reads all but the definitions."""
        self._loop = asyncio.get_running_loop()
        return await asyncio.to_thread(self._open, now_us, reset=reset)

    async def write(self, changes: Sequence[Change], take_back: Callable[[], None]) -> None:
        """Writes changes. If that fails, nothing of them is written, `take_back` is called, and `Unwritable` is raised.

        It is called as well where nobody waits any more: memory must not know what the disk does not.
        """
        done = self._loop.create_future()
        self._put(_Write(changes, done, take_back))
        await done

    async def keep(self, changes: Sequence[Change]) -> None:
        """Writes changes that have happened already; waits for as long as that takes."""
        done = self._loop.create_future()
        self._put(_Write(changes, done))
        await done

    def keep_soon(self, changes: Sequence[Change]) -> None:
        """As `keep`, for those who promise nobody that it is done."""
        self._put(_Write(changes))

    def definitions(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """The definitions of tasks by their `order`; those that have ended are left out."""
        if self._pending:
            self._flush()
        found = {}
        for number in numbers:
            row = self._database.execute(
                "SELECT definition FROM tasks WHERE number = ?", (number,)
            ).fetchone()
            if row:
                found[number] = row[0]
        return found

    async def close(self) -> None:
        """Writes what is under way, and closes the file."""
        self._flush()
        if self._planned is not None:
            self._planned.cancel()
        if self._pending:
            logger.error("%d changes could not be written before the end", len(self._pending))
        for write in self._pending:
            _tell(write, "the stand-in is stopping")
        await asyncio.to_thread(self._database.close)

    def _put(self, write: _Write) -> None:
        self._pending.append(write)
        if self._planned is not None:
            return
        if self._gather_seconds:
            self._planned = self._loop.call_later(self._gather_seconds, self._flush)
        else:
            # What else comes in this turn of the loop joins the transaction.
            self._planned = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        taken, self._pending = self._pending, []
        self._gather_seconds = (
            min(GATHER_SECONDS_MAX, len(taken) * GATHER_SECONDS_EACH) if len(taken) > 1 else 0.0
        )
        if not taken:
            return
        try:
            with self._transaction():
                for each in taken:
                    self._write_all(each.changes)
        except sqlite3.Error as error:
            logger.warning("writing the state failed, trying each change by itself: %s", error)
            self._flush_singly(taken)
        else:
            for each in taken:
                _tell(each)

    def _flush_singly(self, taken: Sequence[_Write]) -> None:
        for each in taken:
            try:
                # What has happened is written in the order in which it happened.
                if self._pending:
                    raise sqlite3.OperationalError("earlier changes wait to be written")
                with self._transaction():
                    self._write_all(each.changes)
            except sqlite3.Error as error:
                if each.take_back is None:
                    self._pending.append(each)
                    continue
                each.take_back()
                _tell(each, str(error))
            else:
                _tell(each)
        if self._pending:
            self._planned = self._loop.call_later(RETRY_SECONDS, self._flush)

    def _open(self, now_us: int, *, reset: bool) -> Kept:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                self._connect()
            except sqlite3.DatabaseError as error:
                if not reset or "locked" in str(error):
                    raise
                # Whatever the file was, it is nobody's state.
                self.path.unlink()
                self._connect()
            with contextlib.ExitStack() as undo:
                undo.callback(self._database.close)
                if reset:
                    self._drop_everything()
                kept = self._load(now_us)
                undo.pop_all()
            return kept
        except (sqlite3.Error, OSError) as error:
            if "locked" in str(error):
                raise StateInUse(self.path) from error
            raise StateUnusable(self.path, str(error)) from error

    def _connect(self) -> None:
        self._database = sqlite3.connect(
            self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._take_lock()
        except sqlite3.Error:
            self._database.close()
            raise

    def _take_lock(self) -> None:
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        # The exclusive lock is taken with the first write, and kept.
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("COMMIT")

    def _drop_everything(self) -> None:
        names = self._database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (name,) in names:
            self._database.execute(f'DROP TABLE "{name}"')
        self._database.execute("PRAGMA user_version = 0")
        self._database.execute("VACUUM")

    def _load(self, now_us: int) -> Kept:
        database = self._database
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.strip().removesuffix(";").split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise StateUnusable(
                self.path, f"it has version {version}, and this stand-in reads {SCHEMA_VERSION}"
            )
        with self._transaction():
            database.execute("DELETE FROM held_tasks WHERE until_us <= ?", (now_us,))
            database.execute("DELETE FROM held_queues WHERE until_us <= ?", (now_us,))
        columns = ", ".join(TaskRecord.__struct_fields__).replace("order", "number", 1)
        return Kept(
            queues=[row[0] for row in database.execute("SELECT definition FROM queues ORDER BY name")],
            tasks=[
                (_record(row[:-1]), row[-1])
                for row in database.execute(f"SELECT {columns}, own_retry FROM tasks ORDER BY number")  # noqa: S608  # fixed names
            ],
            held_queues=dict(database.execute("SELECT name, until_us FROM held_queues").fetchall()),
            held_tasks=database.execute(
                "SELECT queue, id, until_us FROM held_tasks ORDER BY until_us"
            ).fetchall(),
            policies=dict(database.execute("SELECT queue, policy FROM policies").fetchall()),
            encryption=dict(database.execute("SELECT name, config FROM encryption").fetchall()),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself, as when the disk is full.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _write_all(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._write(change)

    def _write(self, change: Change) -> None:
        execute = self._database.execute
        match change:
            case TaskCreated(record, own_retry, definition):
                execute(_INSERT_TASK, (*msgspec.structs.astuple(record), own_retry, definition))
            case TaskChanged(record):
                execute(_UPDATE_TASK, (*msgspec.structs.astuple(record)[_CHANGING:], record.order))
            case TaskEnded(number, queue, task_id, held_until_us):
                execute("DELETE FROM tasks WHERE number = ?", (number,))
                if held_until_us:
                    execute("INSERT INTO held_tasks VALUES (?, ?, ?)", (held_until_us, queue, task_id))
            case QueueSaved(name, definition):
                execute("INSERT OR REPLACE INTO queues VALUES (?, ?)", (name, definition))
                execute("DELETE FROM held_queues WHERE name = ?", (name,))
            case QueueEnded(name, held_until_us):
                execute("DELETE FROM queues WHERE name = ?", (name,))
                execute("DELETE FROM policies WHERE queue = ?", (name,))
                execute("DELETE FROM tasks WHERE queue = ?", (name,))
                execute("DELETE FROM held_tasks WHERE queue = ?", (name,))
                execute("INSERT OR REPLACE INTO held_queues VALUES (?, ?)", (name, held_until_us))
            case PolicySaved(queue, policy):
                execute("INSERT OR REPLACE INTO policies VALUES (?, ?)", (queue, policy))
            case EncryptionSaved(name, config):
                execute("INSERT OR REPLACE INTO encryption VALUES (?, ?)", (name, config))


def _record(row: tuple[Any, ...]) -> TaskRecord:
    number, queue, task_id, named, app_engine, *moments = row
    return TaskRecord(number, queue, task_id, bool(named), bool(app_engine), *moments)


def _tell(write: _Write, fault: str = "") -> None:
    if write.done is None or write.done.done():
        return
    if fault:
        write.done.set_exception(Unwritable(fault))
    else:
        write.done.set_result(None)
