"""What integer layers have in common made once, and what ONNX Runtime would get wrong kept from it."""

import onnx
from onnx import numpy_helper

__all__ = ["separate_sums", "share_zero_points"]

Shape = tuple[int | str, ...]


def share_zero_points(model: onnx.ModelProto) -> None:
    """Keep one of the `Expand`s of one constant to one shape, in place.

    QuantizeLinear wants as many zero-points as scales, all 128 here: a vector as long as there are rows. Encoder layers
    have as many rows as each other, but each would fill a vector of its own.

    Args:
        model: of a graph whose shapes onnx can infer, with names for the free axes.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {value.name: _shape(value) for value in graph.value_info}
    makers = {name: node for node in model.graph.node for name in node.output}
    first: dict[tuple[str, Shape], str] = {}
    same: dict[str, str] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
        if node.op_type != "Expand":
            continue
        sizes = makers.get(node.input[1])
        shape = shapes.get(sizes.input[0]) if sizes is not None and sizes.op_type == "Shape" else None
        if shape is not None:
            same[node.output[0]] = first.setdefault((node.input[0], shape), node.output[0])
    _drop_unread(model.graph)


def _shape(value: onnx.ValueInfoProto) -> Shape | None:
    """Sizes and names of the axes; None where one is neither."""
    axes = value.type.tensor_type.shape.dim
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param for axis in axes)
    return shape if axes and "" not in shape else None


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Without the nodes Expand and Shape whose answers nobody reads."""
    for kind in ("Expand", "Shape"):
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        kept = [node for node in graph.node if node.op_type != kind or node.output[0] in read]
        del graph.node[:]
        graph.node.extend(kept)


def separate_sums(graph: onnx.GraphProto) -> None:
    """Write a sum of rescaled whole numbers and a constant row as a difference, in place.

    ONNX Runtime (1.24 to 1.32 at least) takes Cast(MatMulInteger) * (a * b) + row for one operator, in which it
    multiplies the row by a as well.
    """
    makers = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        rows = [place for place, name in enumerate(node.input) if name in weights and len(weights[name].dims) == 1]
        if node.op_type != "Add" or len(rows) != 1 or not _is_rescaled(node.input[1 - rows[0]], makers):
            continue
        row = weights[node.input[rows[0]]]
        negative = f"{row.name}/negative"
        if negative not in weights:
            weights[negative] = numpy_helper.from_array(-numpy_helper.to_array(row), negative)
            graph.initializer.append(weights[negative])
        inputs = [node.input[1 - rows[0]], negative]
        del node.input[:]
        node.input.extend(inputs)
        node.op_type = "Sub"


def _is_rescaled(name: str, makers: dict[str, onnx.NodeProto]) -> bool:
    """Whether a value is the product of whole numbers, as floats, and of another product."""

    def kinds(node: onnx.NodeProto) -> list[str]:
        return [makers[value].op_type if value in makers else "" for value in node.input]

    product = makers.get(name)
    if product is None or product.op_type != "Mul" or sorted(kinds(product)) != ["Cast", "Mul"]:
        return False
    cast = next(makers[value] for value in product.input if makers[value].op_type == "Cast")
    return kinds(cast) == ["MatMulInteger"]
