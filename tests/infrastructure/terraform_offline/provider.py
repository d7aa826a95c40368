"""A stand-in provider: the schema of a real one, values that are made up, and nothing that leaves this machine.

It also refuses and drops what Google does and the tests rely on: what is protected is not deleted, and a dashboard comes
back without its zero and empty values.

Usage, by Terraform: `python -m tests.infrastructure.terraform_offline.provider NAME`.
"""

import json
import os
import secrets
import string
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from tests.infrastructure.terraform_offline.archive import archive_file
from tests.infrastructure.terraform_offline.protocol import METHODS, PACKAGE, message
from tests.infrastructure.terraform_offline.schema import Schema, load, to_proto
from tests.infrastructure.terraform_offline.values import applied, decode, encode, faults, planned, upgraded

#: Names a fake of Google's APIs, which is told what is made and may refuse it; without it everything can be made.
CLOUD_VARIABLE = "TERRAFORM_OFFLINE_CLOUD"
ASK_SECONDS = 60
ERROR = 1
STOP_SECONDS = 0.1


class Provider:
    """Answers Terraform for one provider."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def answer(self, method: str, request: Any) -> Any:
        """The response to a call of the protocol's service."""
        handler = getattr(self, f"_{method}", None)
        return handler(request) if handler else message[METHODS[method][1]]()

    def _GetMetadata(self, _: Any) -> Any:  # noqa: N802 - the protocol's names
        return message["MetadataResponse"](
            resources=[{"type_name": kind} for kind in self._schema.resources],
            data_sources=[{"type_name": kind} for kind in self._schema.data_sources],
            ephemeral_resources=[{"type_name": kind} for kind in self._schema.ephemeral_resources],
        )

    def _GetProviderSchema(self, _: Any) -> Any:  # noqa: N802
        def schemas(blocks: dict[str, Any]) -> dict[str, Any]:
            return {kind: message["Schema"](block=to_proto(block)) for kind, block in blocks.items()}

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
            and (why := refusal(request.type_name, decode(request.config)))
        ):
            return message["ApplyResponse"](
                new_state=encode(None), diagnostics=[_error(why)], legacy_type_system=True
            )
        state = applied(request.type_name, self._schema.resources[request.type_name], wanted)
        return message["ApplyResponse"](new_state=encode(state), legacy_type_system=True)

    def _ReadDataSource(self, request: Any) -> Any:  # noqa: N802
        value = decode(request.config)
        if request.type_name == "archive_file":
            value.update(archive_file(value))
        state = applied(request.type_name, self._schema.data_sources[request.type_name], value)
        return message["DataResponse"](state=encode(state))

    def _OpenEphemeralResource(self, request: Any) -> Any:  # noqa: N802
        value = decode(request.config)
        value["result"] = "".join(
            secrets.choice(string.ascii_letters + string.digits) for _ in range(value["length"])
        )
        block = self._schema.ephemeral_resources[request.type_name]
        return message["OpenResponse"](result=encode(applied(request.type_name, block, value)))


def refusal(kind: str, config: dict[str, Any]) -> str:
    """Why the cloud that `CLOUD_VARIABLE` names refuses to make a resource; empty: it made it, or there is none to ask."""
    cloud = os.environ.get(CLOUD_VARIABLE, "")
    if not cloud:
        return ""
    asked = urllib.request.Request(
        f"{cloud}/resources", json.dumps({"type": kind, "config": config}).encode(), method="POST"
    )
    with urllib.request.urlopen(asked, timeout=ASK_SECONDS) as answer:
        return str(json.load(answer)["refusal"])


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


def _service(provider: Provider) -> Any:
    def handler(method: str) -> Any:
        takes, answers = (message[name] for name in METHODS[method])
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _: provider.answer(method, request),
            request_deserializer=takes.FromString,
            response_serializer=answers.SerializeToString,
        )

    return grpc.method_handlers_generic_handler(
        f"{PACKAGE}.Provider", {method: handler(method) for method in METHODS}
    )


def _plugin_services(done: threading.Event) -> list[Any]:
    """What the library beneath Terraform's plugins asks for: an end, and a stream of what is printed."""

    def shutdown(request: bytes, _: Any) -> bytes:
        done.set()
        return request

    def nothing(_: bytes, __: Any) -> Iterator[bytes]:
        return iter(())

    controller = grpc.unary_unary_rpc_method_handler(shutdown)
    stdio = grpc.unary_stream_rpc_method_handler(nothing)
    return [
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": controller}),
        grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": stdio}),
    ]


def main(name: str) -> None:
    """Serves one provider until Terraform ends it."""
    done = threading.Event()
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(8), options=unlimited)
    server.add_generic_rpc_handlers((_service(Provider(load(name))), *_plugin_services(done)))
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "socket"
        server.add_insecure_port(f"unix:{socket}")
        server.start()
        # The plugins' handshake: versions of its own and of the protocol, and where it listens.
        print(f"1|6|unix|{socket}|grpc", flush=True)  # noqa: T201
        done.wait()
        server.stop(STOP_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
