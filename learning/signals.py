"""How two threads in compiled code tell each other of jobs, without Python's lock.

A job has a number. The first thread claims the next one, writes the job's arrays and posts it; the second one watches.
All of it goes through one array of whole numbers, `SIGNALS` long, whose entries are read and written as indivisible
steps.
"""

# numba's decorator has no types: kernels are typed by hand and checked by their tests
# mypy: allow-untyped-decorators
from __future__ import annotations

import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from common.kernels import cached_njit

kernel = cached_njit(nogil=True)

# numbers of jobs in `signals`: the last one that was written or is being written, that may be worked on, that the
# second thread entered, that it left; and whether it watches
CLAIMED, POSTED, ENTERED, LEFT, AWAKE = range(0, 40, 8)
SIGNALS = 40


@intrinsic
def fetch_add(typing, array, index):  # type: ignore[no-untyped-def]
    """Add 1 to an entry of an int64 array as one indivisible step; return what it was."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(array, types.intp), generate


@intrinsic
def swap(typing, array, index, value):  # type: ignore[no-untyped-def]
    """Put a value into an entry of an int64 array, for all threads from now on; return what it was."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        value = context.cast(builder, args[2], signature.args[2], types.int64)
        return builder.atomic_rmw("xchg", builder.gep(data, [args[1]]), value, "seq_cst")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def load(typing, array, index):  # type: ignore[no-untyped-def]
    """Return an entry of an int64 array as other threads have left it."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "seq_cst", 8)

    return types.int64(array, types.intp), generate


if sys.platform == "win32":

    @kernel
    def let_others_run() -> None:
        """Do nothing: a wait here is a few millionths of a second, unless the other thread has lost its core."""

else:
    sched_yield = types.ExternalFunction("sched_yield", types.int32())

    @kernel
    def let_others_run() -> None:
        """Offer the core to whoever waits for one: it may be the thread that is waited for."""
        sched_yield()


@kernel
def claim(signals):  # type: ignore[no-untyped-def]
    """Return the next job's number, when the second thread has left the one before: its arrays may be written."""
    number = load(signals, CLAIMED) + 1  # type: ignore[call-arg]
    swap(signals, CLAIMED, number)
    while load(signals, ENTERED) != load(signals, LEFT):
        let_others_run()
    return number


@kernel
def post(signals, number):  # type: ignore[no-untyped-def]
    """Let the second thread see that a job is written; return whether it watches."""
    swap(signals, POSTED, number)  # type: ignore[call-arg]
    return load(signals, AWAKE) != 0
