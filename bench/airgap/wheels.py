"""The wheels of this environment: what is installed, fetched or found as files."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from bench.airgap.unbundle import BundleError

PROJECT = "proving-ground"

_BUILD = ("setuptools", "uv")
"""Needed beside what is installed: to install the project itself, and to go on working with uv."""


def requirements() -> list[str]:
    """``name==version`` of everything installed here but the project itself, sorted."""
    from packaging.utils import canonicalize_name

    pins: dict[str, str] = {}
    for distribution in distributions():
        if not _is_broken(distribution):  # of two, Python imports the first
            name = canonicalize_name(distribution.metadata["Name"])
            pins.setdefault(name, distribution.version)
    return [f"{name}=={pins[name]}" for name in sorted(pins) if name != PROJECT]


def broken_installations() -> list[str]:
    """Folders of what is no longer, or not wholly installed, as an interrupted pip leaves them."""
    return [_folder(one) for one in distributions() if _is_broken(one)]


def _is_broken(distribution: Distribution) -> bool:
    moved_away = Path(_folder(distribution)).name.startswith("~")  # pip, about to remove it
    return moved_away or not all(part in distribution.metadata for part in ("Name", "Version"))


def _folder(distribution: Distribution) -> str:
    return str(getattr(distribution, "_path", "a distribution"))  # no public name tells it


def python_name() -> str:
    """``3.11``: what wheels are made for."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def build_requirements(pinned: Iterable[str]) -> list[str]:
    """What a bundle needs beside the pinned ones, unless they are among them."""
    names = {pin.partition("==")[0] for pin in pinned}
    return [name for name in _BUILD if name not in names]


def fetch_wheels(wanted: Sequence[str], folder: Path) -> None:
    """Fetch wheels for this Python and platform; those that lie there already are not fetched.

    What is published as source alone, as FrEIA is, is built.

    Args:
        wanted: Requirements, complete: what they need is not looked for.
        folder: Where they go; made if missing.

    Raises:
        BundleError: pip cannot get one of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _, lacking = find_wheels(wanted, folder)
    if not lacking:
        return
    done = subprocess.run(
        [*_pip(), "wheel", "--no-deps", "--wheel-dir", str(folder), *lacking],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:  # what pip wrote above says more
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or [done.stderr]
        raise BundleError(
            f"Wanted the wheels of {len(lacking)} packages, pip said: {said[-1].strip()}. Try "
            "again with a network, fetch them elsewhere and name their folder with --wheels-dir, "
            "or leave them out with --no-wheels."
        )


def find_wheels(wanted: Sequence[str], folder: Path) -> tuple[list[Path], list[str]]:
    """The wheels in a folder that fit this Python, one a requirement, and what has none.

    Args:
        wanted: ``name==version``, or ``name`` for any version, of which the newest counts.
        folder: Of wheels.
    """
    from packaging.tags import sys_tags
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
    from packaging.version import Version

    supported = set(sys_tags())
    by_name: dict[str, dict[Version, Path]] = {}
    for file in sorted(folder.glob("*.whl")):
        try:
            name, version, _, tags = parse_wheel_filename(file.name)
        except InvalidWheelFilename:
            continue
        if tags & supported:
            by_name.setdefault(name, {})[version] = file
    found, lacking = [], []
    for requirement in wanted:
        name_text, _, pin = requirement.partition("==")
        versions = by_name.get(canonicalize_name(name_text), {})
        chosen = Version(pin) if pin else max(versions, default=None)
        if chosen in versions:
            found.append(versions[chosen])
        else:
            lacking.append(requirement)
    return found, lacking


def _pip() -> list[str]:
    """A way to call pip: installed, or the copy that Python carries to make environments with."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if (ensurepip := find_spec("ensurepip")) and ensurepip.origin:
        for wheel in sorted(Path(ensurepip.origin).parent.glob("_bundled/pip-*.whl")):
            return [sys.executable, str(wheel / "pip")]
    raise BundleError(
        "Wanted pip to fetch wheels with, found neither it nor Python's own copy (ensurepip). "
        "Install pip, name a folder of wheels with --wheels-dir, or use --no-wheels."
    )
