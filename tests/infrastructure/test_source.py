"""The zip that is deployed: what is in it, that it is the same from everywhere, and that it runs with nothing beside it."""

import asyncio
import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from emulators.processes import LOOPBACK, Process, free_port, stop_all, until_ready
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX
from tests.infrastructure.conftest import ROOT, Terraform, copy_sources
from tests.infrastructure.deployed import Deployed
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import OnePer, Poll

#: Folders of the sources that serve developers only.
NOT_DEPLOYED = ("cli/", "turnout/memory/")


@pytest.fixture(scope="module")
def archive(checkout: Terraform, deployed: Deployed) -> Path:
    """The zip as terraform wrote it."""
    path = checkout.folder / "terraform" / "build" / "turnout-source.zip"
    assert sha256(path.read_bytes()).hexdigest() == deployed.outputs["source"]["sha256"]
    return path


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def environment_folder(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment with the zip's own locked requirements, and nothing of this checkout.

    They are what pip installed here by the same digests, file by file: to install them again takes half a minute.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for name, version in locked(unpacked / "requirements.txt").items():
        installed = distribution(name)
        assert installed.version == version, f"{name} is installed in another version than is locked"
        for file in installed.files or ():
            target = packages / file
            if ".." not in file.parts and file.suffix != ".pyc":
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(Path(str(installed.locate_file(file))))
            elif file.parts[-2:-1] == ("bin",):
                script(Path(str(installed.locate_file(file))), folder / "bin" / file.name)
    return folder


def locked(requirements: Path) -> dict[str, str]:
    """The version of each package that this machine's Python takes; every one has digests."""
    lines = requirements.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = {}
    for line in filter(None, lines):
        stated, *digests = line.split("--hash=")
        assert digests, line
        requirement = Requirement(stated)
        if requirement.marker is None or requirement.marker.evaluate():
            (version,) = [each.version for each in requirement.specifier]
            found[requirement.name] = version
    return found


def script(source: Path, target: Path) -> None:
    """A package's command, which names the Python beside it."""
    _, _, text = source.read_text(encoding="utf-8").partition("\n")
    target.write_text(f"#!{target.parent / 'python'}\n{text}", encoding="utf-8")
    target.chmod(0o755)


def test_it_holds_functions_jobs_core_and_locked_requirements_and_nothing_else(archive: Path) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in ("functions", "jobs", "turnout")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".html")
    }
    wanted = {path for path in wanted if not path.startswith(NOT_DEPLOYED)} | {"requirements.txt"}
    with zipfile.ZipFile(archive) as opened:
        assert set(opened.namelist()) == wanted
        for path in wanted:
            assert opened.read(path) == (ROOT / path).read_bytes()


def test_it_is_the_same_from_another_checkout_at_another_time(archive: Path, tmp_path: Path) -> None:
    other = copy_sources(tmp_path)
    for path in other.rglob("*.py"):
        path.chmod(0o755)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    terraform = Terraform(other, stand_ins=True)
    shutil.rmtree(other / "terraform" / "tests")
    terraform.init()
    terraform.run("plan", "-var=project_id=demo-project")
    assert (other / "terraform" / "build" / archive.name).read_bytes() == archive.read_bytes()


def test_every_module_compiles_as_at_the_build(unpacked: Path) -> None:
    assert compileall.compile_dir(unpacked, quiet=1)


@pytest.fixture(scope="module")
def poll() -> Poll:
    now = datetime.now(UTC)
    return Poll(
        id="finals",
        title="Who is next?",
        choices=("Ada", "Grace"),
        opens_at=now,
        closes_at=now + timedelta(hours=1),
        created_at=now,
        one_per=OnePer.NONE,
    )


def container(settings: Settings, folder: Path, **more: str) -> dict[str, str]:
    """What a container is told, with the emulators' addresses."""
    return {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "GOOGLE_CLOUD_PROJECT": settings.project,
        "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator_host,
        "FIRESTORE_EMULATOR_HOST": settings.firestore_emulator_host,
        "DATASTORE_EMULATOR_HOST": settings.datastore_emulator_host,
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@pytest.fixture
def vote_url(settings: Settings, unpacked: Path, environment_folder: Path, tmp_path: Path) -> Iterator[str]:
    """The function vote, started as the buildpack's launcher does: every argument is an environment variable."""
    port = free_port()
    process = Process(
        "The function vote",
        [str(environment_folder / "bin" / "functions-framework"), "--host", LOOPBACK],
        log=tmp_path / "vote.log",
        environment=container(
            settings,
            environment_folder,
            FUNCTION_SOURCE="functions/main.py",
            FUNCTION_TARGET="vote",
            FUNCTION_USE_ASGI="true",
            PORT=str(port),
            TURNOUT_PEPPER="a pepper for tests",
        ),
        folder=unpacked,
    )

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://{LOOPBACK}:{port}/robots.txt")).status_code == 404
        except httpx.HTTPError:
            return False

    try:
        run_apart(until_ready(process, answers, seconds_max=WAIT_SECONDS_MAX))
        yield f"http://{LOOPBACK}:{port}/vote"
    finally:
        run_apart(stop_all([process]))


async def test_a_vote_is_served_and_counted_by_what_is_in_the_zip(
    settings: Settings, unpacked: Path, environment_folder: Path, vote_url: str, poll: Poll
) -> None:
    async with Wiring(settings) as wiring, httpx.AsyncClient(timeout=WAIT_SECONDS_MAX) as client:
        await wiring.polls().create(poll)
        reply = await client.post(vote_url, json={"poll": "finals", "choice": "Ada"})
        assert reply.status_code == 202, reply.text

        job = await asyncio.create_subprocess_exec(
            environment_folder / "bin" / "python", "-m", "jobs.drain",
            cwd=unpacked,
            env=container(settings, environment_folder, TURNOUT_IDLE_SECONDS="1", TURNOUT_ACK_DEADLINE_SECONDS="30"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await job.communicate()
        assert job.returncode == 0, output.decode()
        assert b'"drain ended"' in output
        assert (await wiring.counters().tally(poll)).counts == (1, 0)


def test_every_target_and_every_job_is_found_in_the_zip(unpacked: Path, environment_folder: Path) -> None:
    program = (
        "import functions.main, jobs.drain, jobs.audit, turnout\n"
        "from turnout.deployment import FUNCTIONS\n"
        "assert all(callable(getattr(functions.main, each.name)) for each in FUNCTIONS)\n"
        "print(turnout.__file__)"
    )
    done = subprocess.run(
        [environment_folder / "bin" / "python", "-c", program],
        cwd=unpacked,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert Path(done.stdout.strip()).is_relative_to(unpacked), sys.path
