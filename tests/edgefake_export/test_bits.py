"""Levels at 2, 4 and 8 bits: out and back, as the formats have them."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from edgefake_export.bits import pack_levels, unpack_levels

WIDTHS = st.sampled_from([2, 4, 8])
ONNX_TYPES = {2: TensorProto.INT2, 4: TensorProto.INT4, 8: TensorProto.INT8}


def levels(seed, bits, shape):
    half = 2 ** (bits - 1)
    return np.random.default_rng(seed).integers(-half, half, shape).astype(np.int8)


@given(st.integers(0, 2**31), WIDTHS, st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_out_and_back(seed, bits, shape):
    values = levels(seed, bits, shape)
    raw = pack_levels(values, bits)
    assert len(raw) == -(-values.size * bits // 8)
    np.testing.assert_array_equal(unpack_levels(raw, bits, shape), values)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_onnx_reads_the_same_values(bits):
    values = levels(0, bits, (7, 9))
    tensor = onnx.TensorProto(data_type=ONNX_TYPES[bits], dims=[7, 9], raw_data=pack_levels(values, bits))
    np.testing.assert_array_equal(numpy_helper.to_array(tensor).astype(np.int8), values)


def test_element_0_is_lowest():
    assert pack_levels(np.int8([1, 0, 0, 0, -1]), 2) == bytes([1, 3])
    assert pack_levels(np.int8([1, -8]), 4) == bytes([0x81])


@pytest.mark.parametrize(("values", "bits"), [([2], 2), ([-3], 2), ([8], 4), ([0], 3), ([0], 16)])
def test_what_does_not_fit_is_refused(values, bits):
    with pytest.raises(ValueError, match="expected"):
        pack_levels(np.int8(values), bits)


def test_other_counts_are_refused():
    with pytest.raises(ValueError, match="expected 2 bytes, got 1"):
        unpack_levels(b"\0", 2, (5,))
