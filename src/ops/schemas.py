"""Writes schemas.json beside it: what ONNX's own schemas say of each op of the standard domain, opset 7 to 24.

    pip install onnx==1.23.1; python3 src/ops/schemas.py; node_modules/.bin/biome format --write src/ops/schemas.json

A version of an op is one line: since | inputs | outputs | attributes | types.
An input or output is name:type, behind the name ? if optional, *N if from there on any number from N follows.
An attribute is name=type, name!=type if required, name=type(default) if there is a default.
A type is a constraint's name, an element type, or - for what is no tensor; constraints are name=#index in "types".
"""

import json
import pathlib

import onnx
from onnx import defs

oldest, newest = 7, 24
dtypes = {
    "float": "float32", "double": "float64", "float16": "float16", "bfloat16": "bfloat16",
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16",
    "int32": "int32", "uint32": "uint32", "int64": "int64", "uint64": "uint64", "bool": "bool", "string": "string",
}  # fmt: skip
order = list(dtypes.values())
lists: list[str] = []


def tensor_types(types) -> list[str]:
    inner = [name[7:-1] for name in types if name.startswith("tensor(")]
    return sorted((dtypes[name] for name in inner if name in dtypes), key=order.index)


def reference(types) -> str:
    text = " ".join(tensor_types(types))
    if text not in lists:
        lists.append(text)
    return f"#{lists.index(text)}"


def parameter(p, constraints) -> str:
    mark = {"Optional": "?", "Variadic": f"*{p.min_arity}"}.get(p.option.name, "")
    tensors = tensor_types(p.types)
    # what is a sequence or an optional, or differs from place to place, is not checked
    open_type = not tensors or any(not t.startswith("tensor(") for t in p.types) and p.type_str not in constraints
    loose = p.option.name == "Variadic" and not p.is_homogeneous
    kind = "-" if open_type or loose else p.type_str if p.type_str in constraints else tensors[0]
    return f"{p.name}{mark}:{kind}"


kinds = {
    "FLOAT": "float", "INT": "int", "STRING": "string", "TENSOR": "tensor", "GRAPH": "graph", "FLOATS": "floats",
    "INTS": "ints", "STRINGS": "strings", "SPARSE_TENSOR": "sparse", "TYPE_PROTO": "type",
}  # fmt: skip


def attribute(name, a) -> str:
    text = f"{name}{'!' if a.required else ''}={kinds[a.type.name]}"
    if a.required or not a.default_value.type:
        return text
    value = onnx.helper.get_attribute_value(a.default_value)
    if isinstance(value, bytes):
        return f"{text}({value.decode()})"
    if isinstance(value, float):
        return f"{text}({value:.7g})"
    if isinstance(value, int):
        return f"{text}({value})"
    return text


def line(s) -> str:
    constraints = {c.type_param_str: c.allowed_type_strs for c in s.type_constraints}
    used = {c: t for c, t in constraints.items() if tensor_types(t)}
    return " | ".join(
        [
            str(s.since_version),
            " ".join(parameter(p, used) for p in s.inputs),
            " ".join(parameter(p, used) for p in s.outputs),
            " ".join(attribute(name, a) for name, a in sorted(s.attributes.items())),
            " ".join(f"{c}={reference(t)}" for c, t in used.items()),
        ]
    )


by_op: dict[str, list] = {}
for schema in defs.get_all_schemas_with_history():
    if schema.domain == "" and schema.since_version <= newest and not schema.deprecated:
        by_op.setdefault(schema.name, []).append(schema)

ops = {}
for name in sorted(by_op):
    versions = sorted(by_op[name], key=lambda s: s.since_version)
    # the newest of those that are older than the first opset still holds there
    first = max((i for i, s in enumerate(versions) if s.since_version <= oldest), default=0)
    ops[name] = [line(s) for s in versions[first:]]

table = {"source": f"onnx {onnx.__version__}, opset {oldest} to {newest}, by schemas.py", "types": lists, "ops": ops}
pathlib.Path(__file__).with_name("schemas.json").write_text(json.dumps(table, indent=2) + "\n")
