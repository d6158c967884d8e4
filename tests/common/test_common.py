"""Settings with ranges, command lines, errors of one line, atomic file writes."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from common.cli import ALIASES, parse, whole
from common.errors import UserError, nearest, suggestion, unknown
from common.files import read_json, write_bytes, write_json
from common.settings import Between, option_name, validate
from common.text import significant
from experiments.command_line import RunOptions, any_settings


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: Annotated[float, Between(0.0, 1.0)] = 0.5
    double: bool = True
    widths: tuple[Annotated[int, Between(1, 9)], ...] = (2, 3)


@dataclasses.dataclass(frozen=True)
class Outer:
    name: tyro.conf.Positional[str] = "x"
    seed: Annotated[int, Between(0, 10)] | None = None
    mode: Literal["a", "b"] = "a"
    inner: Inner = dataclasses.field(default_factory=Inner)


def test_options_of_nested_settings_have_no_prefix() -> None:
    got = parse(Outer, ["y", "--rate", "0.25", "--no-double", "--seed", "3", "--widths", "4", "5"])
    assert got == Outer("y", 3, "a", Inner(0.25, False, (4, 5)))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--sead", "3"], r"^unknown option '--sead'; did you mean --seed"),
        (["--no-duble"], r"^unknown option '--no-duble'; did you mean --no-double"),
        (["--rat=3"], r"^unknown option '--rat'; did you mean --rate"),
        (["--seed", "abc"], r"--seed.*'abc'"),
        (["--seed", "11"], r"^--seed 11 is out of range; allowed: 0 to 10$"),
        (["--rate", "nan"], r"^--rate nan is out of range; allowed: 0 to 1$"),
        (["--widths", "3", "0"], r"^--widths 0 is out of range; allowed: 1 to 9$"),
        (["--mode", "c"], r"^invalid choice 'c' for argument '--mode'; allowed: a, b$"),
        (["one", "two"], r"^unexpected argument 'two'"),
        (["--seed"], r"--seed"),
    ],
)
def test_invalid_options_are_reported_in_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=message) as error:
        parse(Outer, argv)
    assert "\n" not in str(error.value)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_line_is_the_same_without_unicode(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    for argv, message in (
        (["--seed"], "Missing value for argument '--seed'. Expected 1 values."),
        (["--mode", "c"], "invalid choice 'c' for argument '--mode'; allowed: a, b"),
    ):
        with pytest.raises(UserError) as error:
            parse(Outer, argv)
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-3", -3),
        ("1e5", 100_000),
        ("1E+5", 100_000),
        ("1_000_000", 1_000_000),
        ("1,000", 1_000),
        ("100k", 100_000),
        ("1.5M", 1_500_000),
        ("1.5e1", 15),
        ("2.0", 2),
    ],
)
def test_whole_numbers_as_people_write_them(text: str, value: int) -> None:
    assert whole(text) == value
    assert parse(Numbers, ["--count", text]).count == value


@pytest.mark.parametrize(
    "text", ["0.5", "1e-3", "1.55e1", "1_00", "1,5", "abc", "k", "", "inf", "nan", "0x10", "1e9999"]
)
def test_what_is_no_whole_number_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"--count.*not a whole number$"):
        parse(Numbers, ["--count", text])


@dataclasses.dataclass(frozen=True)
class Numbers:
    count: int = 0
    words: tuple[str, ...] = ()
    inner: Inner = dataclasses.field(default_factory=Inner)


@pytest.mark.parametrize("words", [["4", "5"], ["4,5"], ["4,", "5"], ["4", "5", "--count", "1,000"]])
def test_several_values_may_have_commas(words: list[str]) -> None:
    assert parse(Numbers, ["--widths", *words]).inner.widths == (4, 5)
    assert parse(Numbers, ["--widths=4,5", "--words", "a,b"]) == Numbers(0, ("a,b",), Inner(widths=(4, 5)))


def test_names_of_other_projects_are_known() -> None:
    for alias, ours in ALIASES.items():
        assert alias != ours
        made = dataclasses.make_dataclass("Made", [(ours.replace("-", "_"), int, 0)])
        with pytest.raises(UserError, match=f"^unknown option '--{alias}'; did you mean --{ours}\\?$"):
            parse(made, [f"--{alias}=3"])


def test_every_name_that_is_suggested_is_an_option_somewhere() -> None:
    known = {option_name(field.name) for cls in (RunOptions, any_settings()) for field in dataclasses.fields(cls)}
    assert {f"--{ours}" for ours in ALIASES.values()} <= known
    assert not {f"--{alias}" for alias in ALIASES} & known


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 2**32 - 1, "0 to 4,294,967,295"),
        (1e-8, 1, "1e-08 to 1"),
        (0.25, 50, "0.25 to 50"),
        (-1e6, 0, "-1,000,000 to 0"),
    ],
)
def test_ranges_are_named_in_whole_numbers(low: float, high: float, text: str) -> None:
    assert str(Between(low, high)) == text


def test_help_is_printed_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Outer, ["--help"])
    assert stop.value.code == 0
    assert "--seed" in capsys.readouterr().out


def test_validate_checks_nested_settings() -> None:
    with pytest.raises(UserError, match="--rate 2"):
        validate(Outer(inner=Inner(rate=2)))
    validate(Outer())


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        *((13455.4, 3, "13,455"), (-3593.0, 4, "-3,593"), (999.96, 4, "1000"), (33.06, 3, "33.1"), (100.0, 3, "100")),
        *((0.03124, 3, "0.0312"), (-0.5, 3, "-0.5"), (0.0, 3, "0"), (float("nan"), 3, "nan")),
        (2.5e8, 4, "250,000,000"),
    ],
)
def test_numbers_have_all_digits_before_the_point_and_no_exponent(value: float, digits: int, text: str) -> None:
    assert significant(value, digits) == text


def test_nearest_names() -> None:
    assert nearest("DQM", ["dqn", "rainbow"]) == "dqn"
    assert nearest("zzz", ["c", "a", "b", "d"]) == "a, b, c"
    assert str(unknown("agent", "dqm", ["dqn"])) == "unknown agent 'dqm'; did you mean dqn?"
    assert str(unknown("agent", "zzz", "abcdefgh")) == "unknown agent 'zzz'; known: a, b, c, d, e, f, ..."


def test_names_that_are_far_are_not_suggested_beside_a_near_one() -> None:
    options = ["--runs-dir", "--env-id", "--no-dueling", "--seed", "--seeds"]
    assert suggestion("--run-dir", options) == "did you mean --runs-dir?"
    assert suggestion("--sead", options) == "did you mean --seed, --seeds?"
    assert suggestion("rldemo", ["breakout", "pong"]) == "known: breakout, pong"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": 1})

    def crash(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("common.files.os.replace", crash)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"half")
    assert read_json(path) == {"a": 1}
    assert [child.name for child in path.parent.iterdir()] == ["x.json"]


def test_unreadable_json_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "half.json").write_text("{")
    with pytest.raises(UserError, match=r"half\.json: not readable as JSON"):
        read_json(tmp_path / "half.json")
