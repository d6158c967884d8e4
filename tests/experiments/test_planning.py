"""From a command line to a plan: combinations, grids, searches, plan files; what can't work is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import ROOT
from envs.atari import games
from experiments import plan, planning, sweep_options
from experiments.command_line import read_command_line, wants_many
from experiments.plan import Entry, Plan, Planned
from experiments.search_space import Dimension
from scores.atari.games import SETS

DQN = ["CartPole-v1", "--agents", "dqn"]


def planned(*words: str) -> Planned:
    return planning.planned(words)


def described(one: Plan) -> list[tuple[str, str, str, int]]:
    return [(entry.env_id, entry.agent, entry.preset, entry.seed) for entry in one.entries]


def test_every_combination_with_the_first_seed_first() -> None:
    found = planned("CartPole-v1", "Acrobot-v1", "--agents", "dqn", "pqn", "--seeds", "2-3", "--gamma", "0.9")
    presets = {"CartPole-v1": ("control", "control"), "Acrobot-v1": ("general", "control")}
    expected = [
        (env_id, agent, presets[env_id][number], seed)
        for seed in (2, 3)
        for env_id in ("CartPole-v1", "Acrobot-v1")
        for number, agent in enumerate(("dqn", "pqn"))
    ]
    assert described(found.plan) == expected
    assert {json.dumps(one.settings) for one in found.plan.entries} == {'{"gamma": 0.9}'}
    assert found.about == "2 environments x 2 agents x 2 seeds"
    assert found.plan.rows[1].name == "CartPole-v1 pqn, seed 2"
    assert len({row.run.folder for row in found.plan.rows}) == 4


def test_a_grid_is_typed_and_labelled_by_what_varies() -> None:
    found = planned(*DQN, "--vary", "learning-rate=1e-4,1e-3", "double=yes,no", "hidden=64+64,256", "--seeds", "1-1")
    settings = [one.settings for one in found.plan.entries]
    assert len(settings) == 8
    assert settings[0] == {"learning_rate": 1e-4, "double": True, "hidden": [64, 64]}
    assert settings[-1] == {"learning_rate": 1e-3, "double": False, "hidden": [256]}
    assert (found.plan.kind, found.plan.varied) == ("grid", ("learning_rate", "double", "hidden"))
    assert found.plan.rows[-1].name == "CartPole-v1 dqn, learning-rate 0.001, no double, hidden 256, seed 1"


def test_train_takes_every_row_with_the_settings_of_the_plan() -> None:
    words = [
        "--vary",
        "double=yes,no",
        "hidden=8+9,16",
        "--seeds",
        "7-7",
        "--eval-episodes",
        "3",
        "--max-grad-norm",
        "None",
    ]
    for row in planned("CartPole-v1", "--agents", "rainbow", *words).plan.rows:
        options, config = read_command_line(row.words)
        assert (options.agent, options.preset, options.seed, options.eval_episodes) == ("rainbow", "control", 7, 3)
        assert options.runs_dir == row.run.folder
        for name, value in row.configuration.settings.items():
            if name != "eval_episodes":
                wanted = tuple(value) if isinstance(value, list) else value
                assert getattr(config, name) == wanted, name


def test_sets_of_games() -> None:
    assert {name: len(found) for name, found in SETS.items()} == {"atari5": 5, "atari26": 26, "atari57": 57}
    known = {game.removeprefix("ALE/").removesuffix("-v5") for game in games()}
    for name, found in SETS.items():
        assert set(found) <= known, name
    games5 = planned("--games", "atari5", "--agents", "pqn", "--seeds", "1-2").plan
    assert [one.env_id for one in games5.entries[:5]] == [f"ALE/{game}-v5" for game in SETS["atari5"]]
    assert len(games5.entries) == 10
    assert planning.game_set("all") == games()


def test_a_search() -> None:
    words = ["--search", "learning-rate=1e-5..1e-2:log", "n-step=1,3,5", "batch-size=32..64", "--trials", "7"]
    found = planned(*DQN, *words)
    assert found.search == (
        Dimension("learning_rate", 1e-5, 1e-2, log=True),
        Dimension("n_step", choices=(1, 3, 5)),
        Dimension("batch_size", 32, 64, whole=True),
    )
    assert (found.plan.kind, len(found.plan.entries)) == ("search", 1)
    assert "7 trials" in found.about


def test_the_folder_depends_on_the_plan_but_not_on_the_seeds() -> None:
    one = planned(*DQN, "--gamma", "0.9").plan.out
    assert one.parent == Path("sweeps")
    assert planned(*DQN, "--gamma", "0.9", "--seeds", "5").plan.out == one
    assert planned(*DQN, "--gamma", "0.8").plan.out != one
    assert planned(*DQN, "--gamma", "0.9", "--out", "x").plan.out == Path("x")


def test_the_folder_of_a_run_depends_on_nothing_else_in_the_plan() -> None:
    alone = planned(*DQN, "--vary", "gamma=0.9,0.8").plan.rows[0]
    beside = planned("CartPole-v1", "Acrobot-v1", "--agents", "dqn", "--vary", "gamma=0.9,0.8", "double=no,yes").plan
    assert alone.configuration.folder == Entry("CartPole-v1", "dqn", "control", {"gamma": 0.9}).folder
    assert len({row.configuration.folder for row in beside.rows}) == 8


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1-3", [1, 2, 3]), ("3", [1, 2, 3]), ("4,7", [4, 7]), ("1-2,9,2", [1, 2, 9]), ("3-3", [3]), ("0,", [0])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert plan.seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-x", "-1", "1-999999999", ",", "99999999999-99999999999", "0"])
def test_no_seeds(text: str) -> None:
    with pytest.raises(UserError, match="--seeds") as error:
        plan.seeds_of(text)
    assert "\n" not in str(error.value)


# ------------------------------------------------------------------ plan files

FINE = '{"env_id": "CartPole-v1", "agent": "dqn", "preset": "auto"}'


def test_a_plan_is_written_read_and_can_be_edited(tmp_path: Path) -> None:
    made = planned(*DQN, "--vary", "gamma=0.9,0.8", "--out", str(tmp_path / "out")).plan
    plan.prepare(made)
    path = tmp_path / "out" / "plan.json"
    assert plan.read(path) == made
    assert planned("--plan", str(path)).plan == made
    assert planned("--plan", str(path.parent)).plan == made  # the folder
    about = json.loads(path.read_text())
    about["runs"] = [{"env_id": "Acrobot-v1", "agent": "dqn", "preset": "auto", "settings": {"gamma": 0.7}, "seed": 4}]
    elsewhere = tmp_path / "mine.json"
    elsewhere.write_text(json.dumps(about))
    edited = planned("--plan", str(elsewhere)).plan
    assert described(edited) == [("Acrobot-v1", "dqn", "general", 4)]
    assert edited.out == Path("sweeps/mine")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not readable as JSON"),
        ("[1]", "not a plan of this version"),
        ('{"format": 2, "runs": []}', "not a plan of this version"),
        ('{"format": 1, "runs": []}', "it has no runs"),
        ('{"format": 1}', "it lacks runs"),
        ('{"format": 1, "runs": [{"env_id": "CartPole-v1"}]}', "it lacks agent"),
        ('{"format": 1, "runs": [{"env_id": 3, "agent": "dqn", "preset": "auto"}]}', "3"),
        ('{"format": 1, "runs": [{"env_id": "CartPol-v1", "agent": "dqn", "preset": "auto"}]}', "run 1: .*CartPole-v1"),
        ('{"format": 1, "runs": [{"env_id": "CartPole-v1", "agent": "dqm", "preset": "auto"}]}', "did you mean dqn"),
        (
            f'{{"format": 1, "runs": [{FINE[:-1]}, "settings": {{"gama": 1}}}}]}}',
            "run 1: unknown setting 'gama'; did you mean gamma",
        ),
        (
            f'{{"format": 1, "runs": [{FINE[:-1]}, "settings": {{"gamma": 7}}}}]}}',
            "gamma is 7, not 0 to 1",
        ),
        (
            '{"format": 1, "imports": ["no_such"], "runs": [{"env_id": "a", "agent": "b", "preset": "c"}]}',
            "--import no_such",
        ),
    ],
)
def test_a_broken_plan_file_is_one_line(text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(UserError, match=fault) as error:
        planned("--plan", str(path))
    assert str(error.value).startswith("--plan")
    assert "\n" not in str(error.value)


def test_a_missing_plan_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        planned("--plan", str(tmp_path / "none.json"))


def test_a_part_of_a_plan_is_chosen_by_names_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    made = planned("CartPole-v1", "Acrobot-v1", "--agents", "dqn", "pqn", "--seeds", "1-2").plan
    made.write(path)

    def chosen(*words: str) -> list[str]:
        found = planned(*words, "--plan", str(path), "--threads", "1")
        assert found.threads == 1
        assert len(found.plan.entries) == 8  # the plan stays whole
        return [row.name for row in found.plan.rows if found.only is None or row.number in found.only]

    assert len(chosen()) == 8
    assert chosen("Acrobot-v1", "--agents", "pqn") == ["Acrobot-v1 pqn, seed 1", "Acrobot-v1 pqn, seed 2"]
    assert chosen("CartPole-v1", "--seeds", "2-2") == ["CartPole-v1 dqn, seed 2", "CartPole-v1 pqn, seed 2"]
    for words, fault in (
        (["MountainCar-v0"], "no run with the environment MountainCar-v0"),
        (["--agents", "c51"], "no run with the agent c51"),
        (["--seeds", "3"], "no run with the seed 3"),
        (["--games", "atari5"], "no run with the environment ALE/BattleZone-v5"),
    ):
        with pytest.raises(UserError, match=fault):
            chosen(*words)


PLANS = sorted((ROOT / "results" / "plans").glob("*.json"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_plans_of_our_results_can_be_run(path: Path) -> None:
    if path.stem == "lunarlander":
        pytest.importorskip("Box2D")
    found = planned("--plan", str(path))
    assert found.plan.out == Path("sweeps") / path.stem
    seeds = [one.seed for one in found.plan.entries]
    assert seeds == sorted(seeds)  # the first seed of everything first
    assert len({(one.env_id, one.agent, one.seed) for one in found.plan.entries}) == len(seeds)


def test_the_plan_of_the_chart_has_twenty_games_and_three_seeds_of_those_that_count_most() -> None:
    entries = planned("--plan", str(ROOT / "results" / "plans" / "atari.json")).plan.entries
    assert {(one.agent, one.preset, json.dumps(one.settings)) for one in entries} == {("pqn", "cpu", "{}")}
    by_game: dict[str, set[int]] = {}
    for one in entries:
        by_game.setdefault(one.env_id, set()).add(one.seed)
    assert len(by_game) >= 20
    assert {game for game, seeds in by_game.items() if seeds == {1, 2, 3}} == {
        *planning.game_set("atari5"),
        "ALE/Pong-v5",
        "ALE/Breakout-v5",
    }


def test_a_folder_of_something_else_or_of_other_settings_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    made = planned(*DQN, "--out", str(tmp_path / "mine")).plan
    with pytest.raises(UserError, match="not empty and not a sweep"):
        plan.prepare(made)
    entries = (Entry("CartPole-v1", "dqn", "control", {"gamma": 0.9}, "mine"),)
    plan.prepare(Plan(tmp_path / "out", entries))
    with pytest.raises(UserError, match=r"mine was trained with --gamma 0.9, not 0.8"):
        plan.prepare(Plan(tmp_path / "out", (Entry("CartPole-v1", "dqn", "control", {"gamma": 0.8}, "mine"),)))
    both = (entries[0], Entry("CartPole-v1", "dqn", "control", {}, "mine"))
    with pytest.raises(UserError, match="two configurations of the plan have the label mine"):
        plan.prepare(Plan(tmp_path / "other", both))


# ------------------------------------------------------------------ what can't work


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--agents", "dqn"], "no environment; name one or several first"),
        (["CartPol-v1"], "CartPole-v1"),
        ([*DQN, "--vary", "learnin-rate=1"], "--vary learnin-rate: no such setting; did you mean learning-rate"),
        ([*DQN, "--vary", "gamma"], "write NAME=VALUE"),
        ([*DQN, "--vary", "gamma=0.9,x"], "--vary gamma=x: .*x"),
        ([*DQN, "--vary", "gamma=0.9,7"], "gamma is 7.0, not 0 to 1"),
        ([*DQN, "--vary", "double=maybe"], "it is a switch; write yes or no"),
        ([*DQN, "--vary", "gamma=0.9", "gamma=0.8"], "names a setting twice"),
        ([*DQN, "--vary", "num-atoms=51,101"], "--num-atoms has no effect without --head"),
        ([*DQN, "--vary", "seed=1,2"], "--vary seed: no such setting"),
        (["CartPole-v1", "--agents", "pqn", "--vary", "capacity=1000,2000"], "pqn has no setting capacity"),
        ([*DQN, "--search", "learning-rate=1e-2..1e-5"], "upside down; write learning-rate=1e-5..1e-2"),
        ([*DQN, "--search", "learning-rate=0..1:log"], "out of range|starts above 0|not 1e-08"),
        ([*DQN, "--search", "learning-rate=1e-5..1e-2:lin"], "'lin' is no scale"),
        ([*DQN, "--search", "gamma=0.5..7"], "gamma is 7.0, not 0 to 1"),
        ([*DQN, "--search", "double=no..yes"], "double is no number"),
        ([*DQN, "--search", "n-step=3"], "one value leaves nothing to search"),
        ([*DQN, "--search", "n-stp=1,3"], "--search n-stp: no such setting; did you mean n-step"),
        ([*DQN, "--search", "n-step=1,3", "n-step=5,7"], "names n-step twice"),
        (["CartPole-v1", "--agents", "dqn", "pqn", "--search", "gamma=0.9,0.8"], "one environment and one agent"),
        ([*DQN, "--search", "gamma=0.9,0.8", "--vary", "n-step=1,3"], "give one of the two"),
        ([*DQN, "--search", "gamma=0.9,0.8", "--slurm", "x.sh"], "use --cluster"),
        ([*DQN, "--seed", "3"], "--seed is not allowed in a sweep; use --seeds"),
        ([*DQN, "--runs-dir", "x"], "--runs-dir is not allowed in a sweep; use --out"),
        ([*DQN, "--gama", "1"], "unknown option '--gama'; did you mean --gamma"),
        ([*DQN, "--jobs", "0"], "--jobs 0 is out of range"),
        ([*DQN, "--games", "atari6"], "did you mean atari26, atari5?"),
        ([*DQN, "--cluster", "auto", "--jobs", "3"], "--jobs is for this machine"),
        ([*DQN, "--cluster", "auto", "--slurm", "x"], "do not belong together"),
        ([*DQN, "--study", "sqlite:///x"], "--study belongs to --search"),
        ([*DQN, "--gpus", "1"], "--gpus belongs to --cluster"),
        ([*DQN, "--row", "1"], "--row belongs to --plan"),
        (["--plan", "p.json", "--presets", "long"], "leave out --presets, or edit the plan"),
        (["--plan", "p.json", "--vary", "gamma=0.9"], "leave out --vary, or edit the plan"),
        (["A", "--plan", "p.json", "--row", "1"], "--row is for the whole plan; leave out environments"),
        (["--plan", "p.json", "--seeds", "1", "--slurm", "x"], "--slurm is for the whole plan; leave out --seeds"),
        (["--status", "p", "--agents", "dqn"], "--status has all that is to be run; leave out --agents"),
        (["--plan", "p.json", "--gamma", "0.9"], "leave out --gamma, or edit the plan"),
        ([*DQN, "--vary", f"gamma={','.join(f'0.{n:04}' for n in range(999))}", "--seeds", "1000"], "999,000 runs"),
    ],
)
def test_what_cannot_work_is_one_line(words: list[str], fault: str) -> None:
    with pytest.raises(UserError, match=fault) as error:
        planned(*words)
    assert "\n" not in str(error.value)


def test_whose_options_are_whose() -> None:
    own, training = sweep_options.split(
        [
            "A",
            "B",
            "--hidden",
            "8",
            "9",
            "--agents",
            "x",
            "y",
            "--no-double",
            "--seeds=1-3",
            "--retry-failed",
            "--gamma",
            "1",
        ]
    )
    assert own == ["A", "B", "--agents", "x", "y", "--seeds=1-3", "--retry-failed"]
    assert training == ["--hidden", "8", "9", "--no-double", "--gamma", "1"]


@pytest.mark.parametrize(
    ("words", "many"),
    [
        (["CartPole-v1", "Acrobot-v1"], True),
        (["CartPole-v1", "--seeds", "1-3"], True),
        (["--seeds=1-3"], True),
        (["CartPole-v1", "--hidden", "8", "9"], False),
        ([], False),
    ],
)
def test_train_hands_many_runs_over(words: list[str], many: bool) -> None:
    assert wants_many(words) is many


def test_what_the_largest_run_takes() -> None:
    small = planned(*DQN, "--capacity", "1000").needs
    large = planned(*DQN, "--vary", "capacity=1000,100000").needs
    assert large.bytes > 50 * small.bytes > 0
    assert not large.pictures
    assert planned("ALE/Pong-v5", "--agents", "dqn", "--seeds", "1", "--device", "cpu").needs.pictures


def test_a_file_of_settings_is_repeated_with_other_seeds(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    about = {"env_id": "CartPole-v1", "agent": "dqn", "preset": "control", "config": {"gamma": 0.5}}
    path.write_text(json.dumps(about))
    found = planned("--config", str(path), "--seeds", "2", "--n-step", "3").plan
    assert [one.settings for one in found.entries] == [{"gamma": 0.5, "n_step": 3}] * 2
