"""The matrix product of the fused engine: that of MKL, which PyTorch brings for Intel's processors, else SciPy's.

At a batch of 64 and layers of 256, MKL's takes four fifths of the time of OpenBLAS's.
"""

# numba's decorator has no types: kernels are typed by hand and checked by their tests
# mypy: allow-untyped-decorators
from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import get_cython_function_address, intrinsic
from numpy.typing import NDArray
from scipy.linalg import cython_blas  # noqa: F401, it must be loaded to be limited to one thread

SGEMM, THREADS = "tidepool_sgemm", "tidepool_blas_threads"
ALIGNMENT = 16  # numbers, a cache line: MKL's sums may depend on where an array begins


def find() -> tuple[str, int, int]:
    """Return the name of the library, and the addresses of its ``sgemm`` and of what limits a thread's threads."""
    cpu = Path("/proc/cpuinfo")
    if cpu.exists() and "GenuineIntel" in cpu.read_text():
        try:
            library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
            return "MKL", _address(library.sgemm_), _address(library.MKL_Set_Num_Threads_Local)
        except (OSError, AttributeError):  # a PyTorch that was built without it
            pass
    # of SciPy's, `threadpool_limits` limits all threads at once; abs stands for a function that changes nothing
    c = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    return "OpenBLAS", get_cython_function_address("scipy.linalg.cython_blas", "sgemm"), _address(c.abs)


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


LIBRARY, _sgemm, _threads = find()
# by name, so that compiled kernels can be kept: an address is another one in each process
llvm.add_symbol(SGEMM, _sgemm)
llvm.add_symbol(THREADS, _threads)
set_threads: Any = types.ExternalFunction(THREADS, types.int32(types.int32))


@intrinsic
def _multiply(typing, first, second, m, n, k, a, b, c):  # type: ignore[no-untyped-def]
    """Fill c (n, m) with the product of b (n, k) and a (k, m), float32 and contiguous.

    Where ``first`` is true, ``a`` lies there transposed, (m, k); where ``second``, ``b`` does, (k, n). For Fortran,
    whose arrays are transposed, a is the first factor.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        integer, char, real = ir.IntType(32), ir.IntType(8), ir.FloatType()

        def there(value: Any) -> Any:
            """Return the address of a value: Fortran wants no other arguments."""
            slot = alloca(value.type)
            builder.store(value, slot)
            return slot

        def alloca(kind: Any) -> Any:
            with builder.goto_entry_block():  # once a function, however often a loop comes here
                return builder.alloca(kind)

        transposed = [builder.trunc(flag, ir.IntType(1)) for flag in args[:2]]
        m, n, k = (builder.trunc(size, integer) for size in args[2:5])
        letters = [there(builder.select(flag, char(ord("T")), char(ord("N")))) for flag in transposed]
        data = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[5:], args[5:], strict=True)
        ]
        rows_a, rows_b = builder.select(transposed[0], k, m), builder.select(transposed[1], n, k)
        values = [*letters, there(m), there(n), there(k), there(real(1.0)), data[0], there(rows_a)]
        values += [data[1], there(rows_b), there(real(0.0)), data[2], there(m)]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        function = builder.module.globals.get(SGEMM) or ir.Function(builder.module, kind, SGEMM)
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(types.boolean, types.boolean, types.int64, types.int64, types.int64, a, b, c), generate


multiply: Any = _multiply  # without numba's own argument


def aligned(shape: int | tuple[int, ...]) -> NDArray[np.float32]:
    """Return zeros that begin at a cache line."""
    size = int(np.prod(shape))
    memory = np.zeros(size + ALIGNMENT, np.float32)
    first = -(memory.ctypes.data // memory.itemsize) % ALIGNMENT
    return memory[first : first + size].reshape(shape)
