"""Whether all that may run at once fits into what the region gives: beyond it, a busy intake leaves the drain nothing."""

import math
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from cli.doctor.copy import Copy
from cli.doctor.finding import Finding, State, fault, good
from cli.doctor.google import Google
from turnout.deployment import JOBS

CHECK = "region quota"
METRICS = "v1beta1/projects/{}/services/run.googleapis.com/consumerQuotaMetrics"
CPU_METRIC, MEMORY_METRIC = "run.googleapis.com/cpu_allocation", "run.googleapis.com/mem_allocation"
MILLI = 1_000
GIB = 1 << 30
#: What Cloud Run takes where a service names no ceiling.
INSTANCES_DEFAULT = 100
UNITS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": GIB}
UNLIMITED = -1


class Amount(msgspec.Struct, frozen=True):
    """CPU and memory."""

    milli_vcpu: float
    memory_bytes: float

    def times(self, number: float) -> "Amount":
        """So many of them."""
        return Amount(self.milli_vcpu * number, self.memory_bytes * number)


async def examine(google: Google, copy: Copy) -> AsyncIterator[Finding]:
    """One finding each for CPU and memory."""
    wanted = [each async for each in _wanted(google, copy)]
    given: dict[str, float] = {}
    async for metric in google.each("serviceusage", METRICS.format(copy.project), "metrics", view="FULL"):
        if metric.get("metric") in (CPU_METRIC, MEMORY_METRIC):
            given[metric["metric"]] = limit_of(metric, copy.region)
    vcpu = sum(each.milli_vcpu for each in wanted) / MILLI
    gib = sum(each.memory_bytes for each in wanted) / GIB
    for what, amount, metric_name, unit in (
        ("vCPU", vcpu, CPU_METRIC, MILLI),
        ("GiB of memory", gib, MEMORY_METRIC, GIB),
    ):
        if metric_name in given:
            yield _judged(what, amount, given[metric_name] / unit, copy)
        else:
            yield Finding(
                check=CHECK,
                state=State.UNKNOWN,
                says=f"Everything at its ceiling takes {amount:g} {what}; what {copy.region} gives was not found.",
                mend="Compare it with Cloud Run's quotas (console: IAM & Admin, Quotas).",
            )


def limit_of(metric: dict[str, Any], region: str) -> float:
    """What a quota gives in a region: its own bucket's figure, else that for all regions; infinity: no limit."""
    buckets = [
        bucket
        for limit in metric.get("consumerQuotaLimits", [])
        if "{region}" in limit.get("unit", "")
        for bucket in limit.get("quotaBuckets", [])
        if bucket.get("dimensions", {}).get("region", region) == region
    ]
    if not buckets:
        return math.inf
    own = max(buckets, key=lambda bucket: len(bucket.get("dimensions", {})))
    effective = float(own.get("effectiveLimit", UNLIMITED))
    return math.inf if effective == UNLIMITED else effective


def _judged(what: str, wanted: float, given: float, copy: Copy) -> Finding:
    if wanted <= given:
        limit = "no limit is set" if math.isinf(given) else f"{copy.region} gives {given:g}"
        return good(CHECK, f"Everything at its ceiling takes {wanted:g} {what}; {limit}.")
    return fault(
        CHECK,
        f"Everything at its ceiling takes {wanted:g} {what}, and {copy.region} gives {given:g}: at a burst the intake may "
        "leave the drain nothing.",
        "Lower functions[*].max_instances, drain.tasks or drain.timeout_seconds; or have Cloud Run's quota raised "
        "(console: IAM & Admin, Quotas), and say so in region_vcpu and region_memory_gib.",
    )


async def _wanted(google: Google, copy: Copy) -> AsyncIterator[Amount]:
    """Every service and job of the region: the quota is shared with what is not Turnout's."""
    parent = f"v2/projects/{copy.project}/locations/{copy.region}"
    async for service in google.each("run", f"{parent}/services", "services"):
        template = service["template"]
        instances = template.get("scaling", {}).get("maxInstanceCount", INSTANCES_DEFAULT)
        yield _size(template).times(instances)
    every = {copy.named(job.name): 60 if job.schedule.startswith("* ") else 3_600 for job in JOBS}
    async for job in google.each("run", f"{parent}/jobs", "jobs"):
        execution = job["template"]
        task = execution["template"]
        at_once = execution.get("parallelism") or execution.get("taskCount", 1)
        name = job["name"].rpartition("/")[2]
        if name in every:
            at_once *= math.ceil(float(task.get("timeout", "600s").removesuffix("s")) / every[name])
        yield _size(task).times(at_once)


def _size(template: dict[str, Any]) -> Amount:
    limits = [each.get("resources", {}).get("limits", {}) for each in template["containers"]]
    return Amount(
        sum(milli_vcpu(each.get("cpu", "1")) for each in limits),
        sum(memory_bytes(each.get("memory", "512Mi")) for each in limits),
    )


def milli_vcpu(text: str) -> float:
    """`1` and `1000m` are 1,000."""
    return float(text.removesuffix("m")) if text.endswith("m") else float(text) * MILLI


def memory_bytes(text: str) -> float:
    """`512Mi` in bytes."""
    match = re.fullmatch(r"([\d.]+)([A-Za-z]*)", text)
    if match is None or match[2] not in UNITS:
        return 0.0
    return float(match[1]) * UNITS[match[2]]
