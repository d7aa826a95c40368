"""docs/openapi.yaml against the running functions: schemathesis makes requests from it, and judges every answer by it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from emulators.stack import LocalCloud
from functions.http.replies import COMMON_ANSWERS, INTERNAL, problem_type
from functions.votes.problems import ANSWERS
from tests.deadlines import WAIT_SECONDS_MAX

ROOT = Path(__file__).parents[2]
SPECIFICATION = ROOT / "docs" / "openapi.yaml"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES = 15


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: object) -> bytes:
    """What is generated for NDJSON is text already."""
    return str(value).encode(errors="replace")


schema = schemathesis.openapi.from_path(SPECIFICATION)


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


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema.raw_schema["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def bodies_of(operation: dict[str, Any]) -> Iterator[tuple[str | None, object]]:
    """Each example of a body with its media type; of an operation without a body, none."""
    if "requestBody" not in operation:
        yield None, None
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        for example in content.get("examples", {}).values():
            yield media_type, example["value"]


@pytest.mark.parametrize(
    ("path", "method", "media_type", "body"),
    [
        (path, method, media_type, body)
        for path, method, operation in operations()
        if path != "/persist" or method != "POST"  # it persists the polls of all tests
        for media_type, body in bodies_of(operation)
    ],
)
def test_the_examples_are_answered_as_the_first_answer_says(
    local_cloud: LocalCloud, poll: str, path: str, method: str, media_type: str | None, body: Any
) -> None:
    operation = schema[path][method]
    own = {**body, "poll": poll} if isinstance(body, dict) and "poll" in body else body
    given: dict[str, Any] = {} if media_type is None else {"body": own, "media_type": media_type}
    case = operation.Case(path_parameters={"poll": poll} if "{poll}" in path else {}, **given)
    reply = case.call_and_validate(base_url=local_cloud.base_url, checks=CHECKS, timeout=WAIT_SECONDS_MAX)
    assert str(reply.status_code) == next(iter(operation.definition.raw["responses"]))


def test_every_path_says_what_its_options_and_its_head_are() -> None:
    for path, methods in schema.raw_schema["paths"].items():
        assert "options" in methods, path
        assert ("head" in methods) == ("get" in methods), path
        allowed = methods["options"]["responses"]["204"]["headers"]["Allow"]["example"].split(", ")
        assert {method.lower() for method in allowed} == set(methods), path


def test_every_problem_type_is_explained() -> None:
    explained = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    for answer in (*ANSWERS.values(), *COMMON_ANSWERS.values(), INTERNAL):
        assert f"`{problem_type(answer)}`" in explained
