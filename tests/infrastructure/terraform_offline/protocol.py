"""The part of Terraform's plugin protocol 6 that the stand-ins speak, as protobuf messages.

Names and numbers are those of `docs/plugin-protocol/tfplugin6.9.proto` in hashicorp/terraform. The library that has them
on PyPI (tf) wants an older protobuf than Google's clients and knows no ephemeral resources.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "tfplugin6"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
    "bool": _Field.TYPE_BOOL,
    "int64": _Field.TYPE_INT64,
    "enum": _Field.TYPE_INT32,  # the same on the wire
}

#: Message: its fields as `name number type`; `*` repeats, `{}` is a map from text, `|` is one of the `selector`s.
_MESSAGES = {
    "Empty": "",
    "DynamicValue": "msgpack 1 bytes, json 2 bytes",
    "Step": "attribute_name 1 |string, element_key_string 2 |string, element_key_int 3 |int64",
    "AttributePath": "steps 1 *Step",
    "Diagnostic": "severity 1 enum, summary 2 string, detail 3 string, attribute 4 AttributePath",
    "Diagnostics": "diagnostics 1 *Diagnostic",
    "DiagnosticsAt2": "diagnostics 2 *Diagnostic",
    "RawState": "json 1 bytes",
    "Attribute": (
        "name 1 string, type 2 bytes, required 4 bool, optional 5 bool, computed 6 bool, sensitive 7 bool, write_only 11 bool"
    ),
    "NestedBlock": "type_name 1 string, block 2 Block, nesting 3 enum, min_items 4 int64, max_items 5 int64",
    "Block": "version 1 int64, attributes 2 *Attribute, block_types 3 *NestedBlock",
    "Schema": "version 1 int64, block 2 Block",
    "TypeName": "type_name 1 string",
    "MetadataResponse": "data_sources 3 *TypeName, resources 4 *TypeName, ephemeral_resources 6 *TypeName",
    "SchemaResponse": (
        "provider 1 Schema, resource_schemas 2 {}Schema, data_source_schemas 3 {}Schema, "
        "ephemeral_resource_schemas 8 {}Schema"
    ),
    "ConfigRequest": "type_name 1 string, config 2 DynamicValue",
    "UpgradeRequest": "type_name 1 string, version 2 int64, raw_state 3 RawState",
    "UpgradeResponse": "upgraded_state 1 DynamicValue, diagnostics 2 *Diagnostic",
    "ReadRequest": "type_name 1 string, current_state 2 DynamicValue",
    "ReadResponse": "new_state 1 DynamicValue, diagnostics 2 *Diagnostic",
    "PlanRequest": "type_name 1 string, prior_state 2 DynamicValue, proposed_new_state 3 DynamicValue, config 4 DynamicValue",
    "PlanResponse": (
        "planned_state 1 DynamicValue, requires_replace 2 *AttributePath, diagnostics 4 *Diagnostic, legacy_type_system 5 bool"
    ),
    "ApplyRequest": "type_name 1 string, prior_state 2 DynamicValue, planned_state 3 DynamicValue, config 4 DynamicValue",
    "ApplyResponse": "new_state 1 DynamicValue, diagnostics 3 *Diagnostic, legacy_type_system 4 bool",
    "DataResponse": "state 1 DynamicValue, diagnostics 2 *Diagnostic",
    "OpenResponse": "diagnostics 1 *Diagnostic, result 3 DynamicValue",
}

#: Method of the service: what it takes, what it answers.
METHODS = {
    "GetMetadata": ("Empty", "MetadataResponse"),
    "GetProviderSchema": ("Empty", "SchemaResponse"),
    "ValidateProviderConfig": ("Empty", "DiagnosticsAt2"),
    "ValidateResourceConfig": ("ConfigRequest", "Diagnostics"),
    "ValidateDataResourceConfig": ("ConfigRequest", "Diagnostics"),
    "ValidateEphemeralResourceConfig": ("ConfigRequest", "Diagnostics"),
    "UpgradeResourceState": ("UpgradeRequest", "UpgradeResponse"),
    "ConfigureProvider": ("Empty", "Diagnostics"),
    "ReadResource": ("ReadRequest", "ReadResponse"),
    "PlanResourceChange": ("PlanRequest", "PlanResponse"),
    "ApplyResourceChange": ("ApplyRequest", "ApplyResponse"),
    "ReadDataSource": ("ConfigRequest", "DataResponse"),
    "OpenEphemeralResource": ("ConfigRequest", "OpenResponse"),
    "CloseEphemeralResource": ("Empty", "Diagnostics"),
    "GetFunctions": ("Empty", "Empty"),
    "StopProvider": ("Empty", "Empty"),
}


def _add_field(message: Any, text: str) -> None:
    name, number, kind = text.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="selector")
        field.oneof_index = 0
        kind = kind[1:]
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
        kind = kind[1:]
    if kind.startswith("{}"):
        field.label = _Field.LABEL_REPEATED
        kind = _add_map_entry(message, name, kind[2:])
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


def _add_map_entry(message: Any, name: str, kind: str) -> str:
    """On the wire a map is a list of entries; the entry's type is named after the field, as protobuf wants it."""
    entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
    entry.options.map_entry = True
    _add_field(entry, "key 1 string")
    _add_field(entry, f"value 2 {kind}")
    return f"{message.name}.{entry.name}"


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in filter(None, fields.split(", ")):
            _add_field(message, text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _MESSAGES
    }


#: The class of each message, by its name.
message = _classes()
