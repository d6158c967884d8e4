"""The loops of the fused engine: forward, backward, Adam and the work of two threads over flat float32 arrays.

A network is one flat array of parameters and a table with a row a layer. Products of matrices are calls of BLAS, see
`learning.blas`; all else is compiled here. Nothing is allocated in an update.
"""

# numba's decorator has no types: kernels are typed by hand and checked by their tests
# mypy: allow-untyped-decorators
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.kernels import cached_njit
from learning.blas import multiply, set_threads
from learning.replay import Draws
from learning.signals import AWAKE, CLAIMED, ENTERED, LEFT, POSTED, fetch_add, let_others_run, load, swap

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

PARTS = 2  # of a batch, for two threads; also where there is one, so that the sums are the same
INPUTS, OUTPUTS, WEIGHT, BIAS, UNITS = range(5)  # columns of a layer: sizes, and where its arrays begin
NONE, MERGED, SEPARATE = range(3)  # dueling: no; one matrix makes values and advantages; a stream each

# Sums may be taken in another order, so that they use vector instructions; infinities and NaN stay what they are.
kernel = cached_njit(nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")


# ------------------------------------------------------------------ one layer


@kernel
def rectify(x, bias):  # type: ignore[no-untyped-def]
    """Add the biases (D,) and apply ReLU to x (B, D), in place; NaN stays NaN."""
    zero = np.float32(0.0)
    for b in range(x.shape[0]):
        for j in range(x.shape[1]):
            v = x[b, j] + bias[j]
            x[b, j] = zero if v <= zero else v


@kernel
def add_bias(x, bias):  # type: ignore[no-untyped-def]
    """Add the biases (D,) to x (B, D), in place."""
    for b in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[b, j] += bias[j]


@kernel
def mask(d, x):  # type: ignore[no-untyped-def]
    """Set the gradient d (B, D) to 0 where ReLU's output x (B, D) is, in place."""
    zero = np.float32(0.0)
    slopes, outputs = d.reshape(d.size), x.reshape(x.size)
    for i in range(slopes.size):
        slopes[i] = zero if outputs[i] <= zero else slopes[i]  # a choice, no branch: it becomes vector instructions


@kernel
def weights(parameters, layer):  # type: ignore[no-untyped-def]
    """Return a layer's weights, (outputs, inputs), as a view."""
    at, size = layer[WEIGHT], layer[INPUTS] * layer[OUTPUTS]
    return parameters[at : at + size].reshape((layer[OUTPUTS], layer[INPUTS]))


@kernel
def biases(parameters, layer):  # type: ignore[no-untyped-def]
    """Return a layer's biases, (outputs,), as a view."""
    return parameters[layer[BIAS] : layer[BIAS] + layer[OUTPUTS]]


@kernel
def units(buffer, layer, batch):  # type: ignore[no-untyped-def]
    """Return where a layer's outputs lie in a buffer, (batch, outputs), as a view."""
    at = layer[UNITS] * batch
    return buffer[at : at + batch * layer[OUTPUTS]].reshape((batch, layer[OUTPUTS]))


@kernel
def backward_layer(parameters, gradient, layer, x, d):  # type: ignore[no-untyped-def]
    """Fill the gradients of a layer's weights and biases from its inputs x and its outputs' gradient d."""
    multiply(False, True, x.shape[1], d.shape[1], d.shape[0], x, d, weights(gradient, layer))
    bias = biases(gradient, layer)
    bias[:] = np.float32(0.0)
    for b in range(d.shape[0]):
        for j in range(d.shape[1]):
            bias[j] += d[b, j]


# ------------------------------------------------------------------ the network


@kernel
def forward(parameters, layers, trunk, dueling, x, buffer, q):  # type: ignore[no-untyped-def]
    """Compute the expectations q (B, A) of inputs x (B, D); each layer's outputs stay in the buffer.

    ``layers``: first ``trunk`` shared ones, then the head's, then as many of the value's stream if it is separate.
    """
    batch, actions = q.shape
    streams = 2 if dueling == SEPARATE else 1
    depth = (layers.shape[0] - trunk) // streams  # layers of a stream
    features = x
    for k in range(trunk):
        features = forward_layer(parameters, layers[k], features, buffer, True)
    for stream in range(streams):
        h = features
        for k in range(depth):
            h = forward_layer(parameters, layers[trunk + stream * depth + k], h, buffer, k < depth - 1)
    out = units(buffer, layers[trunk + depth - 1], batch)  # (B, A), with merged values (B, A + 1)
    if dueling == NONE:
        q[:] = out
        return
    for b in range(batch):
        mean = np.float32(0.0)
        for a in range(actions):
            mean += out[b, a]
        mean /= np.float32(actions)
        value = out[b, actions] if dueling == MERGED else units(buffer, layers[-1], batch)[b, 0]
        for a in range(actions):
            q[b, a] = value + out[b, a] - mean


@kernel
def forward_layer(parameters, layer, x, buffer, rectified):  # type: ignore[no-untyped-def]
    """Return a layer's outputs, (B, outputs), in the buffer."""
    h = units(buffer, layer, x.shape[0])
    multiply(True, False, h.shape[1], x.shape[0], x.shape[1], weights(parameters, layer), x, h)
    if rectified:
        rectify(h, biases(parameters, layer))
    else:
        add_bias(h, biases(parameters, layer))
    return h


@kernel
def backward(parameters, gradient, layers, trunk, dueling, x, buffer, slopes, spare, d_q):  # type: ignore[no-untyped-def]
    """Fill the gradient of all parameters from that of the expectations, d_q (B, A).

    ``buffer`` holds each layer's outputs, ``slopes`` receives their gradients; ``spare`` (B * D,) is room for the
    second stream's gradient of the D features.
    """
    batch = d_q.shape[0]
    streams = 2 if dueling == SEPARATE else 1
    depth = (layers.shape[0] - trunk) // streams
    backward_streams(units(slopes, layers[trunk + depth - 1], batch), units(slopes, layers[-1], batch), dueling, d_q)
    features = units(buffer, layers[trunk - 1], batch) if trunk > 0 else x
    for stream in range(streams):
        first = trunk + stream * depth
        for k in range(first + depth - 1, first, -1):
            d = units(slopes, layers[k], batch)
            backward_layer(parameters, gradient, layers[k], units(buffer, layers[k - 1], batch), d)
            backward_inputs(parameters, layers[k], d, units(slopes, layers[k - 1], batch))
            mask(units(slopes, layers[k - 1], batch), units(buffer, layers[k - 1], batch))
        d = units(slopes, layers[first], batch)
        backward_layer(parameters, gradient, layers[first], features, d)
        if trunk > 0:
            into = units(slopes, layers[trunk - 1], batch)
            if stream == 0:
                backward_inputs(parameters, layers[first], d, into)
            else:
                more = spare[: into.size].reshape(into.shape)
                backward_inputs(parameters, layers[first], d, more)
                into += more
    for k in range(trunk - 1, -1, -1):
        d = units(slopes, layers[k], batch)
        mask(d, units(buffer, layers[k], batch))
        before = units(buffer, layers[k - 1], batch) if k > 0 else x
        backward_layer(parameters, gradient, layers[k], before, d)
        if k > 0:
            backward_inputs(parameters, layers[k], d, units(slopes, layers[k - 1], batch))


@kernel
def backward_streams(out, value, dueling, d_q):  # type: ignore[no-untyped-def]
    """Fill the gradient of the last layer's outputs, (B, A) or (B, A + 1), or of both streams', from d_q (B, A)."""
    batch, actions = d_q.shape
    if dueling == NONE:
        out[:] = d_q
        return
    for b in range(batch):
        total = np.float32(0.0)
        for a in range(actions):
            total += d_q[b, a]
        for a in range(actions):
            out[b, a] = d_q[b, a] - total / np.float32(actions)
        if dueling == MERGED:
            out[b, actions] = total
        else:
            value[b, 0] = total


@kernel
def backward_inputs(parameters, layer, d, into):  # type: ignore[no-untyped-def]
    """Fill the gradient of a layer's inputs, (B, inputs), from that of its outputs d (B, outputs)."""
    multiply(False, False, into.shape[1], d.shape[0], d.shape[1], weights(parameters, layer), d, into)


# ------------------------------------------------------------------ one update


@kernel
def td_slopes(  # type: ignore[no-untyped-def]
    q, next_q, selecting, image, swapped, action, reward, discount, weight, squared, whole, d_q, priority
):
    """Fill the loss's gradient d_q (B, A) and the priorities (B,); return the sums of losses and of expectations.

    The next action is the best of ``selecting``, valued by ``next_q``, (B, A) each. The loss is the mean over
    ``whole`` transitions, of which these are a part. The actions of an observation's ``image`` are ``swapped``.
    """
    batch, actions = q.shape
    one, half = np.float32(1.0), np.float32(0.5)
    share = one / np.float32(whole)
    loss, total = np.float32(0.0), np.float32(0.0)
    d_q[:] = np.float32(0.0)
    for b in range(batch):
        best = 0
        for a in range(1, actions):  # what is no number counts as the best, as in PyTorch: it must not be passed over
            if selecting[b, a] > selecting[b, best] or np.isnan(selecting[b, a]):
                best = a
        taken = swapped[int(image[b, 0]), action[b]]
        q_taken = q[b, taken]
        td_error = reward[b] + discount[b] * next_q[b, best] - q_taken
        size = abs(td_error)
        priority[b] = size
        total += q_taken
        if squared or size < one:
            loss += weight[b] * (half * td_error * td_error)
            d_q[b, taken] = -weight[b] * td_error * share
        else:
            loss += weight[b] * (size - half)
            d_q[b, taken] = -weight[b] * (td_error / size) * share
    return loss, total


@kernel
def sum_up(gradients):  # type: ignore[no-untyped-def]
    """Add all gradients (P, N) to the first one; return the norm of the sum."""
    total = np.float32(0.0)
    first = gradients[0]
    for part in range(1, gradients.shape[0]):
        for i in range(first.size):
            first[i] += gradients[part, i]
    for i in range(first.size):
        total += first[i] * first[i]
    return np.sqrt(total)


@kernel
def adam(parameters, gradient, share, mean, square, step, rate, epsilon):  # type: ignore[no-untyped-def]
    """Move the parameters by Adam's ``step``-th step, by a share of the gradient. Kingma and Ba 2014."""
    one, beta1, beta2 = np.float32(1.0), np.float32(0.9), np.float32(0.999)
    root = np.sqrt(1.0 - 0.999**step)  # of the second correction: both sides of the fraction are multiplied by it
    size, small = np.float32(rate * root / (1.0 - 0.9**step)), np.float32(epsilon * root)
    for i in range(parameters.size):
        g = share * gradient[i]
        mean[i] += (one - beta1) * (g - mean[i])
        square[i] = beta2 * square[i] + (one - beta2) * (g * g)
        parameters[i] -= size * mean[i] / (np.sqrt(square[i]) + small)


# ------------------------------------------------------------------ two threads


class Network(NamedTuple):
    """What the kernels know of a network and its optimiser."""

    online: F32  # (N,) all parameters
    target: F32  # (N,)
    mean: F32  # (N,) of gradients, Adam's
    square: F32  # (N,) of their squares
    gradients: F32  # (PARTS, N)
    layers: I64  # (L, 5)
    factor: F32  # (2^M, D) of the observations' images
    by: I64  # (M,) numbers that decide which image is the canonical one, see `envs.Mirrors`; M is 0: there are none
    order: I64  # (2^M, D) of an image's numbers
    swapped: I64  # (2^M, A) its actions
    trunk: int
    dueling: int
    actions: int
    double: bool
    squared: bool


class Schedule(NamedTuple):
    """What holds for the updates of one step."""

    due: float  # updates to be made
    step: float  # of Adam, before the first of them
    rate: float  # Adam's step size
    epsilon: float  # Adam's
    max_norm: float  # of gradients; 0: they are not clipped
    updates: float  # of the learner, before the first of them
    target_period: float  # updates; 0: never


DUE, STEP, RATE, EPSILON, MAX_NORM, UPDATES, TARGET_PERIOD = range(7)  # where they lie in an array


class Job(NamedTuple):
    """The updates of one step, at most U, and room for them; the same arrays for every step."""

    schedule: F64  # (7,) a `Schedule`
    draws: Draws  # of U batches
    obs: Any  # (records, D) of the replay
    room: F32  # (PARTS, ...) to work in, see `room_size`
    turns: I64  # (3, U) parts taken, parts ended, whether the parameters have moved
    loss: F32  # (U, PARTS) receives the summed losses,
    mean_q: F32  # (U, PARTS) the summed expectations of the actions taken,
    priority: F32  # (U, B) the priorities
    signals: I64  # between the two threads, each on a cache line of its own


PATIENCE = 5_000  # looks at `signals` before the second thread goes to sleep: one to two milliseconds


@kernel
def work(network, job):  # type: ignore[no-untyped-def]
    """Make a job's updates, alone or together with another thread that calls this with the same arguments.

    A batch has `PARTS` parts, of which each thread takes the next one; whoever ends the last one moves the parameters.
    The sums do not depend on who did what.
    """
    turns, batch = job.turns, job.draws.start.shape[1]
    before = set_threads(1)
    for u in range(int(job.schedule[DUE])):
        part: int = fetch_add(turns[0], u)  # type: ignore[call-arg]
        while part < PARTS:
            low, high = part * batch // PARTS, (part + 1) * batch // PARTS
            job.loss[u, part], job.mean_q[u, part] = learn_part(
                network,
                job.draws,
                job.obs,
                job.room[part],
                u,
                low,
                high,
                network.gradients[part],
                job.priority[u, low:high],
            )
            if fetch_add(turns[1], u) == PARTS - 1:
                move(network, job.schedule, u)
                fetch_add(turns[2], u)
            part = fetch_add(turns[0], u)
        while load(turns[2], u) == 0:
            let_others_run()
    set_threads(before)


@kernel
def serve(network, job):  # type: ignore[no-untyped-def]
    """Be the second thread: help with each job that is posted, until none was for a while.

    It watches, busily, since it would take longer to wake it than to make an update; and it never asks for Python's
    lock meanwhile, which the first thread holds nearly always.
    """
    signals = job.signals
    swap(signals, AWAKE, 1)  # type: ignore[call-arg]
    last, looks = load(signals, LEFT), 0
    while True:
        number = load(signals, POSTED)
        if number != last:
            swap(signals, ENTERED, number)
            if load(signals, CLAIMED) == number:  # else the next one is being written already
                work(network, job)
            swap(signals, LEFT, number)
            last, looks = number, 0
        elif looks < PATIENCE:
            looks += 1
            let_others_run()
        else:
            swap(signals, AWAKE, 0)
            if load(signals, POSTED) == last:
                return
            swap(signals, AWAKE, 1)


@kernel
def learn_part(network, draws, obs, room, u, low, high, gradient, priority):  # type: ignore[no-untyped-def]
    """Fill gradient and priorities of a batch's transitions ``low`` to ``high``; return the summed losses."""
    batch, inputs, actions = high - low, network.factor.shape[1], network.actions
    units_, features = network.layers[:, OUTPUTS].sum(), network.layers[network.trunk, INPUTS]
    at = 0
    x, at = take(room, at, batch, inputs)
    next_x, at = take(room, at, batch, inputs)
    q, at = take(room, at, batch, actions)
    next_q, at = take(room, at, batch, actions)
    selecting, at = take(room, at, batch, actions)
    d_q, at = take(room, at, batch, actions)
    image, at = take(room, at, batch, 1)
    buffer, slopes = room[at : at + batch * units_], room[at + batch * units_ : at + 2 * batch * units_]
    spare = room[at + 2 * batch * units_ : at + batch * (2 * units_ + features)]
    layers, trunk, dueling = network.layers, network.trunk, network.dueling
    scaled(network, obs, draws.end[u, low:high], next_x, image)
    forward(network.target, layers, trunk, dueling, next_x, buffer, next_q)
    if network.double:
        forward(network.online, layers, trunk, dueling, next_x, buffer, selecting)
    else:
        selecting[:] = next_q
    scaled(network, obs, draws.start[u, low:high], x, image)
    forward(network.online, layers, trunk, dueling, x, buffer, q)
    found = td_slopes(
        q,
        next_q,
        selecting,
        image,
        network.swapped,
        draws.action[u, low:high],
        draws.reward[u, low:high],
        draws.discount[u, low:high],
        draws.weight[u, low:high],
        network.squared,
        draws.start.shape[1],
        d_q,
        priority,
    )
    backward(network.online, gradient, layers, trunk, dueling, x, buffer, slopes, spare, d_q)
    return found


@kernel
def take(room, at, rows, columns):  # type: ignore[no-untyped-def]
    """Return the next (rows, columns) of an array to work in, and where they end."""
    end = at + rows * columns
    return room[at:end].reshape((rows, columns)), end


@kernel
def move(network, schedule, u):  # type: ignore[no-untyped-def]
    """Move the parameters by update ``u`` of a step; copy the target network when its period is over."""
    norm = sum_up(network.gradients)
    share = np.float32(1.0)
    if schedule[MAX_NORM] > 0.0:
        share = min(np.float32(schedule[MAX_NORM]) / (norm + np.float32(1e-6)), share)
    step, rate, epsilon = schedule[STEP] + u + 1, schedule[RATE], schedule[EPSILON]
    adam(network.online, network.gradients[0], share, network.mean, network.square, step, rate, epsilon)
    period = int(schedule[TARGET_PERIOD])
    if period > 0 and (int(schedule[UPDATES]) + u + 1) % period == 0:
        network.target[:] = network.online


@kernel
def scaled(network, obs, index, out, image):  # type: ignore[no-untyped-def]
    """Fill out (B, D) with the observations of some records (B,), scaled, and ``image`` (B, 1): which these are."""
    factor, order = network.factor, network.order
    if network.by.size == 0:  # looked up in no order, these become vector instructions
        image[:] = np.float32(0.0)
        for b in range(out.shape[0]):
            row = index[b]
            for j in range(out.shape[1]):
                out[b, j] = obs[row, j] * factor[0, j]
        return
    for b in range(out.shape[0]):
        row, g = index[b], 0
        for m in range(network.by.size):
            g += (obs[row, network.by[m]] < 0) << m
        image[b, 0] = g
        for j in range(out.shape[1]):
            out[b, j] = obs[row, order[g, j]] * factor[g, j]


@kernel
def q_values(network, parameters, obs, room, q):  # type: ignore[no-untyped-def]
    """Fill q (B, A) with the expectations of observations (B, D) by these parameters (N,); see `acting_room_size`."""
    batch, actions = q.shape
    x, at = take(room, 0, batch, network.factor.shape[1])
    image, at = take(room, at, batch, 1)
    own, at = take(room, at, batch, actions)
    scaled(network, obs, np.arange(batch), x, image)
    before = set_threads(1)
    forward(parameters, network.layers, network.trunk, network.dueling, x, room[at:], own)
    set_threads(before)
    for b in range(batch):
        for a in range(actions):
            q[b, a] = own[b, network.swapped[int(image[b, 0]), a]]


def acting_room_size(network: Network, batch: int) -> int:
    """Return the numbers that `q_values` has to work in for so many observations."""
    units_ = int(network.layers[:, OUTPUTS].sum())
    return batch * (int(network.factor.shape[1]) + 1 + network.actions + units_)


def room_size(network: Network, batch: int) -> int:
    """Return the numbers that `learn_part` has to work in for so many transitions."""
    units_ = int(network.layers[:, OUTPUTS].sum())
    features = int(network.layers[network.trunk, INPUTS])
    inputs = int(network.factor.shape[1])
    return batch * (2 * inputs + 4 * network.actions + 1 + 2 * units_ + features)
