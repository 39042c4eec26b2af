r"""Times the classifier's exported graphs beside float ones, and beside ONNX Runtime's own 8-bit quantization.

    python scripts/bench_classifier.py [--model s16] [--rounds 40]

One picture, one thread, all in one process in turns. Weights are random: what they are does not change how long they
take. Compared are, of BitViT-S/16 (224 pixels) unless told otherwise,

- the 2-bit ONNX file, and the 2-bit TFLite file in LiteRT with whichever width is faster here,
- LinViT's 32-bit ONNX file, the "float file" of the ratios,
- what `onnxruntime.quantization.quantize_dynamic` makes of LinViT's graph of opset 18, preprocessed as its manual says;
  of the float file's graph, of opset 23, it makes one with an Attention that ONNX Runtime refuses,
- the same of the products alone of the float file, told to leave everything else: the fastest that can be made with it.

The limit is what cannot be left out: the layers' whole-number products alone, and attention between floats, each as
ONNX Runtime runs it, in the same turns.
"""

import argparse
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from bench_figures import Figure
from bench_turns import in_turns, most_foreign, ratio
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgefake.models import CONFIGURATIONS, ViTConfig, build
from edgefake_export import to_onnx, to_tflite
from edgefake_export.onnx_convert import PLAIN_OPSET, trace
from edgefake_export.onnx_lower import lower
from edgefake_export.onnx_pack import finish
from edgefake_runtime.engine import open_engine
from edgefake_runtime.session import open_session

Run = Callable[[], tuple[float, float]]

RIVALS = ("ONNX Runtime's dynamic 8 bits", "the same of the float file's products")


TURN_S = 0.1
"""Least seconds of a turn of the float file, since the machine counts its busy cores in hundredths."""


def timed(run: Callable[[], object], repeats: int) -> Run:
    """So many calls, with their wall and CPU seconds."""

    def seconds() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            run()
        return time.perf_counter() - wall, time.process_time() - cpu

    return seconds


def file_of(data: bytes, image: np.ndarray) -> Callable[[], object]:
    """A model file on one picture, on one thread."""
    engine = open_engine(data, 1)
    engine.start()
    return lambda: engine.run(image)


def foreign_onnx(data: bytes, image: np.ndarray) -> Callable[[], object]:
    """An ONNX file that is not ours."""
    session = open_session(data, 1)
    return lambda: session.run(None, {"image": image})


def dynamic(folder: Path, whole: onnx.ModelProto, plain: onnx.ModelProto) -> Iterator[bytes]:
    """ONNX Runtime's dynamic 8-bit forms of one network: of a plain graph, and of the products of any."""
    source, target = folder / "float.onnx", folder / "8-bit.onnx"
    onnx.save(plain, source)
    quant_pre_process(source, source, skip_symbolic_shape=True)
    quantize_dynamic(source, target, weight_type=QuantType.QInt8)
    yield target.read_bytes()
    onnx.save(whole, source)
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    yield target.read_bytes()


def inevitable(config: ViTConfig) -> bytes:
    """The whole-number products of a network's layers, and its attentions, each with inputs of its own."""
    tokens, dim = config.grid**2, config.dim
    widths = [(15 * config.patch_size**2, dim)]
    widths += [(dim, 3 * dim), (dim, dim), (dim, config.ffn_dim), (config.ffn_dim, dim)] * config.depth
    nodes, inputs, outputs = [], [helper.make_tensor_value_info("qkv", TensorProto.FLOAT, [1, tokens, dim])], []
    levels = np.random.default_rng(0)
    weights = [numpy_helper.from_array(np.uint8(128), "zero")]
    for number, (width, out) in enumerate(widths):
        weights.append(numpy_helper.from_array(levels.integers(-1, 2, (width, out), np.int8), f"w{number}"))
        nodes.append(helper.make_node("MatMulInteger", [f"x{width}", f"w{number}", "zero"], [f"y{number}"]))
        outputs.append(helper.make_tensor_value_info(f"y{number}", TensorProto.INT32, [1, tokens, out]))
    for width in sorted({width for width, _ in widths}):
        inputs.append(helper.make_tensor_value_info(f"x{width}", TensorProto.UINT8, [1, tokens, width]))
    for number in range(config.depth):
        heads = {"q_num_heads": config.heads, "kv_num_heads": config.heads}
        # Another scale each, or ONNX Runtime would run one for all.
        scale = dim**-0.5 * (1 + number / 100)
        nodes.append(helper.make_node("Attention", ["qkv"] * 3, [f"a{number}"], scale=scale, **heads))
        outputs.append(helper.make_tensor_value_info(f"a{number}", TensorProto.FLOAT, [1, tokens, dim]))
    graph = helper.make_graph(nodes, "inevitable", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)
    return bytes(model.SerializeToString())


def all_of(data: bytes) -> Callable[[], object]:
    """A graph on numbers from a fixed seed."""
    session = open_session(data, 1)
    random, feeds = np.random.default_rng(0), {}
    for value in session.get_inputs():
        whole = value.type == "tensor(uint8)"
        feeds[value.name] = (
            random.integers(0, 256, value.shape, np.uint8) if whole else random.standard_normal(value.shape, np.float32)
        )
    return lambda: session.run(None, feeds)


def contestants(size: str, folder: Path, *, rivals: bool) -> Mapping[str, Run]:
    """What takes turns, by name."""
    torch.manual_seed(0)
    ternary, floats = build(f"bitvit-{size}").eval(), build(f"linvit-{size}").eval()
    config = CONFIGURATIONS[f"bitvit-{size}"]
    assert isinstance(config, ViTConfig), f"{size}: expected a size of BitViT"
    example = torch.zeros(1, 3, config.image_size, config.image_size)
    image = np.random.default_rng(0).standard_normal(tuple(example.shape), np.float32)
    whole = to_onnx(floats, example=example, bits=32)
    runs = {
        "2-bit ONNX": file_of(to_onnx(ternary, example=example, bits=2).SerializeToString(), image),
        "2-bit TFLite": file_of(to_tflite(ternary, example=example, bits=2), image),
        "float ONNX": file_of(whole.SerializeToString(), image),
        "inevitable": all_of(inevitable(config)),
    }
    if rivals:
        plain = finish(trace(lower(floats, bits=32), example, PLAIN_OPSET), None, slim=True)
        for rival, data in zip(RIVALS, dynamic(folder, whole, plain), strict=True):
            runs[rival] = foreign_onnx(data, image)
    once, _ = min(timed(runs["float ONNX"], 1)() for _ in range(3))
    return {name: timed(run, math.ceil(TURN_S / once)) for name, run in runs.items()}


def bench_classifier(size: str = "s16", *, rounds: int, rivals: bool = True) -> Iterator[Figure]:
    """Ratios of one size of BitViT: to the float file, and to what ONNX Runtime makes of it by itself."""
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer's advice
    with tempfile.TemporaryDirectory() as name:
        runs = contestants(size, Path(name), rivals=rivals)
    found = in_turns(list(runs.values()), rounds)
    place, foreign = {name: number for number, name in enumerate(runs)}, most_foreign(found)
    for file, target in (("2-bit ONNX", 0.45), ("2-bit TFLite", 0.50)):
        for other in ("float ONNX", *(RIVALS if rivals else ())):
            limit = ratio(found, place["inevitable"], place[other])
            value = ratio(found, place[file], place[other])
            aim = target if other == "float ONNX" else 1.0
            yield Figure(f"{size}: {file} by {other}", value, aim, limit, "ratio", foreign)


def main() -> int:
    """Runs the command line; returns its exit status: 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="s16", help="size of BitViT")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each")
    options = parser.parse_args()
    missed = 0
    for figure in bench_classifier(options.model, rounds=options.rounds):
        print(figure, flush=True)
        missed += not figure.is_met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
