"""Export and import of a database of Google's emulators, which do for the local cloud what backups do in the cloud.

The calls are the emulators' own (`/emulator/v1/projects/{project}:export` and `:import`), as `gcloud emulators firestore` and the
Firebase CLI use them. An import writes over documents of the same name and leaves all others. In Datastore mode, imported
keys name the database that they were exported from: an import into another one is not read there.
"""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from emulators.errors import LocalCloudError

CALL_SECONDS_MAX = 300.0
METADATA = "{name}.overall_export_metadata"
#: The emulator in Datastore mode empties no single database; these kinds are all that is ever written there.
RECORD_KINDS = ("Tally", "TallyHistory")
ENTITIES_A_CALL = 500
CALLS_MAX = 10_000
GOOD = 200


class BackupFailed(LocalCloudError):
    """An emulator did not export or import."""


class Database:
    """One database of an emulator that listens on `host`."""

    def __init__(self, host: str, project: str, database: str) -> None:
        self._url = f"http://{host}"
        self._project = project
        self._database = database

    async def export(self, folder: Path, name: str) -> None:
        """Writes everything into `folder/name`."""
        await self._call(
            f"/emulator/v1/projects/{self._project}:export",
            {"database": self._name, "export_directory": str(folder), "export_name": name},
        )

    async def take(self, folder: Path, name: str) -> None:
        """Writes what `export` wrote into this database."""
        metadata = folder / name / METADATA.format(name=name)
        if not await asyncio.to_thread(metadata.is_file):
            raise BackupFailed(f"There is no backup in {folder}: {metadata} is missing.")
        await self._call(
            f"/emulator/v1/projects/{self._project}:import",
            {"database": self._name, "export_directory": str(metadata)},
        )

    async def empty_native(self) -> None:
        """Deletes every document; for a database in native mode."""
        await self._call(f"/emulator/v1/{self._name}/documents", None, method="DELETE")

    async def empty_record(self) -> None:
        """Deletes every entity of the record's kinds; for a database in Datastore mode."""
        for kind in RECORD_KINDS:
            for _ in range(CALLS_MAX):
                keys = await self._keys(kind)
                if not keys:
                    break
                await self._call(
                    f"/v1/projects/{self._project}:commit",
                    {
                        "databaseId": self._database,
                        "mode": "NON_TRANSACTIONAL",
                        "mutations": [{"delete": key} for key in keys],
                    },
                )
            else:
                raise BackupFailed(f"{self._name} still holds {kind} after {CALLS_MAX} deletions.")

    @property
    def _name(self) -> str:
        return f"projects/{self._project}/databases/{self._database}"

    async def _keys(self, kind: str) -> list[Any]:
        query = {
            "kind": [{"name": kind}],
            "projection": [{"property": {"name": "__key__"}}],
            "limit": ENTITIES_A_CALL,
        }
        found = await self._call(
            f"/v1/projects/{self._project}:runQuery",
            {
                "databaseId": self._database,
                "partitionId": {"projectId": self._project, "databaseId": self._database},
                "query": query,
            },
        )
        return [each["entity"]["key"] for each in found["batch"].get("entityResults", [])]

    async def _call(self, path: str, body: dict[str, Any] | None, method: str = "POST") -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS_MAX)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, self._url + path, json=body) as answer,
            ):
                if answer.status != GOOD:
                    raise BackupFailed(f"{path} answered {answer.status}: {await answer.text()}")
                content: dict[str, Any] = await answer.json(content_type=None)
                return content
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BackupFailed(f"The emulator at {self._url} does not answer: {error}") from None
