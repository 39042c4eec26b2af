"""What integer layers have in common made once, and what ONNX Runtime would get wrong kept from it."""

import math
from collections import Counter
from collections.abc import Iterator

import onnx
from onnx import numpy_helper

__all__ = ["separate_sums", "share_zero_points"]

Shape = tuple[int | str, ...]


def share_zero_points(model: onnx.ModelProto) -> None:
    """Give QuantizeLinears of as many scales as each other one vector of zero-points, in place.

    QuantizeLinear wants as many zero-points as scales, all 128 here: a vector as long as there are rows. Encoder layers
    have as many rows as each other, but each would fill a vector of its own.

    Args:
        model: of a graph whose shapes onnx can infer, with names for the free axes.
    """
    graph = model.graph
    shapes = {value.name: _shape(value) for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    makers = {name: node for node in graph.node for name in node.output}
    first: dict[tuple[str, Shape], str] = {}
    replaced: set[str] = set()
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or len(node.input) < 3:
            continue
        expand = makers.get(node.input[2])
        sizes = makers.get(expand.input[1]) if expand is not None and expand.op_type == "Expand" else None
        if expand is None or sizes is None or sizes.op_type != "Shape" or any(a.name == "end" for a in sizes.attribute):
            continue
        shape = shapes.get(sizes.input[0])
        shared = first.setdefault((expand.input[0], shape), node.input[2]) if shape is not None else node.input[2]
        if shared != node.input[2]:
            replaced |= {node.input[2], expand.input[1]}
            node.input[2] = shared
    _drop_unread(graph, replaced)


def _shape(value: onnx.ValueInfoProto) -> Shape | None:
    """Sizes and names of the axes; None where one is neither."""
    axes = value.type.tensor_type.shape.dim
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param for axis in axes)
    return shape if axes and "" not in shape else None


def _drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Without the nodes that make these values, from the last one on, where nothing reads them any more."""
    read = Counter(_reads(graph)) + Counter(output.name for output in graph.output)
    kept = []
    for node in reversed(graph.node):
        if names.issuperset(node.output) and not any(read[name] for name in node.output):
            read.subtract(node.input)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _reads(graph: onnx.GraphProto) -> Iterator[str]:
    """Names that nodes read, those of graphs inside nodes too."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _reads(inner)


def separate_sums(graph: onnx.GraphProto) -> None:
    """Write a sum of rescaled whole numbers and a constant row as a difference, in place.

    ONNX Runtime (1.24 to 1.32 at least) takes Cast(MatMulInteger) * (a * b) + row for one operator, in which it
    multiplies the row by a as well.
    """
    makers = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        rows = [place for place, name in enumerate(node.input) if name in weights and _is_row(weights[name])]
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


def _is_row(weight: onnx.TensorProto) -> bool:
    return len(weight.dims) > 0 and math.prod(weight.dims[:-1]) == 1


def _is_rescaled(name: str, makers: dict[str, onnx.NodeProto]) -> bool:
    """Whether a value is the product of whole numbers, as floats, and of another product."""

    def kinds(node: onnx.NodeProto) -> list[str]:
        return [makers[value].op_type if value in makers else "" for value in node.input]

    product = makers.get(name)
    if product is None or product.op_type != "Mul" or sorted(kinds(product)) != ["Cast", "Mul"]:
        return False
    cast = next(makers[value] for value in product.input if makers[value].op_type == "Cast")
    return kinds(cast) == ["MatMulInteger"]
