"""docs/openapi-tasks.yaml against the running functions: schemathesis makes requests from it, and judges every answer."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from emulators.stack import LocalCloud
from functions.http.replies import problem_type
from functions.tasks.problems import ANSWERS
from tests.deadlines import WAIT_SECONDS_MAX
from tests.emulated.test_openapi import CHECKS

ROOT = Path(__file__).parents[3]
EXAMPLES = 12

schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi-tasks.yaml")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_specification_promises(
    case: "schemathesis.Case[Any]", local_cloud: LocalCloud
) -> None:
    case.call_and_validate(base_url=local_cloud.base_url, checks=CHECKS, timeout=WAIT_SECONDS_MAX)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (path, example["value"])
        for path, methods in schema.raw_schema["paths"].items()
        if "requestBody" in methods.get("post", {}) and "{" not in path
        for example in methods["post"]["requestBody"]["content"]["application/json"]["examples"].values()
    ],
)
def test_the_examples_are_answered_as_the_first_answer_says(
    local_cloud: LocalCloud, path: str, body: Any
) -> None:
    operation = schema[path]["POST"]
    case = operation.Case(body=body, media_type="application/json")
    reply = case.call_and_validate(base_url=local_cloud.base_url, checks=CHECKS, timeout=WAIT_SECONDS_MAX)
    assert str(reply.status_code) == next(iter(operation.definition.raw["responses"]))


def test_every_path_says_what_its_options_and_its_head_are() -> None:
    for path, methods in schema.raw_schema["paths"].items():
        assert "options" in methods, path
        assert ("head" in methods) == ("get" in methods), path


def test_every_problem_type_is_explained() -> None:
    explained = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    for answer in ANSWERS.values():
        assert f"`{problem_type(answer)}`" in explained
