"""Commands to copy that say what to do with a saved model; imports no torch."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path


def bench_command(*words: str | Path, extra: str = "") -> str:
    """Return ``python -m bench …`` as the user of this process would type it.

    Args:
        words: Words of the command; paths below the current folder are shortened.
        extra: Optional dependencies that it needs, which uv installs on the way.
    """
    start = ["python", "-m", "bench"]
    if "UV_RUN_RECURSION_DEPTH" in os.environ:  # uv run set it: no environment is activated
        start = ["uv", "run", *(("--extra", extra) if extra else ()), *start]
    return shlex.join([*start, *(_short(word) for word in words)])


def extra_command(extra: str) -> str:
    """Return the command that installs optional dependencies of this project."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return f"uv sync --inexact --extra {extra}"
    return f"pip install 'proving-ground[{extra}]'"


def export_command(model: Path, *words: str | Path, fit: str, tiles: tuple[int, ...] | None) -> str:
    """Return the command that exports a saved model as ONNX; empty for one that cannot be.

    Args:
        model: File of an anomaly model.
        words: Options that say where images to check on are.
        fit: How its images are fitted; the graph does not pad or crop them.
        tiles: Rows and columns of tiles, whose maps no graph merges; None for whole images.
    """
    if tiles is not None:
        return ""
    frames = () if fit == "squash" else ("--frames",)
    return bench_command("export", model, "--format", "onnx", *frames, *words, extra="onnx")


def find_test_folder(roots: Sequence[Path]) -> Path | None:
    """Return the folder of test images below the first root that has one; None if none has."""
    for root in roots:
        for name in ("abnormal", "test"):
            if (root / name).is_dir():
                return root / name
    return None


def _short(word: str | Path) -> str:
    if not isinstance(word, Path):
        return word
    path, here = word.absolute(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
