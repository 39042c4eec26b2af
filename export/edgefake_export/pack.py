"""An exported graph made ready to ship: 2 bits a ternary weight, plain names, no trace of the machine."""

import ast
from collections import Counter
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefake_runtime import __version__
from edgefake_runtime.metadata import METADATA_KEY, ModelMetadata

from .fold import pack_int2

__all__ = ["INT2_OPSET", "finish", "pack_weights"]

INT2_OPSET = 25
"""First opset with INT2 tensors; torch writes 23, and later versions of its operators take more types."""

SCOPES = "pkg.torch.onnx.name_scopes"


def _pack(weight: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(weight)
    packed = TensorProto(data_type=TensorProto.INT2, name=f"{weight.name}.ternary", raw_data=pack_int2(values))
    packed.dims.extend(values.shape)
    return packed


def pack_weights(model: onnx.ModelProto) -> None:
    """Turn the int8 weights of MatMulInteger into INT2 initializers behind a Cast, in place.

    ONNX Runtime folds the Cast when it loads the file, so that the products still run on int8 kernels.
    """
    graph = model.graph
    names = {node.input[1] for node in graph.node if node.op_type == "MatMulInteger"}
    weights = [w for w in graph.initializer if w.name in names and w.data_type == TensorProto.INT8]
    for position, weight in enumerate(weights):
        packed = _pack(weight)
        cast = helper.make_node("Cast", [packed.name], [weight.name], f"{weight.name}/Cast", to=TensorProto.INT8)
        graph.node.insert(position, cast)
        graph.initializer.remove(weight)
        graph.initializer.append(packed)
    if weights:
        opset = next(entry for entry in model.opset_import if entry.domain == "")
        opset.version = INT2_OPSET
        model.ir_version = helper.find_min_ir_version_for(model.opset_import)


def _scope(node: onnx.NodeProto) -> str:
    """Name of the layer that a node comes from, such as "blocks.0.attention.qkv"; empty where unknown."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    names = [str(name) for name in ast.literal_eval(scopes)]
    return names[-2] if len(names) > 1 else ""


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Layer, operator and a count: "blocks.0.attention.qkv/MatMulInteger", as profilers show it."""
    seen: Counter[str] = Counter()
    for node in graph.node:
        scope = _scope(node)
        name = f"{scope}/{node.op_type}" if scope else node.op_type
        node.name = f"{name}_{seen[name]}" if seen[name] else name
        seen[name] += 1


def _strip(message: Any) -> None:
    """Delete documentation and notes (stack traces, paths) from a protobuf message and all that it holds."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for element in [value] if hasattr(value, "ListFields") else value:
                _strip(element)


def finish(model: onnx.ModelProto, metadata: ModelMetadata | None) -> onnx.ModelProto:
    """Pack, name, strip and sign an exporter's graph, in place.

    Args:
        model: as torch's exporter writes it; ternary weights are int8.
        metadata: kept under `METADATA_KEY`; None for no entry.

    Returns:
        The same model.

    Raises:
        onnx.checker.ValidationError: the graph is no valid ONNX.
    """
    _name_nodes(model.graph)
    _strip(model)
    pack_weights(model)
    del model.graph.value_info[:]  # the runtime infers them again
    model.producer_name, model.producer_version = "edgefake", __version__
    if metadata is not None:
        helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return model
