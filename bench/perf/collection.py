"""Time the collection of thousands of cases by pytest; run ``python -m bench.perf.collection``."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RUNS = 7


def main() -> None:
    """Time ``pytest bench --collect-only -q`` and print the median."""
    command = [sys.executable, "-m", "pytest", "bench", "--collect-only", "-q"]
    command += ["--profile", "standard", "--seeds", "6"]
    seconds = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    cases = done.stdout.count("::test_case[")
    warm = seconds[1:]
    print(
        f"{cases} cases: median {statistics.median(warm):.2f} s, "
        f"min {min(warm):.2f} s, max {max(warm):.2f} s over {RUNS} runs after a warm-up"
    )


if __name__ == "__main__":
    main()
