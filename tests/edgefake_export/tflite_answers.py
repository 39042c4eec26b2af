"""TFLite files run in LiteRT and read back, and layers with stored weights."""

from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from torch import Tensor, nn

from edgefake.quantized import Activations, QuantizedLayer, store
from edgefake_export.tflite_flatbuffer import parse


def quantized(
    layer: nn.Linear | nn.Conv2d,
    *,
    method: str = "absmax",
    bits: int = 8,
    per: str = "channel",
    activations: str = "absmax",
    activation_bits: int = 8,
) -> QuantizedLayer:
    stored = store(layer.weight.detach(), method=method, bits=bits, per=per)
    return QuantizedLayer(layer, stored, Activations(activations, activation_bits))


def interpreter(data: bytes, *, builtin: bool = False) -> Any:
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if builtin else OpResolverType.AUTO
    opened = Interpreter(model_content=data, experimental_op_resolver_type=resolver, num_threads=1)
    opened.allocate_tensors()
    return opened


def run(data: bytes, images: Tensor, *, builtin: bool = False) -> Tensor:
    runner = interpreter(data, builtin=builtin).get_signature_runner("serving_default")
    return torch.from_numpy(np.concatenate([runner(image=image[None].numpy())["logits"] for image in images]))


def partitions(data: bytes) -> int:
    """XNNPACK's; all operators are in it where it is 1, from the input to the output."""
    opened = interpreter(data)
    delegates = [step for step in opened._get_ops_details() if step["op_name"] == "DELEGATE"]
    if len(delegates) == 1:
        computed = {int(i) for step in opened._get_ops_details() for i in step["outputs"]}
        assert opened.get_output_details()[0]["index"] in delegates[0]["outputs"]
        assert not computed & set(map(int, delegates[0]["inputs"]))
    return len(delegates)


def stored(data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Type, shape and bytes of each named constant."""
    model = parse(data)
    types = {number: name for name, number in vars(model.schema.TensorType).items() if not name.startswith("_")}
    return {
        tensor.name.decode(): (types[tensor.type], tuple(map(int, tensor.shape)), model.constant(tensor).tobytes())
        for tensor in model.graph.tensors
        if tensor.name is not None and model.constant(tensor) is not None
    }


def relative_error(data: bytes, network: nn.Module, images: Tensor) -> float:
    """Largest difference of the logits over their rms, one image at a time; verdicts must agree."""
    with torch.no_grad():
        expected = torch.cat([network(image[None]) for image in images])
    got = run(data, images)
    assert torch.equal(got.argmax(1), expected.argmax(1))
    return float((got - expected).abs().max() / expected.square().mean().sqrt())
