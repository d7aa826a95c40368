"""Values on their way: what a plan leaves unknown, what an apply makes up, what a state of another version keeps."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.infrastructure.terraform_offline.protocol import message
from tests.infrastructure.terraform_offline.schema import Block, is_write_only

#: How Terraform writes a value that is not known yet.
UNKNOWN = msgspec.msgpack.Ext(0, b"\x00")
PROJECT_NUMBER = "123456789012"

Path = tuple[str | int, ...]


def is_unknown(value: object) -> bool:
    """Whether a value is not known yet."""
    return isinstance(value, msgspec.msgpack.Ext)


def decode(dynamic: Any) -> Any:
    """The value that a message carries; None: there is none."""
    if dynamic.msgpack:
        return msgspec.msgpack.decode(dynamic.msgpack)
    return json.loads(dynamic.json) if dynamic.json else None


def encode(value: object) -> Any:
    """The message that carries a value."""
    return message["DynamicValue"](msgpack=msgspec.msgpack.encode(value))


def planned(block: Block, value: Any) -> Any:
    """The proposed state with every computed attribute that is not set made unknown."""

    def attribute(name: str, known: dict[str, Any], given: Any) -> Any:
        if is_write_only(name):
            return None
        return UNKNOWN if given is None and known.get("computed") else given

    return _walk(block, value, attribute, unknown_blocks=lambda inner: inner)


def applied(kind: str, block: Block, value: Any) -> Any:
    """The planned state with every unknown value made up."""

    def attribute(name: str, known: dict[str, Any], given: Any) -> Any:
        if is_write_only(name):
            return None
        if is_unknown(given) or (given is None and known.get("computed")):
            return _made_up(kind, name, known["type"], value)
        return given

    return _walk(block, value, attribute, unknown_blocks=lambda _: [])


def upgraded(block: Block, value: Any) -> Any:
    """A stored state with the attributes and blocks of this schema, and no others."""
    if value is None:
        return None
    out = {name: value.get(name) for name in block["attributes"]}
    for name, nested in block["block_types"].items():
        inner = value.get(name)
        if nested["nesting_mode"] in ("list", "set"):
            out[name] = [upgraded(nested["block"], item) for item in inner or []]
        else:
            out[name] = upgraded(nested["block"], inner)
    return out


def faults(block: Block, value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """What is wrong with a configuration, and where: values that are not among the documented ones, or are not to be set."""
    if not isinstance(value, dict):
        return
    for name, known in block["attributes"].items():
        given = value.get(name)
        if isinstance(given, str) and given not in known.get("enum", [given]):
            yield (*path, name), f"expected {name} to be one of {known['enum']}, got {given!r}"
        settable = known.get("optional") or known.get("required")
        if given is not None and known.get("computed") and not settable:
            yield (*path, name), f"{name} is read-only: its value is decided by the provider"
    for name, nested in block["block_types"].items():
        inner = value.get(name)
        for index, item in enumerate(inner if isinstance(inner, list) else [inner]):
            here = (*path, name, index) if nested["nesting_mode"] == "list" else (*path, name)
            yield from faults(nested["block"], item, here)


def _walk(
    block: Block,
    value: Any,
    attribute: Callable[[str, dict[str, Any], Any], Any],
    unknown_blocks: Callable[[Any], Any],
) -> Any:
    if value is None or is_unknown(value):
        return value
    out = dict(value)
    for name, known in block["attributes"].items():
        out[name] = attribute(name, known, out.get(name))
    for name, nested in block["block_types"].items():
        inner = out.get(name)
        if isinstance(inner, list):
            out[name] = [_walk(nested["block"], item, attribute, unknown_blocks) for item in inner]
        elif isinstance(inner, dict) and nested["nesting_mode"] == "single":
            out[name] = _walk(nested["block"], inner, attribute, unknown_blocks)
        elif is_unknown(inner):
            out[name] = unknown_blocks(inner)
    return out


def _made_up(resource: str, name: str, kind: Any, top: dict[str, Any]) -> Any:
    if kind == "string":
        return _made_up_text(resource, name, top)
    if kind == "number":
        return int(PROJECT_NUMBER) if name == "project_number" else 1
    if kind == "bool":
        return False
    if kind == "dynamic":
        return None
    return {"map": {}, "list": [], "set": []}.get(kind[0])


def _made_up_text(resource: str, name: str, top: dict[str, Any]) -> str:
    def given(key: str) -> str | None:
        return top[key] if isinstance(top.get(key), str) else None

    named = (given(key) for key in ("name", "account_id", "job_id", "secret_id", "repository_id"))
    label = next(filter(None, named), name)
    project = given("project") or "offline-project"
    return {
        "project": project,
        "email": f"{label}@{project}.iam.gserviceaccount.com",
        "member": f"serviceAccount:{label}@{project}.iam.gserviceaccount.com",
        "id": f"projects/{project}/{resource.removeprefix('google_')}/{label}",
        "uri": f"https://{label}-offline.a.run.app",
        "url": f"https://{label}-offline.a.run.app",
        "self_link": f"https://{label}-offline.a.run.app",
        "number": PROJECT_NUMBER,
    }.get(name, f"offline-{name}")
