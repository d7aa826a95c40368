"""A stand-in provider: the schema of a real one, values that are made up, and nothing that leaves this machine.

It also refuses and drops what Google does and the tests rely on: what is protected is not deleted, and a dashboard comes
back without its zero and empty values.
"""

import json
import secrets
import string
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from tests.infrastructure.terraform_offline.archive import archive_file
from tests.infrastructure.terraform_offline.protocol import METHODS, message
from tests.infrastructure.terraform_offline.schema import Schema, named_in, to_proto
from tests.infrastructure.terraform_offline.values import applied, decode, encode, faults, planned, upgraded

ERROR = 1


class World(msgspec.Struct, frozen=True):
    """What a stand-in knows beside its schema."""

    #: Terraform's folder: what relative paths are relative to.
    folder: Path
    #: The folder whose files name the types that Terraform is told of; reading 1,375 of them takes it a second a time.
    sources: Path
    now: Callable[[], datetime]
    #: Told of each resource before it is made: why it is refused, or nothing.
    refusal: Callable[[str, dict[str, Any]], str] = lambda *_: ""


class Provider:
    """Answers Terraform for one provider."""

    def __init__(self, schema: Schema, world: World) -> None:
        self._schema = schema
        self._world = world

    def answer(self, method: str, request: Any) -> Any:
        """The response to a call of the protocol's service."""
        handler = getattr(self, f"_{method}", None)
        return handler(request) if handler else message[METHODS[method][1]]()

    def _GetMetadata(self, _: Any) -> Any:  # noqa: N802 - the protocol's names
        named = named_in(self._world.sources)
        return message["MetadataResponse"](
            resources=[{"type_name": kind} for kind in self._schema.resources if kind in named],
            data_sources=[{"type_name": kind} for kind in self._schema.data_sources if kind in named],
            ephemeral_resources=[
                {"type_name": kind} for kind in self._schema.ephemeral_resources if kind in named
            ],
        )

    def _GetProviderSchema(self, _: Any) -> Any:  # noqa: N802
        named = named_in(self._world.sources)

        def schemas(blocks: dict[str, Any]) -> dict[str, Any]:
            return {
                kind: message["Schema"](block=to_proto(block))
                for kind, block in blocks.items()
                if kind in named
            }

        return message["SchemaResponse"](
            provider=message["Schema"](block=to_proto(self._schema.provider)),
            resource_schemas=schemas(self._schema.resources),
            data_source_schemas=schemas(self._schema.data_sources),
            ephemeral_resource_schemas=schemas(self._schema.ephemeral_resources),
        )

    def _ValidateResourceConfig(self, request: Any) -> Any:  # noqa: N802
        found = faults(self._schema.resources[request.type_name], decode(request.config))
        return message["Diagnostics"](diagnostics=[_error(text, path) for path, text in found])

    def _UpgradeResourceState(self, request: Any) -> Any:  # noqa: N802
        block = self._schema.resources[request.type_name]
        return message["UpgradeResponse"](
            upgraded_state=encode(upgraded(block, json.loads(request.raw_state.json)))
        )

    def _ReadResource(self, request: Any) -> Any:  # noqa: N802
        state = decode(request.current_state)
        if request.type_name == "google_monitoring_dashboard":
            given = json.loads(state["dashboard_json"])
            # The real provider takes texts of the same document for the same.
            if without_zeros(given) != given:
                state["dashboard_json"] = json.dumps(without_zeros(given))
        if request.type_name == "time_rotating" and self._world.now() >= datetime.fromisoformat(
            state["rotation_rfc3339"]
        ):
            # It is taken for gone, so that Terraform makes it anew.
            state = None
        return message["ReadResponse"](new_state=encode(state))

    def _PlanResourceChange(self, request: Any) -> Any:  # noqa: N802
        state = planned(self._schema.resources[request.type_name], decode(request.proposed_new_state))
        return message["PlanResponse"](planned_state=encode(state), legacy_type_system=True)

    def _ApplyResourceChange(self, request: Any) -> Any:  # noqa: N802
        wanted, before = decode(request.planned_state), decode(request.prior_state)
        if wanted is None and (why := protection(before)):
            return message["ApplyResponse"](
                new_state=encode(before),
                diagnostics=[_error(f"cannot delete {request.type_name}: {why}")],
                legacy_type_system=True,
            )
        if (
            wanted is not None
            and before is None
            and (why := self._world.refusal(request.type_name, decode(request.config)))
        ):
            return message["ApplyResponse"](
                new_state=encode(None), diagnostics=[_error(why)], legacy_type_system=True
            )
        if wanted is not None and request.type_name == "time_rotating":
            wanted = self._rotating(wanted)
        state = applied(request.type_name, self._schema.resources[request.type_name], wanted)
        return message["ApplyResponse"](new_state=encode(state), legacy_type_system=True)

    def _ReadDataSource(self, request: Any) -> Any:  # noqa: N802
        value = decode(request.config)
        if request.type_name == "archive_file":
            value.update(archive_file(value, self._world.folder))
        state = applied(request.type_name, self._schema.data_sources[request.type_name], value)
        return message["DataResponse"](state=encode(state))

    def _OpenEphemeralResource(self, request: Any) -> Any:  # noqa: N802
        value = decode(request.config)
        value["result"] = "".join(
            secrets.choice(string.ascii_letters + string.digits) for _ in range(value["length"])
        )
        block = self._schema.ephemeral_resources[request.type_name]
        return message["OpenResponse"](result=encode(applied(request.type_name, block, value)))

    def _rotating(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The moment that a rotation began, and the one at which it is over."""
        began = self._world.now()
        over = began + timedelta(days=wanted["rotation_days"])
        return {**wanted, "rfc3339": began.isoformat(), "rotation_rfc3339": over.isoformat()}


def without_zeros(value: Any) -> Any:
    """What Monitoring keeps of a dashboard: a zero, a false or an empty text is the same as none, and does not come back."""
    if isinstance(value, dict):
        kept = {name: without_zeros(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each not in (0, "", None)}
    return [without_zeros(each) for each in value] if isinstance(value, list) else value


def protection(state: dict[str, Any]) -> str:
    """Why a resource cannot be deleted; empty: it can."""
    if state.get("deletion_policy") == "PREVENT":
        return "deletion_policy is PREVENT"
    if state.get("deletion_protection") is True:
        return "deletion_protection is true"
    if state.get("delete_protection_state") == "DELETE_PROTECTION_ENABLED":
        return "delete_protection_state is DELETE_PROTECTION_ENABLED"
    return ""


def _error(text: str, path: tuple[str | int, ...] = ()) -> Any:
    steps = [
        message["Step"](element_key_int=each)
        if isinstance(each, int)
        else message["Step"](attribute_name=each)
        for each in path
    ]
    return message["Diagnostic"](
        severity=ERROR, summary=text, attribute=message["AttributePath"](steps=steps)
    )
