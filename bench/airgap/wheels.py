"""Find or download the wheels of this environment."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from bench.airgap.unbundle import BundleError

PROJECT = "proving-ground"

_BUILD = ("setuptools", "uv")
"""Needed in addition to what is installed: to install the project, and to keep using uv."""


def requirements() -> list[str]:
    """Return ``name==version`` of everything installed but the project itself, sorted."""
    from packaging.utils import canonicalize_name

    pins: dict[str, str] = {}
    for distribution in distributions():
        if not _is_broken(distribution):  # Python imports the first of two
            name = canonicalize_name(distribution.metadata["Name"])
            pins.setdefault(name, distribution.version)
    return [f"{name}=={pins[name]}" for name in sorted(pins) if name != PROJECT]


def broken_installations() -> list[str]:
    """Return folders of half-installed or half-removed packages, left by an interrupted pip."""
    return [_folder(item) for item in distributions() if _is_broken(item)]


def _is_broken(distribution: Distribution) -> bool:
    moved_away = Path(_folder(distribution)).name.startswith("~")  # pip renames before it removes
    return moved_away or not all(part in distribution.metadata for part in ("Name", "Version"))


def _folder(distribution: Distribution) -> str:
    return str(getattr(distribution, "_path", "a distribution"))  # there is no public attribute


def python_name() -> str:
    """Return the Python version that wheels are built for, such as ``3.11``."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def build_requirements(pinned: Iterable[str]) -> list[str]:
    """Return what a bundle needs in addition to the pinned requirements."""
    names = {pin.partition("==")[0] for pin in pinned}
    return [name for name in _BUILD if name not in names]


def fetch_wheels(wanted: Sequence[str], folder: Path) -> None:
    """Download the missing wheels for this Python and platform.

    Packages published as source only, such as FrEIA, are built.

    Args:
        wanted: Complete list of requirements: dependencies are not resolved.
        folder: Folder of wheels, created if missing.

    Raises:
        BundleError: pip cannot get a wheel.
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
    if done.returncode:  # pip's output above says more
        stderr_lines = done.stderr.splitlines()
        errors = [line for line in stderr_lines if "ERROR" in line] or [done.stderr]
        raise BundleError(
            f"Wanted the wheels of {len(lacking)} packages, but pip failed: {errors[-1].strip()}. "
            "Try again with a network, download them elsewhere and name the folder with "
            "--wheels-dir, or leave them out with --no-wheels."
        )


def find_wheels(wanted: Sequence[str], folder: Path) -> tuple[list[Path], list[str]]:
    """Return a wheel per requirement that fits this Python, and the requirements without one.

    Args:
        wanted: Requirements ``name==version``, or ``name`` for the newest version.
        folder: Folder of wheels.
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
    files, lacking = [], []
    for requirement in wanted:
        name_text, _, pin = requirement.partition("==")
        versions = by_name.get(canonicalize_name(name_text), {})
        chosen = Version(pin) if pin else max(versions, default=None)
        if chosen in versions:
            files.append(versions[chosen])
        else:
            lacking.append(requirement)
    return files, lacking


def _pip() -> list[str]:
    """Return the command that runs pip: the installed one, or the copy bundled with Python."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if (ensurepip := find_spec("ensurepip")) and ensurepip.origin:
        for wheel in sorted(Path(ensurepip.origin).parent.glob("_bundled/pip-*.whl")):
            return [sys.executable, str(wheel / "pip")]
    raise BundleError(
        "Wanted pip to download wheels, found neither it nor Python's own copy (ensurepip). "
        "Install pip, name a folder of wheels with --wheels-dir, or use --no-wheels."
    )
