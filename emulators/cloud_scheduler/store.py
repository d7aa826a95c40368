"""Jobs on disk: one SQLite file, written before a client is answered and before an attempt begins."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
from google.protobuf.message import DecodeError

from emulators.cloud_scheduler.engine import Entry, Execution
from emulators.cloud_scheduler.jobs import Job
from emulators.errors import LocalCloudError

STORE_FILE = "scheduler.sqlite3"
BUSY_SECONDS_MAX = 5.0


class _Execution(msgspec.Struct, frozen=True, array_like=True):
    id: int
    slot: datetime
    due: datetime | None
    began: datetime | None
    failures: int


class _Row(msgspec.Struct, frozen=True, array_like=True):
    job: bytes
    slot: datetime | None
    executions: tuple[_Execution, ...]
    answer: str


class StoreUnusable(LocalCloudError):
    """The file of the jobs holds something else, or cannot be opened."""

    def __init__(self, path: Path, why: object) -> None:
        self.path = path
        super().__init__(
            f"The jobs in {path} cannot be used: {why}. Mend that; or delete the file, and its jobs are gone."
        )


class Store:
    """The jobs of a state folder. Its calls wait for the disk: the service makes them in a thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STORE_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError) as error:
            raise StoreUnusable(self._path, error) from error
        try:
            self._file.execute("PRAGMA journal_mode=WAL")
            # What was answered survives a power cut, not only a kill.
            self._file.execute("PRAGMA synchronous=FULL")
            self._file.execute("CREATE TABLE IF NOT EXISTS jobs (name TEXT PRIMARY KEY, entry BLOB NOT NULL)")
        except sqlite3.Error as error:
            self._file.close()
            raise StoreUnusable(self._path, error) from error

    def load(self) -> dict[str, Entry]:
        """All jobs by their names."""
        try:
            rows = self._file.execute("SELECT name, entry FROM jobs")
            return {name: _entry(msgspec.msgpack.decode(entry, type=_Row)) for name, entry in rows}
        except (sqlite3.Error, msgspec.DecodeError, DecodeError) as error:
            raise StoreUnusable(self._path, error) from error

    def save(self, changes: Mapping[str, Entry | None]) -> None:
        """Writes all changes or none."""
        self._file.execute("BEGIN IMMEDIATE")
        try:
            for name, entry in changes.items():
                if entry is None:
                    self._file.execute("DELETE FROM jobs WHERE name = ?", (name,))
                else:
                    self._file.execute("REPLACE INTO jobs VALUES (?, ?)", (name, _encoded(entry)))
            self._file.execute("COMMIT")
        except BaseException:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()


def _encoded(entry: Entry) -> bytes:
    return msgspec.msgpack.encode(
        _Row(
            entry.job.SerializeToString(),
            entry.slot,
            tuple(
                _Execution(each.id, each.slot, each.due, each.began, each.failures)
                for each in entry.executions
            ),
            entry.answer,
        )
    )


def _entry(row: _Row) -> Entry:
    return Entry(
        Job.FromString(row.job),
        row.slot,
        tuple(Execution(each.id, each.slot, each.due, each.began, each.failures) for each in row.executions),
        row.answer,
    )
