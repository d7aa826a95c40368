"""Load over HTTP: wrk, and what it prints as figures."""

import asyncio
import json
import re
import shutil
import tempfile
from pathlib import Path

import msgspec

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class WrkMissing(Exception):
    """The load generator is not installed."""

    def __init__(self) -> None:
        super().__init__("wrk is not on PATH; install it (Debian: apt install wrk; macOS: brew install wrk)")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of wrk saw. Latencies in milliseconds."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    #: Answers that were no 2xx or 3xx, and connections that failed.
    errors: int


async def post(url: str, body: object, *, connections: int, seconds: float) -> Load:
    """Posts one JSON body again and again, over so many connections, for so long."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise WrkMissing
    script = (
        f'wrk.method = "POST"\nwrk.body = [==[{json.dumps(body)}]==]\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "post.lua"
        path.write_text(script, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            wrk, "-t1", f"-c{connections}", f"-d{seconds:.0f}", "--latency", "-s", str(path), url,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), seconds + 60)
    return read_report(output.decode())


def read_report(text: str) -> Load:
    """The figures in wrk's report."""
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: (.*)", text)
    return Load(
        requests=int(_found(r"(\d+) requests in", text)),
        per_second=float(_found(r"Requests/sec:\s+([\d.]+)", text)),
        p50_ms=_latency("50", text),
        p99_ms=_latency("99", text),
        errors=int(bad[1] if bad else 0)
        + sum(int(number) for number in re.findall(r"\d+", sockets[1] if sockets else "")),
    )


def _latency(percentile: str, text: str) -> float:
    number, unit = re.findall(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)[0]
    return float(number) * UNITS_MS[unit]


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk's report has no {pattern!r}: {text[:500]}")
    return found[1]
