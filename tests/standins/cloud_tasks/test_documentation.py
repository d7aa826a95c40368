"""The page for people who use nothing else of Turnout: what it shows is executed."""

import asyncio
import re
import types
from pathlib import Path

import pytest

from emulators.cloud_tasks import CloudTasks, limits, service
from tests.standins.cloud_tasks.conftest import PARENT

PAGE = (Path(__file__).parents[3] / "docs" / "cloud-tasks.md").read_text(encoding="utf-8")


async def test_the_documented_lines_make_a_client_of_the_stand_in(
    tasks: CloudTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", tasks.ports.grpc_host)
    module = types.ModuleType("documented")
    exec(compile(program, "docs/cloud-tasks.md", "exec"), module.__dict__)
    client = module.tasks_client()
    queue = await asyncio.to_thread(
        lambda: client.create_queue(parent=PARENT, queue={"name": f"{PARENT}/queues/documented"})
    )
    assert queue.name == f"{PARENT}/queues/documented"
    client.transport.close()


def test_the_conformance_table_has_a_row_for_every_method() -> None:
    for method in _calls():
        if method != "get_operation":
            name = "".join(word.capitalize() for word in method.split("_"))
            assert name in PAGE, f"{name} has no row"
    assert "BufferTask" in PAGE


def _calls() -> list[str]:
    return [
        name
        for name, value in vars(service.Service).items()
        if asyncio.iscoroutinefunction(value) and not name.startswith("_") and name != "buffer_task"
    ]


def test_the_documented_figures_are_those_of_the_code() -> None:
    assert f"≤ {limits.STORED_TASK_BYTES_MAX:,} bytes" in PAGE
    assert f"the last {limits.TOMBSTONES_MAX:,} names" in PAGE
    assert f"≤ {limits.URL_CHARACTERS_MAX:,} characters" in PAGE
    assert f"a list of {len(service.LOCATIONS)} regions" in PAGE
