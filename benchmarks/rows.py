"""The rows of benchmarks/speed.py: each figure beside its peer and its limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.turns import Contender, Row

ENGINES = ("torch", "fused")  # of the learner; each has rows of its own where the learner is measured
HIDDEN = [128, 128]
PONG = {"sticky": 0.0, "noops": 30, "frame_cap": 108_000}
SB3, SBX = "stable-baselines3", "SBX"


def ours(build: str, **options: Any) -> Contender:
    """Return a contender of ours."""
    return Contender("Tidepool", "ours", f"benchmarks.contenders.ours:{build}", options)


def peer(label: str, build: str, **options: Any) -> Contender:
    """Return a peer."""
    return Contender(label, "peer", f"benchmarks.contenders.peers:{build}", options)


def rebuilt(label: str, build: str, **options: Any) -> Contender:
    """Return a peer that is written here."""
    return Contender(label, "peer", f"benchmarks.contenders.rebuilt:{build}", options)


def limit(label: str, build: str, **options: Any) -> Contender:
    """Return a limit; its label ends "... would take x % of its time"."""
    return Contender(label, "limit", f"benchmarks.contenders.limits:{build}", options)


def all_rows() -> list[Row]:
    """Return all rows, in the order of the table."""
    return [
        *(machine() + worlds() + emulator() + replay() + acting() + updates()),
        *(training() + window() + startup()),
    ]


def machine() -> list[Row]:
    """Return what the machine can do."""
    none = "a limit itself"
    gemm, copy = (
        replace(limit(label, build), role="ours") for label, build in (("PyTorch", "sgemm"), ("NumPy", "copies"))
    )
    return [
        Row("machine/sgemm", "matrix product, 1024 x 1024, by PyTorch", "GFLOP/s", [gemm], peerless=none),
        Row("machine/copy", "copy of 256 MB, by NumPy", "GB/s", [copy], peerless=none),
    ]


def worlds() -> list[Row]:
    """Return the project's own environments, random actions."""

    def row(env_id: str, count: int) -> Row:
        name = env_id.split("-")[0].lower()
        contenders = [ours("environment", env_id=f"tidepool/{env_id}", num_envs=count)]
        title = f"{env_id}, {count} in a batch"
        return Row(
            f"worlds/{name}-{count}",
            title,
            "steps/s",
            contenders,
            peerless="nobody else has this world",
            rest="one kernel steps all of them; no limit is known" if count == 128 else "",
        )

    return [row("Waterworld-v1", 1), row("Waterworld-v1", 32), row("Waterworld-v1", 128), row("RLDemo-v0", 128)]


def emulator() -> list[Row]:
    """Return Pong with random actions, 32 games."""
    rest = "frames scaled to 84 x 84, pooled and stacked; handing them over"
    one = [
        ours("environment", env_id="ALE/Pong-v5", num_envs=32, num_threads=1, **PONG),
        peer("envpool", "envpool_environment", game="Pong", num_envs=32, num_threads=1),
        limit("the bare emulator (ale.act)", "emulator", game="pong"),
    ]
    both = [
        ours("environment", env_id="ALE/Pong-v5", num_envs=32, num_threads=2, **PONG),
        peer("envpool", "envpool_environment", game="Pong", num_envs=32, num_threads=2),
        limit("two bare emulators", "emulators", game="pong", processes=2),
    ]
    return [
        Row("emulator/pong", "Pong, 32 games, random actions", "steps/s", one, rest=rest),
        Row("emulator/pong-2", "Pong, 32 games, random actions", "steps/s", both, cores=2, rest=rest),
    ]


def replay() -> list[Row]:
    """Return adding to full replays and sampling from them."""
    vectors: dict[str, Any] = {"kind": "waterworld", "capacity": 200_000, "num_envs": 32}
    frames: dict[str, Any] = {"kind": "frames", "capacity": 20_000, "num_envs": 8}
    two = 2 * 152 * 4
    copied = "copying as many bytes"
    none = f"{SB3} has no priorities"
    return [
        Row(
            "replay/add",
            "replay, adding 152 numbers from 32 environments",
            "transitions/s",
            [ours("replay_add", **vectors), peer(SB3, "stable_baselines_replay", operation="add", **vectors)],
        ),
        Row(
            "replay/sample",
            "replay, sampling 128 of them",
            "transitions/s",
            [
                ours("replay_sample", size=128, **vectors),
                peer(SB3, "stable_baselines_replay", operation="sample", size=128, **vectors),
                limit(copied, "copied_transitions", size=128, bytes_each=two, capacity=100_000),
            ],
            rest="drawing, n-step windows, making tensors",
        ),
        Row(
            "replay/prioritized",
            "prioritized replay, sampling 128 and setting their priorities",
            "transitions/s",
            [
                ours("replay_sample", size=128, prioritized=True, **vectors),
                limit(copied, "copied_transitions", size=128, bytes_each=two, capacity=100_000),
            ],
            peerless=none,
            rest="the sum tree",
        ),
        Row(
            "replay/frames",
            "replay, sampling 32 stacks of frames",
            "transitions/s",
            [
                ours("replay_sample", size=32, **frames),
                peer(SB3, "stable_baselines_replay", operation="sample", size=32, **frames),
                limit(copied, "copied_transitions", size=32, bytes_each=2 * 4 * 84 * 84, capacity=5_000),
            ],
            rest="frames lie apart: each is stored once",
        ),
    ]


def acting() -> list[Row]:
    """Return the choice of 32 actions."""
    rows = []
    for engine in ENGINES:
        who = [
            ours("act", kind="waterworld", agent="dqn", engine=engine),
            peer(SB3, "stable_baselines_act", kind="waterworld", hidden=HIDDEN),
            limit("its matrix products", "products", network="waterworld", size=32, forwards=1, backwards=0),
        ]
        title = f"32 actions, 152-128-128-4, engine {engine}"
        rows.append(Row(f"act/vectors-{engine}", title, "us/call", who, rest="calls, ReLU, epsilon-greedy"))
    frames = [
        ours("act", kind="frames", agent="dqn", preset="nature"),
        peer(SB3, "stable_baselines_act", kind="frames"),
        limit("its matrix products", "products", network="nature", size=32, forwards=1, backwards=0),
    ]
    return [*rows, Row("act/nature", "32 actions, Nature's network", "us/call", frames, rest="moving frames about")]


def updates() -> list[Row]:
    """Return one update from a batch that is there already."""
    sizes, rows = [152, 128, 128, 4], []
    for agent, double in (("dqn", False), ("d3qn", True)):
        network, forwards = ("waterworld-dueling", 3) if double else ("waterworld", 2)
        for engine in ENGINES:
            who = [
                ours("update", kind="waterworld", agent=agent, engine=engine),
                rebuilt("bare PyTorch", "torch_update", sizes=sizes, double=double, dueling=double),
                limit("its matrix products", "products", network=network, size=128, forwards=forwards),
            ]
            title = f"{agent}, 152-128-128-4, batch 128, engine {engine}"
            rest = "activations, loss, clipping, Adam" + (", dispatch" if engine == "torch" else "")
            rows.append(Row(f"update/{agent}-{engine}", title, "ms/update", who, rest=rest))
    nature = [
        ours("update", kind="frames", agent="dqn", preset="nature", size=32, optimizer="adam", max_grad_norm=10.0),
        rebuilt("bare PyTorch", "torch_update", encoder="nature", size=32),
        limit("its matrix products", "products", network="nature", size=32, forwards=2),
    ]
    pqn = [
        ours("update", kind="frames", agent="pqn", preset="cpu", size=128),
        rebuilt("bare PyTorch", "torch_update", encoder="mnih2013", size=128, bootstraps=False, layer_norm=True),
        limit("its matrix products", "products", network="mnih2013", size=128, forwards=1),
    ]
    rest = "frames converted and laid out for the products, activations, Adam"
    return [
        *rows,
        Row("update/nature", "Nature DQN, batch 32", "ms/update", nature, rest=rest),
        Row("update/pqn", "pqn, preset cpu, batch 128", "ms/update", pqn, rest=f"layer norm, {rest}"),
    ]


def training() -> list[Row]:
    """Return whole training at equal work: environment, environments, network, batch, updates a step."""
    waterworld: dict[str, Any] = {"env_id": "tidepool/Waterworld-v1", "num_envs": 32}
    same = {**waterworld, "batch_size": 128, "train_freq": 1, "gradient_steps": 2, "hidden": HIDDEN}
    cartpole: dict[str, Any] = {
        **{"env_id": "CartPole-v1", "num_envs": 8, "batch_size": 128, "train_freq": 2, "gradient_steps": 1},
        **{"hidden": [256, 256], "n_steps": 10, "capacity": 100_000, "learning_rate": 5e-4, "target_period": 3200},
    }
    waterworld_peers = [
        peer(SB3, "stable_baselines", **same),
        peer(SBX, "stable_baselines", library="sbx", **same),
        peer(f"{SB3} on our batch of worlds", "stable_baselines", batched=True, **same),
        limit(
            "its world and its matrix products",
            "training",
            **{"network": "waterworld", "env": waterworld, "acting": 32, "batch": 128},
            **{"forwards": 2, "steps": 1, "updates": 2},
        ),
    ]
    cartpole_peers = [
        peer(SB3, "stable_baselines", **cartpole),
        limit(
            "its environments and its matrix products",
            "training",
            **{"network": "cartpole", "env": {"env_id": "CartPole-v1", "num_envs": 8}, "acting": 8},
            **{"batch": 128, "forwards": 2, "steps": 2, "updates": 1},
        ),
    ]
    cases = [
        ("waterworld", "tidepool/Waterworld-v1", "default", waterworld_peers),
        ("cartpole", "CartPole-v1", "control", cartpole_peers),
    ]
    rows = []
    for name, env_id, preset, peers in cases:
        for engine, cores in (*((engine, 1) for engine in ENGINES), (ENGINES[-1], 2)):
            mine = ours("training", env_id=env_id, agent="dqn", preset=preset, engine=engine)
            title = f"training {env_id.removeprefix('tidepool/')}, dqn, preset {preset}, engine {engine}"
            suffix = "-2" if cores == 2 else ""
            rows.append(
                Row(
                    *(f"train/{name}-{engine}{suffix}", title, "steps/s", [mine, *peers], cores),
                    rest="storing and sampling, and what an update takes beside its products",
                )
            )
    return [*rows, pong_nature(), pong_pqn()]


def pong_nature() -> Row:
    """Return Nature DQN on Pong: one game, a batch of 32 every 4 steps, Adam 1e-4, clipping at 10."""
    small: dict[str, Any] = {"capacity": 10_000, "learning_starts": 200}
    changes = {"optimizer": "adam", "learning_rate": 1e-4, "max_grad_norm": 10.0, **small}
    game = {"env_id": "ALE/Pong-v5", "num_envs": 1, "num_threads": 1, **PONG}
    common = {"env_id": "PongNoFrameskip-v4", "batch_size": 32, "train_freq": 4, **small}
    contenders = [
        ours("training", env_id="ALE/Pong-v5", agent="dqn", preset="nature", **changes),
        peer(SB3, "stable_baselines", num_envs=1, gradient_steps=1, learning_rate=1e-4, target_period=10_000, **common),
        rebuilt("CleanRL's dqn_atari, rebuilt", "cleanrl_dqn", **common),
        limit(
            "its emulator and its matrix products",
            "training",
            **{"network": "nature", "env": game, "acting": 1, "batch": 32, "forwards": 2, "steps": 4, "updates": 1},
        ),
    ]
    rest = "frames converted and laid out for the products, activations, Adam"
    return Row("train/pong-nature", "training Pong, Nature DQN", "steps/s", contenders, rest=rest)


def pong_pqn() -> Row:
    """Return PQN on Pong with the settings of our preset for CPUs."""
    rollout = {"num_envs": 32, "num_steps": 32, "minibatches": 8, "epochs": 2}
    game = {"env_id": "ALE/Pong-v5", "num_envs": 32, "num_threads": 2, **PONG}
    contenders = [
        ours("training", env_id="ALE/Pong-v5", agent="pqn", preset="cpu"),
        rebuilt("CleanRL's PQN, rebuilt", "cleanrl_pqn", game="Pong", encoder="mnih2013", num_threads=2, **rollout),
        limit(
            "its emulators and its matrix products",
            "training",
            **{"network": "mnih2013", "env": game, "acting": 32, "batch": 128, "forwards": 1},
            **{"steps": 32, "updates": 16},
        ),
    ]
    rest = "layer norm, frames converted and laid out, emulators that wait for the network"
    return Row("train/pong-pqn", "training Pong, pqn, preset cpu", "steps/s", contenders, cores=2, rest=rest)


def window() -> list[Row]:
    """Return the work of a frame with all panels; at 60 frames a second there are 16.7 ms for it."""
    shown = {"waterworld": False, "pong": False, "waterworld_rainbow": False}
    none = "nobody else has this window; there are 16.7 ms for a frame"
    rows = [
        Row(
            f"window/{agent}", f"window, {agent}", "ms/frame", [ours("window", agent=agent)], peerless=none, screen=True
        )
        for agent in shown
    ]
    learning = [ours("window", agent="waterworld", learn=True)]
    title = "window, waterworld, learning in it"
    return [*rows, Row("window/learning", title, "ms/frame", learning, peerless=none, screen=True)]


def startup() -> list[Row]:
    """Return the waiting at the start, with compiled kernels."""
    imports = Contender(
        *("importing PyTorch and NumPy", "limit", "benchmarks.contenders.startup:importing"),
        {"modules": ["torch", "numpy"]},
    )

    def starts(name: str, title: str, build: str, *, slow: bool = False, screen: bool = False, **options: Any) -> Row:
        who = [Contender("Tidepool", "ours", f"benchmarks.contenders.startup:{build}", options), imports]
        return Row(
            f"startup/{name}", title, "s", who, cores=2, slow=slow, screen=screen,
            rest="other imports, environments, a rehearsal for the estimate",
        )  # fmt: skip

    pong = ["ALE/Pong-v5"]
    return [
        starts("train-line", "train.py to the first line", "train", arguments=[], until="first line"),
        starts("train-progress", "train.py to the first progress", "train", arguments=[], until="first progress"),
        starts("pong-line", "train.py ALE/Pong-v5 to the first line", "train", arguments=pong, until="first line"),
        starts(
            *("pong-progress", "train.py ALE/Pong-v5 to the first progress", "train"),
            slow=True,
            arguments=pong,
            until="first progress",
        ),
        starts("play-frame", "play.py to the first frame", "play", screen=True, arguments=[]),
    ]
