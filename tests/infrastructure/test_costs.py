"""What is deployed, at list prices: the figures of terraform/README.md, and the sizes that the model of scaling starts from."""

import re

import pytest

from benchmarks import prices
from benchmarks.scaling.parameters import Parameters
from tests.infrastructure.conftest import ROOT
from tests.infrastructure.deployed import Deployed
from tests.infrastructure.test_rules import sizes

README = (ROOT / "terraform" / "README.md").read_text(encoding="utf-8")
HOUR_SECONDS = 3_600
MONTH_MINUTES = 43_200
MIB_A_GIB = 1_024


def an_hour(cpu: float, memory_mib: int, at_once: int, *, job: bool) -> float:
    """Dollars."""
    vcpu = prices.JOB_VCPU_SECOND if job else prices.VCPU_SECOND
    gib = prices.JOB_GIB_SECOND if job else prices.GIB_SECOND
    return at_once * HOUR_SECONDS * (cpu * vcpu + memory_mib / MIB_A_GIB * gib)


def said(row: str) -> float:
    """The last figure of a table's row that begins so."""
    (found,) = re.findall(rf"^\| {re.escape(row)}.*\| ([\d.]+) \|$", README, re.MULTILINE)
    return float(found)


@pytest.mark.parametrize(
    ("row", "services"),
    [
        ("`functions.vote.max_instances`", ["vote"]),
        ("`functions.results.max_instances`", ["results"]),
        ("`functions.polls`, `functions.persist`", ["polls", "persist"]),
        ("`drain`: parallelism", ["drain"]),
    ],
)
def test_a_ceiling_costs_what_the_readme_says(deployed: Deployed, row: str, services: list[str]) -> None:
    found = sizes(deployed)
    expected = sum(an_hour(*found[name], job=name in deployed.jobs) for name in services)
    assert said(row) == pytest.approx(expected, abs=0.005)


def test_an_idle_month_costs_what_the_readme_says(deployed: Deployed) -> None:
    """An execution each minute, and each is billed a minute at least: a task is always running."""
    cpu, memory_mib, _ = sizes(deployed)["drain"]
    assert said("drain: an execution each minute") == round(
        MONTH_MINUTES / 60 * an_hour(cpu, memory_mib, 1, job=True)
    )


def test_the_model_of_scaling_starts_from_what_is_deployed(deployed: Deployed) -> None:
    model, found = Parameters(), sizes(deployed)
    (vote,) = deployed.functions["vote"]["service_config"]
    assert (model.instances_min, model.instances_max) == (
        vote["min_instance_count"],
        vote["max_instance_count"],
    )
    assert model.instance_concurrency == vote["max_instance_request_concurrency"]
    assert (model.instance_vcpus, model.task_vcpus) == (found["vote"][0], found["drain"][0])
    (execution,) = deployed.jobs["drain"]["template"]
    (task,) = execution["template"]
    assert model.tasks == execution["task_count"]
    assert task["timeout"] == f"{model.task_seconds_max:g}s"
    told = deployed.environment("drain")
    assert (told["TURNOUT_LANES"], told["TURNOUT_IDLE_SECONDS"]) == (
        f"{model.lanes:g}",
        f"{model.idle_seconds:g}",
    )
