"""What survives a restart: queues, tasks and held names in SQLite, one transaction for all that arrives together.

WAL with `synchronous=NORMAL`: a commit is safe from SIGKILL as soon as it returns (and from a power cut after the next
checkpoint). One thread does all of it, so that the event loop never waits for the disk, and so that what is read comes after
what was written before.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
#: While calls come together, this long they gather for one transaction: each round costs as much as several calls.
GATHER_SECONDS = 0.002

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
    done: asyncio.Future[None]
    #: What takes the changes back if they cannot be written; without it they have happened, and are tried until they can.
    take_back: Callable[[], None] | None = None


@dataclass(slots=True)
class _Read:
    numbers: Sequence[int]
    done: asyncio.Future[dict[int, bytes]]


@dataclass(slots=True)
class _Outcome:
    """What became of a round: definitions by read, faults by write, and what is to be tried again."""

    read: dict[int, dict[int, bytes]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    postponed: set[int] = field(default_factory=set)


class Store:
    """The state of one stand-in; it belongs to one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / STORE_FILE
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cloud-tasks-store")
        self._pending: list[_Write | _Read] = []
        self._rounds: asyncio.Task[None] | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop
        self._database: sqlite3.Connection

    async def open(self, now_us: int, *, reset: bool = False) -> Kept:
        """Opens the state, or an empty one with `reset`, and reads all but the definitions."""
        self._loop = asyncio.get_running_loop()
        try:
            return await self._loop.run_in_executor(self._thread, self._open, now_us, reset)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def write(self, changes: Sequence[Change], take_back: Callable[[], None]) -> None:
        """Writes changes. If that fails, nothing of them is written, `take_back` is called, and `Unwritable` is raised.

        It is called as well where nobody waits any more: memory must not know what the disk does not.
        """
        await self._submit(_Write(changes, self._loop.create_future(), take_back))

    async def keep(self, changes: Sequence[Change]) -> None:
        """Writes changes that have happened already; waits for as long as that takes."""
        await self._submit(_Write(changes, self._loop.create_future()))

    async def definitions(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """The definitions of tasks by their `order`; those that have ended are left out."""
        read = _Read(numbers, self._loop.create_future())
        self._pending.append(read)
        self._kick()
        return await read.done

    async def write_and_read(
        self, changes: Sequence[Change], numbers: Sequence[int], take_back: Callable[[], None]
    ) -> dict[int, bytes]:
        """Writes changes as `write` does, and then reads definitions."""
        write = _Write(changes, self._loop.create_future(), take_back)
        self._pending.append(write)
        definitions = await self.definitions(numbers)
        await write.done
        return definitions

    async def close(self) -> None:
        """Writes what is under way, and closes the file."""
        self._closing = True
        if self._rounds:
            await self._rounds
        await self._loop.run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)

    async def _submit(self, write: _Write) -> None:
        self._pending.append(write)
        self._kick()
        await write.done

    def _kick(self) -> None:
        if self._rounds is None or self._rounds.done():
            self._rounds = self._loop.create_task(self._run_rounds())

    async def _run_rounds(self) -> None:
        busy = False
        while self._pending:
            # What else comes in this turn of the loop joins the transaction, and while much comes, a little more.
            await asyncio.sleep(GATHER_SECONDS if busy else 0)
            taken, self._pending = self._pending, []
            outcome = await self._loop.run_in_executor(self._thread, self._apply, taken)
            busy = len(taken) > 1
            postponed = self._tell(taken, outcome)
            if postponed:
                if self._closing:
                    logger.error("%d changes could not be written before the end", len(postponed))
                    self._abandon(postponed)
                    continue
                self._pending[:0] = postponed
                await asyncio.sleep(RETRY_SECONDS)

    @staticmethod
    def _tell(taken: Sequence[_Write | _Read], outcome: _Outcome) -> list[_Write | _Read]:
        postponed: list[_Write | _Read] = []
        for index, operation in enumerate(taken):
            if index in outcome.postponed:
                postponed.append(operation)
                continue
            if isinstance(operation, _Write) and operation.take_back and index in outcome.refused:
                operation.take_back()
            if operation.done.cancelled():
                continue
            if isinstance(operation, _Read):
                operation.done.set_result(outcome.read[index])
            elif index in outcome.refused:
                operation.done.set_exception(Unwritable(outcome.refused[index]))
            else:
                operation.done.set_result(None)
        return postponed

    @staticmethod
    def _abandon(postponed: Iterable[_Write | _Read]) -> None:
        for operation in postponed:
            if not operation.done.cancelled():
                operation.done.set_exception(Unwritable("the stand-in is stopping"))

    # In the thread

    def _open(self, now_us: int, reset: bool) -> Kept:  # noqa: FBT001  # passed on by the executor
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

    def _apply(self, operations: Sequence[_Write | _Read]) -> _Outcome:
        """Does all in one transaction; if that fails, one by one and in order."""
        outcome = _Outcome()
        try:
            with self._transaction():
                for index, operation in enumerate(operations):
                    self._do(index, operation, outcome)
        except sqlite3.Error as error:
            logger.warning("writing the state failed, trying each change by itself: %s", error)
            return self._apply_singly(operations)
        return outcome

    def _apply_singly(self, operations: Sequence[_Write | _Read]) -> _Outcome:
        outcome = _Outcome()
        for index, operation in enumerate(operations):
            try:
                # What has happened is written in the order in which it happened.
                if outcome.postponed and isinstance(operation, _Write):
                    raise sqlite3.OperationalError("earlier changes wait to be written")
                with self._transaction():
                    self._do(index, operation, outcome)
            except sqlite3.Error as error:
                if isinstance(operation, _Write) and operation.take_back:
                    outcome.refused[index] = str(error)
                else:
                    outcome.postponed.add(index)
        return outcome

    def _do(self, index: int, operation: _Write | _Read, outcome: _Outcome) -> None:
        if isinstance(operation, _Read):
            outcome.read[index] = self._read(operation.numbers)
        else:
            for change in operation.changes:
                self._write(change)

    def _read(self, numbers: Sequence[int]) -> dict[int, bytes]:
        found = {}
        for number in numbers:
            row = self._database.execute(
                "SELECT definition FROM tasks WHERE number = ?", (number,)
            ).fetchone()
            if row:
                found[number] = row[0]
        return found

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
