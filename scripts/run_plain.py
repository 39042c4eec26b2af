"""Run a model file on the runtime alone: what `oldest_runtimes.py` starts in each environment.

    python scripts/run_plain.py FILE INPUTS.npy OUTPUTS.npy

Needs numpy and one of onnxruntime, ai-edge-litert and tflite-runtime, of any version, and no part of edgefake; it keeps
to what Python 3.8 knows.
"""

import sys

import numpy as np

FATAL = 4


def run_onnx(file: str, inputs: np.ndarray) -> np.ndarray:
    """All inputs at once, in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = FATAL
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": inputs})[0])


def run_tflite(file: str, inputs: np.ndarray) -> np.ndarray:
    """One input after the other, in whichever interpreter there is."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        from tflite_runtime.interpreter import Interpreter

    interpreter = Interpreter(model_path=file, num_threads=1)
    interpreter.allocate_tensors()
    found = []
    for item in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], item[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(found)


if __name__ == "__main__":
    run = run_tflite if sys.argv[1].endswith(".tflite") else run_onnx
    np.save(sys.argv[3], run(sys.argv[1], np.load(sys.argv[2])))
