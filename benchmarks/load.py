"""Load over HTTP: wrk, and what it prints as figures."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
#: What a slow answer may take before wrk gives it up; its own two seconds would hide the slowest.
ANSWER_SECONDS_MAX = 30
#: How long wrk may take beyond the load itself.
OVERTIME_SECONDS_MAX = 60

POST = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
"""
ONE_BODY = "wrk.body = [==[{body}]==]\n"
#: Each request takes one of the bodies by chance.
MANY_BODIES = """local bodies = {{ {bodies} }}
local requests = {{}}
function init(args)
  math.randomseed(4711)
  for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, nil, nil, body) end
end
function request() return requests[math.random(#requests)] end
"""
#: A connection that is free takes the next moment of one schedule, so that a slow answer holds up no other request.
PACED = """local ffi = require("ffi")
ffi.cdef[[ typedef struct {{ long s; long us; }} moment_t; int gettimeofday(moment_t *now, void *zone); ]]
local moment = ffi.new("moment_t")
local interval_ms = {interval_ms}
local due_ms
local controller
requests_late = 0
requests_due = 0
local function now_ms()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment.s) * 1000 + tonumber(moment.us) / 1000
end
function setup(thread) controller = thread end
function delay()
  local now = now_ms()
  due_ms = (due_ms or now) + interval_ms
  requests_due = requests_due + 1
  if due_ms < now then
    requests_late = requests_late + 1
    due_ms = now
    return 0
  end
  return math.floor(due_ms - now + 0.5)
end
function done()
  print("Paced requests late: " .. controller:get("requests_late") .. " of " .. controller:get("requests_due"))
end
"""


class ToolMissing(Exception):
    """What a bench needs is not installed."""


class WrkMissing(ToolMissing):
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
    #: The share of a paced load's requests that found no connection free at their moment, and were sent later.
    late: float = 0.0


async def post(url: str, body: object, *, connections: int, seconds: float) -> Load:
    """Posts one JSON body again and again, over so many connections, for so long."""
    return await _run(url, POST + _one(body), connections=connections, seconds=seconds)


async def post_any(url: str, bodies: Sequence[object], *, connections: int, seconds: float) -> Load:
    """Posts JSON bodies that are drawn by chance, over so many connections, for so long."""
    quoted = ",\n".join(f"[==[{_json(body)}]==]" for body in bodies)
    return await _run(url, POST + MANY_BODIES.format(bodies=quoted), connections=connections, seconds=seconds)


async def post_paced(url: str, body: object, *, per_second: float, connections: int, seconds: float) -> Load:
    """Posts one JSON body so many times a second, however long the answers take.

    wrk by itself sends the next request when an answer has come, and so never asks for more than it gets. Here the
    requests have a schedule; `late` says how many could not keep to it because every connection was waiting.
    """
    script = POST + _one(body) + PACED.format(interval_ms=1000 / per_second)
    return await _run(url, script, connections=connections, seconds=seconds)


async def _run(url: str, script: str, *, connections: int, seconds: float) -> Load:
    wrk = find_wrk()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "load.lua"
        path.write_text(script, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            wrk, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", f"--timeout={ANSWER_SECONDS_MAX}s", "--latency",
            "-s", str(path), url,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(process.communicate(), seconds + OVERTIME_SECONDS_MAX)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return read_report(output.decode())


def find_wrk() -> str:
    """The load generator; `WrkMissing` says where it comes from."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise WrkMissing
    return wrk


def read_report(text: str) -> Load:
    """The figures in wrk's report."""
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: (.*)", text)
    late = re.search(r"Paced requests late: (\d+) of (\d+)", text)
    return Load(
        requests=int(_found(r"(\d+) requests in", text)),
        per_second=float(_found(r"Requests/sec:\s+([\d.]+)", text)),
        p50_ms=_latency("50", text),
        p99_ms=_latency("99", text),
        errors=int(bad[1] if bad else 0)
        + sum(int(number) for number in re.findall(r"\d+", sockets[1] if sockets else "")),
        late=int(late[1]) / max(1, int(late[2])) if late else 0.0,
    )


def _latency(percentile: str, text: str) -> float:
    shown = _found(rf"(?m)^\s+{percentile}%\s+([\d.]+(?:us|ms|s|m))\s*$", text)
    unit = shown.lstrip("0123456789.")
    return float(shown.removesuffix(unit)) * UNITS_MS[unit]


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk's report has no {pattern!r}: {text[:500]}")
    return found[1]


def _one(body: object) -> str:
    return ONE_BODY.format(body=_json(body))


def _json(body: object) -> str:
    return msgspec.json.encode(body).decode()
