"""The GPU's engine off the GPU: the same numbers as PyTorch's, from fixed addresses, without waiting; resuming.

What needs a GPU is in test_graphs_on_gpu.py.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents import recipe
from common.errors import UserError
from learning import checkpoint, encoders, trainer
from learning import graphs as graphs_module
from learning.config import FamilyConfig
from learning.fused import make_learner
from learning.graphs import Graph, GraphLearner, ScheduledRAdam
from learning.learner import Learner
from learning.replay import Replay, ReplayExperience
from tests import tiny
from tests.learning.driven import ACTIONS, COLOURS, FRAMES, VECTOR, Episodes, drive, experience_of, settings
from tests.learning.helpers import kept
from tests.learning.helpers import trainer as make_trainer

IMPALA: dict[str, Any] = {"encoder": "impala", "spectral_norm": True, "impala_pool": 2}
# Every kind of experience, head, optimiser, encoder, and noise.
CASES: list[tuple[str, spaces.Box, dict[str, Any]]] = [
    ("dqn", VECTOR, {}),
    ("dqn", FRAMES, {"optimizer": "rmsprop", "max_grad_norm": None}),
    ("d3qn", FRAMES, {"n_step": 3}),
    ("dqn", COLOURS, {}),
    ("pqn", COLOURS, {}),
    ("c51", VECTOR, {"v_max": 10.0}),
    ("hl_gauss", VECTOR, {"v_max": 10.0}),
    ("qr_dqn", VECTOR, {"layer_norm": True}),
    ("m_iqn", VECTOR, {"optimizer": "radam"}),
    ("pqn", FRAMES, {}),
    ("pqn", VECTOR, {"optimizer": "adam", "hidden": (8, 8)}),
    ("btr", FRAMES, {**IMPALA, "prioritized": False}),
    ("rainbow", VECTOR, {"prioritized": False, "v_max": 10.0}),
]
NAMES = [f"{agent}-{'-'.join(map(str, changes)) or space.shape[0]}" for agent, space, changes in CASES]


def pair(agent: str, space: spaces.Box, changes: dict[str, Any]) -> tuple[Any, GraphLearner, Learner]:
    """Return settings and the same learner with both engines."""
    config, found = settings(agent, **changes), recipe(agent)
    return (
        config,
        GraphLearner(found, config, space, ACTIONS, seed=1, device="cpu"),
        Learner(found, config, space, ACTIONS, seed=1),
    )


@pytest.fixture
def overwriting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each call write into the first call's results, as a replay does."""

    def call(self: Graph[Any]) -> Any:
        self.calls += 1
        result = self.function()
        if self.calls == 1:
            self._result = result
        for old, new in zip(*(torch.utils._pytree.tree_leaves(one) for one in (self._result, result)), strict=True):
            old.copy_(new)
        return self._result

    monkeypatch.setattr(Graph, "__call__", call)


@pytest.mark.usefixtures("overwriting")
@pytest.mark.parametrize(("agent", "space", "changes"), CASES, ids=NAMES)
def test_a_run_is_that_of_pytorch(agent: str, space: spaces.Box, changes: dict[str, Any]) -> None:
    """Acting, batches and updates: the first ones to the bit but for the optimiser's rounding."""
    config, mine, plain = pair(agent, space, changes)
    runs = [
        list(drive(one, experience_of(agent, config, space, one), Episodes(space), 40 if space is VECTOR else 26))
        for one in (mine, plain)
    ]
    assert mine.updates == plain.updates > 8
    for (found, updates), (expected, others) in zip(*runs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)
        assert len(updates) == len(others)
        for one, other in zip(updates, others, strict=True):
            np.testing.assert_allclose(float(one.loss), float(other.loss), rtol=2e-3, atol=1e-5)
            np.testing.assert_allclose(float(one.q_values), float(other.q_values), rtol=2e-3, atol=2e-4)
            assert (one.cut_off is None) == (other.cut_off is None) == (agent not in ("c51", "hl_gauss", "rainbow"))
            if one.cut_off is not None and other.cut_off is not None:
                assert float(one.cut_off) == pytest.approx(float(other.cut_off), abs=0.01)


# ------------------------------------------------------------------ what a graph must not do

WAITING = {"aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal", "aten.masked_select"}


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operation with its numbers and where its tensors come from: an address, or an operation before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: list[tuple[Any, ...]] = []
        self._made: dict[int, int] = {}  # storages made in this call, by the operation

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = torch.utils._pytree.tree_leaves((args, kwargs))
        result = func(*args, **(kwargs or {}))
        assert func.overloadpacket.__str__() not in WAITING, func
        self.entries.append((str(func), *(self._source(one) for one in given if not isinstance(one, torch.Generator))))
        storages = {one.untyped_storage().data_ptr() for one in given if isinstance(one, Tensor)}
        for one in torch.utils._pytree.tree_leaves(result):
            if isinstance(one, Tensor) and (place := one.untyped_storage().data_ptr()) not in storages:
                self._made[place] = len(self.entries)
        return result

    def _source(self, one: Any) -> Any:
        if not isinstance(one, Tensor):
            return str(one)
        place = one.untyped_storage().data_ptr()
        where = ("made", self._made[place]) if place in self._made else ("at", place)
        return (*where, one.storage_offset(), tuple(one.shape))


def taped(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[tuple[Any, ...]]]]:
    """Return the tapes of the calls that a GPU would replay, by the name of what is called."""
    tapes: dict[str, list[list[tuple[Any, ...]]]] = {}

    def call(self: Graph[Any]) -> Any:
        self.calls += 1
        with Tape() as tape:
            result = self.function()
        if self.calls > 3:
            tapes.setdefault(f"{self.function.__qualname__} {id(self)}", []).append(tape.entries)
        return result

    monkeypatch.setattr(Graph, "__call__", call)
    return tapes


@pytest.mark.parametrize(("agent", "space", "changes"), CASES, ids=NAMES)
def test_each_call_does_the_same_with_the_same_addresses(
    agent: str, space: spaces.Box, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a graph may replay one in place of all others: no number, tensor or decision comes from Python's state."""
    monkeypatch.setattr(encoders, "fits", lambda *_: False)  # convolutions as on a GPU, not the CPU's own
    tapes = taped(monkeypatch)
    config, mine, _ = pair(agent, space, changes)
    for _ in drive(mine, experience_of(agent, config, space, mine), Episodes(space), 40 if space is VECTOR else 30):
        pass
    assert len(tapes) >= 2
    for name, calls in tapes.items():
        assert len(calls) > 3, name
        assert len(calls[0]) > 5
        assert all(call == calls[0] for call in calls), name


class FakeCuda:
    """Counts what a `Graph` asks of CUDA; a captured function is not called."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.replays, self.captures, self.beside = 0, 0, 0

    def CUDAGraph(self) -> FakeCuda:
        return self

    def register_generator_state(self, generator: torch.Generator) -> None:
        assert generator.get_state() is not None

    def replay(self) -> None:
        self.replays += 1

    def Stream(self, device: torch.device) -> FakeCuda:
        return self

    def current_stream(self) -> FakeCuda:
        return self

    def set_stream(self, stream: FakeCuda) -> None:
        assert stream is self

    def wait_stream(self, other: FakeCuda) -> None:
        assert other is self

    @contextmanager
    def stream(self, stream: FakeCuda) -> Iterator[None]:
        self.beside += 1
        yield

    @contextmanager
    def graph(self, graph: FakeCuda) -> Iterator[None]:
        self.captures += 1
        yield
        if self.error:
            raise RuntimeError(self.error)


def fake_graph(function: Callable[[], Any], failed: Callable[[Tensor], None] = lambda state: None) -> Graph[Any]:
    return Graph(function, torch.device("cuda"), torch.Generator(), failed)


def test_a_graph_is_called_three_times_captured_once_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda()
    calls: list[int] = []
    monkeypatch.setattr(graphs_module, "cuda", fake)
    graph = fake_graph(lambda: calls.append(1) or len(calls))  # type: ignore[func-returns-value]
    results = [graph() for _ in range(8)]
    assert results == [1, 2, 3, 4, 4, 4, 4, 4]  # the fourth call was the capture
    assert (fake.beside, fake.captures, fake.replays) == (3, 1, 5)
    assert graph.captured
    assert graph.objection is None


def test_what_cannot_be_captured_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that was to be captured is made all the same, once: a capture does nothing."""
    fake = FakeCuda("operation not\npermitted when stream is capturing")
    made: list[int] = []
    states: list[Tensor] = []
    monkeypatch.setattr(graphs_module, "cuda", fake)
    graph = fake_graph(lambda: made.append(fake.captures), states.append)
    for _ in range(6):
        graph()
    assert made == [0, 0, 0, 1, 1, 1, 1]  # one of them inside the capture
    assert graph.objection == "operation not permitted when stream is capturing"
    assert not graph.captured
    assert len(states) == 1


def test_a_learner_whose_network_cannot_be_captured_says_so_and_goes_on() -> None:
    _, mine, _ = pair("noisy_dqn", VECTOR, {})
    obs = np.zeros((3, 5), np.float32)
    mine.noisy_q_values(obs)
    (graph,) = mine._graphs
    graph.objection, graph._graph = "some reason", None
    state, before = mine.generator.get_state(), mine.generator
    with pytest.warns(UserWarning, match="every kernel is launched by itself: some reason"):
        mine._give_up(state)
    assert mine.generator is not before
    assert torch.equal(mine.generator.get_state(), state)
    assert not mine.graphs_wanted
    noisy = mine.noisy_q_values(obs)
    assert np.isfinite(noisy).all()
    assert not np.array_equal(noisy, mine.noisy_q_values(obs))


def test_the_tape_finds_a_number_and_an_address_that_change() -> None:
    x, rate, tensors = torch.ones(3), iter((0.1, 0.2)), iter((torch.ones(3), torch.ones(3)))
    keep: list[Tensor] = []

    def tapes(function: Callable[[], Tensor]) -> list[Any]:
        entries = []
        for _ in range(2):
            with Tape() as tape:
                keep.append(function())
            entries.append(tape.entries)
        return entries

    same = tapes(lambda: (x * 2.0 + x).sum())
    assert same[0] == same[1]
    for changing in (lambda: x * next(rate), lambda: x + next(tensors)):
        one, other = tapes(changing)
        assert one != other
    with pytest.raises(AssertionError):
        tapes(lambda: x[int(x.sum()) - 3])


# ------------------------------------------------------------------ priorities, one update late


class LateByHand(ReplayExperience):
    """Sets the priorities of an update after the next one was drawn, as simply as can be; for PyTorch's engine."""

    waiting: tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]] | None = None

    def updated(self, batch: Any, priority: Tensor) -> None:
        if self.waiting is not None:
            index, late, known = self.waiting
            same = self.marks()[index] == known
            self.set_priorities(index[same], late[same])
        self.waiting = batch.index, priority.numpy().copy(), self.marks()[batch.index].copy()

    def marks(self) -> NDArray[Any]:
        """Return what tells records apart: the random observations."""
        marks: NDArray[Any] = self.replay.obs.flatten(1)[: len(self.replay.acted), 0].numpy()
        return marks


@pytest.mark.usefixtures("overwriting")
@pytest.mark.parametrize("ratio", [16.0, 4.0, 1.0])
def test_priorities_are_set_one_update_late(ratio: float) -> None:
    """Several updates a step, about one, and one in several steps, in which records are written over meanwhile."""
    config, mine, plain = pair("prioritized_dqn", VECTOR, {"replay_ratio": ratio, "capacity": 40, "n_step": 2})
    experience = experience_of("prioritized_dqn", config, VECTOR, mine)
    assert isinstance(experience, ReplayExperience)
    other = experience_of("prioritized_dqn", config, VECTOR, plain)
    assert isinstance(other, ReplayExperience)
    other.__class__ = LateByHand
    both = zip(drive(mine, experience, Episodes(VECTOR), 60), drive(plain, other, Episodes(VECTOR), 60), strict=True)
    for (found, _), (expected, _) in both:
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)
        assert experience.replay.sum_tree is not None
        assert other.replay.sum_tree is not None
        np.testing.assert_allclose(experience.replay.sum_tree.powers, other.replay.sum_tree.powers, rtol=1e-3)
    assert mine.updates == plain.updates > 15


def test_records_written_over_are_known() -> None:
    """Two rings of 5; marks are unique, so the naive answer is whether a record has the one that it had."""
    replay, rng = Replay(10, 2, spaces.Box(-np.inf, np.inf, (1,), np.float32)), np.random.default_rng(0)
    numbers = iter(np.arange(2_000, dtype=np.float32).reshape(-1, 2, 1))
    replay.reset(next(numbers))
    found: list[bool] = []
    for _ in range(100):
        cursor, marks = replay.cursor.copy(), replay.obs.clone()
        for _ in range(int(rng.integers(0, 3))):
            replay.add(np.zeros(2), np.zeros(2), np.ones(2), next(numbers))
            if rng.random() < 0.3:
                replay.reset(next(numbers), np.array([True, False]))
        if ((replay.cursor - cursor) % 5 >= 4).any():
            continue
        same = replay.unchanged(np.arange(10), cursor)
        np.testing.assert_array_equal(same, (replay.obs == marks)[:, 0].numpy())
        found += same.tolist()
    assert 50 < sum(found) < len(found) - 50


# ------------------------------------------------------------------ optimiser


def test_scheduled_radam_is_torchs() -> None:
    """Also in the first steps, without rectification, and with a step size that changes."""
    draws = torch.Generator().manual_seed(1)
    mine, theirs = ([torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.zeros(4))] for _ in range(2))
    scheduled, plain = ScheduledRAdam(mine, 0.1, 1e-5), torch.optim.RAdam(theirs, 0.1, eps=1e-5)
    for number in range(30):
        rate = 0.1 / (1 + number)
        for one, other in zip(mine, theirs, strict=True):
            one.grad = other.grad = torch.randn(one.shape, generator=draws)
        plain.param_groups[0]["lr"] = rate
        scheduled.schedule(rate)
        scheduled.step()
        plain.step()
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        if number == 12:  # each goes on with what the other has saved
            states = [copy.deepcopy(scheduled.state_dict()), copy.deepcopy(plain.state_dict())]
            scheduled, plain = ScheduledRAdam(mine, 0.1, 1e-5), torch.optim.RAdam(theirs, 0.1, eps=1e-5)
            scheduled.load_state_dict({**scheduled.state_dict(), "state": states[1]["state"]})
            plain.load_state_dict({**plain.state_dict(), "state": states[0]["state"]})


# ------------------------------------------------------------------ runs


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainers take the engine, though there is no GPU."""

    def make(found: Any, config: Any, space: Any, actions: int, seed: int, device: str, engine: str) -> Learner:
        return (GraphLearner if engine == "graphs" else Learner)(found, config, space, actions, seed, device)

    monkeypatch.setattr(trainer, "make_learner", make)


def run_of(folder: Path, env_id: str, agent: str, engine: str = "graphs", **changes: Any) -> trainer.Trainer:
    one = make_trainer(folder, env_id, agent, **changes)
    return trainer.Trainer(dataclasses.replace(one.plan, engine=engine), one.run_folder)


ATARI = {"encoder": "small", "frame_size": 42, "learning_starts": 100, "batch_size": 16}


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize(
    ("env_id", "agent", "changes"),
    [(tiny.CORRIDOR, "rainbow", {}), (tiny.LOOP, "pqn", {}), ("ALE/Breakout-v5", "prioritized_dqn", ATARI)],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    env_id: str, agent: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    """Also with priorities that were on their way, and with stacks that were on the device."""
    whole, stopped = (run_of(tmp_path / name, env_id, agent, **changes) for name in "ab")
    for one, steps in ((whole, 120), (stopped, 70)):
        one.begin()
        for _ in range(steps):
            one.step()
    stopped.save_state()
    saved = stopped.states.newest()
    assert saved is not None
    assert ("late.safetensors" in saved) == (agent != "pqn")
    resumed = trainer.Trainer(stopped.plan, stopped.run_folder)
    resumed.load_state()
    for _ in range(50):
        resumed.step()
    assert resumed.learner.updates == whole.learner.updates > 20
    for name, value in whole.learner.online.state_dict().items():
        assert torch.equal(value, resumed.learner.online.state_dict()[name]), name
    for one in (whole, stopped, resumed):
        one.episodes.close()


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("agent", ["rainbow", "pqn", "dqn"])
@pytest.mark.parametrize("engines", [("graphs", "torch"), ("torch", "graphs")])
def test_either_engine_continues_what_the_other_has_saved(agent: str, engines: tuple[str, str], tmp_path: Path) -> None:
    first, second = engines
    stopped = run_of(tmp_path, tiny.CORRIDOR, agent, first)
    stopped.begin()
    for _ in range(80):
        stopped.step()
    stopped.save_state()
    resumed = trainer.Trainer(dataclasses.replace(stopped.plan, engine=second), stopped.run_folder)
    resumed.load_state()
    for one, other in zip(stopped.learner.parameters, resumed.learner.parameters, strict=True):
        assert torch.equal(one, other)
        for name, value in stopped.learner.optimizer.state_dict()["state"][0].items():
            torch.testing.assert_close(resumed.learner.optimizer.state_dict()["state"][0][name].cpu(), value.cpu())
    updates = resumed.learner.updates
    for _ in range(20):
        resumed.step()
    assert resumed.learner.updates > updates
    assert not resumed.update_log.non_finite()


def test_a_state_saved_after_another_forgets_its_late_priorities(tmp_path: Path) -> None:
    config, mine, _ = pair("prioritized_dqn", VECTOR, {})
    experience = experience_of("prioritized_dqn", config, VECTOR, mine)
    for _ in drive(mine, experience, Episodes(VECTOR), 20):
        pass
    assert "late.safetensors" in kept(tmp_path, experience.save)
    assert "late.safetensors" not in kept(tmp_path, experience_of("prioritized_dqn", config, VECTOR, mine).save)


@pytest.mark.parametrize("space", [FRAMES, COLOURS])
def test_replays_in_host_memory_send_their_observations(space: spaces.Box) -> None:
    """What does not fit the GPU: the batch is gathered by the host."""
    config, mine, plain = pair("d3qn", space, {"n_step": 3})
    experience = experience_of("d3qn", config, space, mine)
    assert isinstance(experience, ReplayExperience)
    for _ in drive(plain, experience, Episodes(space), 20):
        pass
    replay = experience.replay
    draws = replay.draw(1, 8, np.random.default_rng(0))
    expected, on_device = replay.gather(draws, 0), replay.pick(draws, 0)
    replay.device = torch.device("meta")  # anywhere but where observations lie
    in_memory = replay.pick(draws, 0)
    assert "rows of obs" in on_device.arrays
    assert {"obs", "next_obs"} <= set(in_memory.arrays)
    replay.device = torch.device("cpu")
    for picks in (on_device, in_memory):
        found = replay.assemble({name: torch.from_numpy(array.copy()) for name, array in picks.arrays.items()})
        for one, other in zip(found[:6], expected[:6], strict=True):
            assert torch.equal(one, other)


# ------------------------------------------------------------------ which engine


def test_the_engine_needs_a_gpu_and_says_so() -> None:
    with pytest.raises(UserError, match="--engine graphs can't train this: it needs CUDA; --engine torch can"):
        make_learner(recipe("dqn"), FamilyConfig(), VECTOR, ACTIONS, 1, "cpu", "graphs")
    stream = recipe("stream_q")
    with pytest.raises(UserError, match="stream_q has a learner of its own"):
        make_learner(stream, stream.config(), VECTOR, ACTIONS, 1, "cpu", "graphs")
    assert make_learner(recipe("dqn"), FamilyConfig(), VECTOR, ACTIONS, 1, "cpu").engine == "fused"


def test_waiting_for_updates_counts_as_learning(tmp_path: Path) -> None:
    run = make_trainer(tmp_path, tiny.CORRIDOR)
    run.begin()
    run.step()
    seconds = dict(run.agent.watch.seconds)
    run.learner.waited = 0.25  # of what the clock counted to acting
    run.agent._learn(np.zeros((4, 2)))
    assert run.agent.watch.seconds["acting"] == pytest.approx(seconds["acting"] - 0.25)
    assert run.agent.watch.seconds["learning"] > seconds["learning"] + 0.25
    assert run.learner.waited == 0.0


def test_bfloat16_is_the_gpus_alone() -> None:
    """A network that learnt with it plays the same elsewhere, and the setting leads to no other network."""
    config, mine, plain = pair("dqn", FRAMES, {"bf16": True})
    assert config.bf16
    obs = np.ones((3, 4, 36, 36), np.uint8)
    _, without, _ = pair("dqn", FRAMES, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's, where there is no GPU to compute with it
        for one in (mine, plain):
            np.testing.assert_array_equal(one.noisy_q_values(obs), without.noisy_q_values(obs))


def test_checkpoints_know_nothing_of_the_engine(tmp_path: Path) -> None:
    _, mine, plain = pair("btr", FRAMES, IMPALA)
    sizes = []
    for folder, one in (("mine", mine), ("plain", plain)):
        saved = kept(tmp_path / folder, functools.partial(checkpoint.save_learner, learner=one))
        sizes.append(len(saved.read("learner.safetensors")))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.5)
    assert set(mine.online.state_dict()) == set(plain.online.state_dict())
