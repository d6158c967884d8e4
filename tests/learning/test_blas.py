"""The fused engine's matrix product: every way in which its factors may lie, by either library."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from learning import blas


@njit
def product(first, second, a, b, c):  # type: ignore[no-untyped-def]
    before = blas.set_threads(1)
    blas.multiply(first, second, c.shape[1], c.shape[0], a.shape[1] if first else a.shape[0], a, b, c)
    blas.set_threads(before)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 3), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_products_equal_numpys(sizes: tuple[int, int, int], first: bool, second: bool, seed: int) -> None:
    n, m, k = sizes
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((k, m)).astype(np.float32), rng.standard_normal((n, k)).astype(np.float32)
    c = np.full((n, m), np.nan, np.float32)
    lie_a, lie_b = (np.ascontiguousarray(x.T if turned else x) for x, turned in ((a, first), (b, second)))
    product(first, second, lie_a, lie_b, c)
    np.testing.assert_allclose(c, b.astype(np.float64) @ a, atol=1e-4)


def test_scipys_product_is_there_without_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: "AuthenticAMD")
    name, sgemm, threads = blas.find()
    assert name == "OpenBLAS"
    # of Fortran's, all arguments are addresses: 2 * 3 + 4 * 5
    a, b, c = (ctypes.c_float * 2)(2, 4), (ctypes.c_float * 2)(3, 5), ctypes.c_float()
    one, two = ctypes.c_int(1), ctypes.c_int(2)
    plain, scale, nothing = ctypes.c_char(b"N"), ctypes.c_float(1), ctypes.c_float(0)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(sgemm)
    numbers: list[Any] = [plain, plain, one, one, two, scale, a, one, b, two, nothing, c, one]
    call(*(ctypes.addressof(number) for number in numbers))
    assert c.value == 26
    assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(threads)(1) == 1


def test_arrays_begin_at_a_cache_line() -> None:
    for shape in (1, 7, (3, 5), (2, 100)):
        array = blas.aligned(shape)
        assert array.ctypes.data % 64 == 0
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert not array.any()
