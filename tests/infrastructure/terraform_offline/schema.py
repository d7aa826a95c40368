"""A provider's schema: as the file beside this one holds it, and as Terraform is told it."""

import gzip
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tests.infrastructure.terraform_offline.protocol import message

FOLDER = Path(__file__).parent / "schemas"
NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
#: Ephemeral resources are not in the files. That of random has the arguments of the resource of the same name, but for these.
NOT_EPHEMERAL = {"id", "keepers"}

Block = dict[str, Any]


class Schema(msgspec.Struct, frozen=True):
    """What a provider offers, by type."""

    provider: Block
    resources: dict[str, Block]
    data_sources: dict[str, Block]
    ephemeral_resources: dict[str, Block]


def names() -> list[str]:
    """The providers there are schemas of."""
    return sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))


def named_in(folder: Path) -> set[str]:
    """The words in a folder's configurations and states, of which some are types."""
    return {
        word
        for pattern in ("*.tf", "*.tftest.hcl", "*.tfstate")
        for path in folder.rglob(pattern)
        for word in re.findall(r"[a-z]+_[a-z0-9_]+", path.read_text(encoding="utf-8"))
    }


@cache
def load(name: str) -> Schema:
    """The schema of the provider hashicorp/`name`."""
    with gzip.open(FOLDER / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        (found,) = json.load(file)["provider_schemas"].values()
    # Terraform's own argument.
    found["provider"]["block"]["attributes"].pop("alias", None)
    for each in (
        found["provider"],
        *found["resource_schemas"].values(),
        *found["data_source_schemas"].values(),
    ):
        _blocks_to_attributes(each["block"])
    resources = {kind: each["block"] for kind, each in found["resource_schemas"].items()}
    return Schema(
        provider=found["provider"]["block"],
        resources=resources,
        data_sources={kind: each["block"] for kind, each in found["data_source_schemas"].items()},
        ephemeral_resources=dict(_ephemeral(name, resources)),
    )


def is_write_only(attribute_name: str) -> bool:
    """Providers name the arguments that no state may hold `…_wo`."""
    return attribute_name.endswith("_wo")


def to_proto(block: Block) -> Any:
    """The block as Terraform is told it."""
    return message["Block"](
        attributes=[
            message["Attribute"](
                name=name,
                type=json.dumps(each["type"]).encode(),
                required=each.get("required", False),
                optional=each.get("optional", False),
                computed=each.get("computed", False),
                write_only=is_write_only(name),
            )
            for name, each in sorted(block["attributes"].items())
        ],
        block_types=[
            message["NestedBlock"](
                type_name=name,
                block=to_proto(each["block"]),
                nesting=NESTING[each["nesting_mode"]],
                min_items=each.get("min_items", 0) if each["nesting_mode"] in ("list", "set") else 0,
                max_items=each.get("max_items", 0),
            )
            for name, each in sorted(block["block_types"].items())
        ],
    )


def _ephemeral(provider: str, resources: dict[str, Block]) -> Iterator[tuple[str, Block]]:
    if provider == "random":
        password = resources["random_password"]
        kept = {name: each for name, each in password["attributes"].items() if name not in NOT_EPHEMERAL}
        yield "random_password", {"attributes": kept, "block_types": {}}


def _blocks_to_attributes(block: Block) -> None:
    """A block that is both optional and computed is, on the wire, an attribute that holds a list of objects."""
    both = [name for name, nested in block["block_types"].items() if nested.get("optional_computed")]
    for name in both:
        nested = block["block_types"].pop(name)
        block["attributes"][name] = {
            "type": [nested["nesting_mode"], _object_type(nested["block"])],
            "optional": True,
            "computed": True,
        }
    for nested in block["block_types"].values():
        _blocks_to_attributes(nested["block"])


def _object_type(block: Block) -> list[Any]:
    fields = {name: attribute["type"] for name, attribute in block["attributes"].items()}
    for name, nested in block["block_types"].items():
        inner = _object_type(nested["block"])
        fields[name] = inner if nested["nesting_mode"] == "single" else [nested["nesting_mode"], inner]
    return ["object", fields]
