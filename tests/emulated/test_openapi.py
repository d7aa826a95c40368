"""docs/openapi.yaml against the running functions: schemathesis makes requests from it, and judges every answer by it."""

from pathlib import Path
from typing import Any

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


def test_every_problem_type_is_explained() -> None:
    explained = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    for answer in (*ANSWERS.values(), *COMMON_ANSWERS.values(), INTERNAL):
        assert f"`{problem_type(answer)}`" in explained
