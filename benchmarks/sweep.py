"""What a sweep costs beside its runs, and whether a Ray cluster that loses a node gives the same runs as this machine.

python -m benchmarks.sweep overhead            # four runs of 20 s, two at a time: how much longer than 40 s?
python -m benchmarks.sweep thousand            # 1,000 runs that do nothing: memory and pace of the driver
python -m benchmarks.sweep ray                 # 12 short runs on two nodes, one killed: equal to local ones?
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from common.files import ROOT
from tests.experiments.stub import STUB

SMALL = [
    "CartPole-v1",
    "--agents",
    "dqn",
    "--total-timesteps",
    "4000",
    "--capacity",
    "4000",
    "--learning-starts",
    "200",
]
SMALL += ["--evaluations", "2", "--eval-episodes", "5", "--device", "cpu", "--engine", "torch", "--threads", "1"]


def driven(words: Sequence[str], place: Path, seconds: float) -> tuple[float, float, float]:
    """Run a sweep of stubs that take so many seconds each; return wall-clock and CPU seconds, and the most MB it used.

    CPU and memory are those of the driver, without its runs and without the process that makes the plan.
    """
    (place / "stub.py").write_text(STUB)
    code = (
        "import resource, sys\n"
        "from experiments import sweeping\n"
        f"code = sweeping.main(sys.argv[1:], trainer=[sys.executable, {str(place / 'stub.py')!r}])\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('USED', used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)\n"
        "sys.exit(code)\n"
    )
    environment = {**os.environ, "STUB_CALLS": str(place / "calls"), "STUB_SECONDS": str(seconds)}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    wall = time.monotonic() - began
    cpu, memory = map(float, done.stdout.rpartition("USED")[2].split())
    return wall, cpu, memory


def overhead(place: Path) -> None:
    """Print how much longer a sweep takes than its runs."""
    words = ["CartPole-v1", "--agents", "dqn", "--seeds", "4", "--jobs", "2", "--device", "cpu"]
    wall, cpu, memory = driven([*words, "--out", str(place / "out")], place, 20.0)
    starts = sorted(int(path.name.rsplit("__", 1)[1]) for path in (place / "out").glob("*/*__*__*__*"))
    gaps = (starts[2] - starts[0]) / 1e9 - 20.0  # from one run of a place to the next
    print(f"4 runs of 20 s, 2 at a time: {wall:.1f} s in all, {wall - 40:.1f} s of them start, plan and report")
    print(f"between two runs {gaps:.2f} s, the stub's own start included: {gaps / 60:.2%} of a run of a minute")
    print(f"the driver used {cpu:.1f} s of CPU and at most {memory:.0f} MB")


def thousand(place: Path) -> None:
    """Print what 1,000 runs that do nothing cost the driver, and whether it becomes slower."""
    words = ["CartPole-v1", "--agents", "dqn", "--seeds", "1000", "--jobs", "2", "--device", "cpu"]
    wall, cpu, memory = driven([*words, "--out", str(place / "out")], place, 0.0)
    starts = sorted(int(path.name.rsplit("__", 1)[1]) for path in (place / "out").glob("*/*__*__*__*"))
    first, last = ((starts[at + 200] - starts[at]) / 2e11 for at in (0, len(starts) - 201))
    print(f"{len(starts)} runs in {wall:.0f} s; CPU of the driver {cpu:.0f} s, {cpu / len(starts) * 1000:.1f} ms a run")
    print(f"at most {memory:.0f} MB; the first 200 took {first * 1000:.0f} ms each, the last 200 {last * 1000:.0f} ms")


def ray(place: Path, runs: int = 12) -> None:
    """Print whether runs on two nodes, of which one is killed, are those of this machine, bit for bit."""
    from ray.cluster_utils import Cluster

    began = time.monotonic()
    command = [sys.executable, str(ROOT / "sweep.py"), *SMALL, "--seeds", str(runs)]
    subprocess.run([*command, "--jobs", "2", "--out", str(place / "here")], check=True, capture_output=True)
    print(f"{runs} runs here: {time.monotonic() - began:.0f} s", flush=True)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    victim = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    began = time.monotonic()
    words = [*command, "--cluster", cluster.address, "--out", str(place / "there")]
    driver = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def kill() -> None:
        while len(list((place / "there").glob("CartPole*/*/metrics.csv"))) < 2:
            time.sleep(0.1)
        cluster.remove_node(victim, allow_graceful=False)
        print(f"killed a node after {time.monotonic() - began:.0f} s", flush=True)

    threading.Thread(target=kill, daemon=True).start()
    printed, _ = driver.communicate()
    print(f"{runs} runs on two nodes: {time.monotonic() - began:.0f} s, exit code {driver.returncode}")
    if driver.returncode:
        print(printed)
    cluster.shutdown()  # type: ignore[no-untyped-call, unused-ignore]
    same = twice = 0
    for seed in range(1, runs + 1):
        (mine,) = (place / "here").glob(f"CartPole*/*__{seed}__*")
        theirs = list((place / "there").glob(f"CartPole*/*__{seed}__*"))
        twice += len(theirs) > 1
        names = ("eval.csv", "agent/network.safetensors")
        found = [name for name in names if (mine / name).exists()]
        same += all((mine / name).read_bytes() == (theirs[0] / name).read_bytes() for name in found) and len(found) > 1
    print(f"{same} of {runs} are the same bit for bit (evaluations and weights); {twice} have a second folder")
    if set_aside := list((place / "there" / "broken").glob("*/*")):
        print(f"{len(set_aside)} began anew after the kill; what they had begun is set aside")


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "thousand", "ray"))
    parser.add_argument("--runs", type=int, default=12)
    options = parser.parse_args()
    what = options.what
    with tempfile.TemporaryDirectory(prefix="tidepool-sweep-") as place:
        if what == "ray":
            ray(Path(place), options.runs)
        else:
            {"overhead": overhead, "thousand": thousand}[what](Path(place))
    left = [one for one in psutil.Process().children(recursive=True) if one.is_running()]
    for process in left:
        process.kill()


if __name__ == "__main__":
    main()
