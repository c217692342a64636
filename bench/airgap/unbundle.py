"""Unpack a bundle on a machine with nothing but Python, and print the next commands.

This file is self-contained: it is the first member of a bundle, so that
``tar xf BUNDLE.tar unbundle.py && python3 unbundle.py BUNDLE.tar --to DIR`` needs no project.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FORMAT = 1
MANIFEST = "manifest.json"
SCRIPT = "unbundle.py"
_STAGING = ".unbundling"
_ON_NEW_DISKS = {"lost+found"}
_CHUNK = 1 << 20
_MAX_MANIFEST = 1 << 28


class BundleError(Exception):
    """A bundle cannot be used; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Unpack a bundle and return the exit code: 0 if every file matches the manifest."""
    parser = argparse.ArgumentParser(prog=SCRIPT, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="file written by python -m bench bundle")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="new or empty folder to unpack to"
    )
    options = parser.parse_args(arguments)
    try:
        manifest = unbundle(options.bundle, options.to)
        print("\n".join(next_steps(manifest, options.to)))
    except (BundleError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def unbundle(bundle: Path, target: Path) -> dict[str, Any]:
    """Unpack a bundle into a new or empty folder, completely or not at all.

    Args:
        bundle: Path of the tar file.
        target: Folder to unpack to, or a link to it; may be the root of an empty disk.

    Returns:
        The manifest.

    Raises:
        BundleError: The file is damaged, is not a bundle, or holds files that its manifest does not
            name; or the target is not empty, or the disk is full.
    """
    target = Path(os.path.realpath(target))  # a link may lead to another disk
    with _explained(bundle, target):
        _check_empty(target)
        with tarfile.open(bundle, "r:") as tar:
            manifest = _manifest(tar, bundle)  # before any folder is created
            with (_staged_inside if target.exists() else _staged)(target) as staging:
                _unpack(tar, manifest["files"], bundle, staging)
    return manifest


@contextmanager
def _explained(bundle: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BundleError(
            f"{bundle} is damaged or not a bundle ({error}). Copy it again from its source."
        ) from error
    except OSError as error:
        if str(error.filename) == str(bundle):
            remedy = "Name a readable file written by python -m bench bundle"
        else:
            remedy = "Name another folder with --to, writable and with enough room"
        raise BundleError(
            f"Wanted to unpack {bundle} to {target}, found: {error}. {remedy}."
        ) from error


def _check_empty(target: Path) -> None:
    """Check that a folder holds at most what a killed run left before it moved anything up."""
    if not target.exists():
        return
    names = {path.name for path in target.iterdir()} if target.is_dir() else {target.name}
    names -= _ON_NEW_DISKS
    if _STAGING in names and len(names) > 1:
        raise BundleError(
            f"{target} holds a part of a bundle: an earlier run was interrupted while it moved "
            f"files out of {_STAGING}. Delete what is in it, or name another folder with --to."
        )
    if names - {_STAGING}:
        raise BundleError(f"{target} already exists. Name a new or empty folder with --to.")


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Yield a new folder next to the target; rename it on success, remove every trace on error."""
    staging = target.with_name(f".{target.name}.unbundling")
    shutil.rmtree(staging, ignore_errors=True)
    created = [folder for folder in target.parents if not folder.exists()]
    try:
        staging.mkdir(parents=True)
        yield staging
        staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in created:
            with suppress(OSError):  # in use by another process
                folder.rmdir()
        raise


@contextmanager
def _staged_inside(target: Path) -> Iterator[Path]:
    """Yield a new folder in an existing one; move its contents up on success, or remove them.

    An existing folder is not replaced: it may be a mount point, and only it is on its disk.
    """
    staging = target / _STAGING
    shutil.rmtree(staging, ignore_errors=True)  # left by a killed run
    names: list[str] = []
    try:
        staging.mkdir()
        yield staging
        names = [path.name for path in staging.iterdir()]
        for name in names:
            (staging / name).rename(target / name)
        staging.rmdir()
    except BaseException:
        moved = [target / name for name in names if not os.path.lexists(staging / name)]
        for path in (staging, *moved):
            _remove(path)
        raise


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # a folder, which is gone
        path.unlink()


def next_steps(manifest: dict[str, Any], target: Path) -> list[str]:
    """Return the commands that install the bundle without a package index and run its cases."""
    lines = [f"unpacked and checked {len(manifest['files']):,} files into {target.absolute()}"]
    lines += [f"not in the bundle: {what}" for what in manifest["missing"]]
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    wheels = manifest["wheels"]
    built_for = (manifest["python"], manifest["platform"])
    if wheels and built_for != (here, platform_name()):
        lines.append(
            f"NOTE: the wheels are for Python {built_for[0]} on {built_for[1]}; this is Python "
            f"{here} on {platform_name()}. Use that Python below, on such a machine."
        )
    index = " --no-index --find-links ../wheels" if wheels else ""
    if not wheels:
        lines.append("the bundle holds no wheels: the commands below need a package index")
    folders = {name.partition("/")[0] for name in manifest["files"]}
    options = "".join(f"--{own}-dir ../{own} " for own in ("data", "weights") if own in folders)
    for name in manifest.get("plugins", []):  # absent in bundles of earlier versions
        options += f"--plugin {shlex.quote(f'../plugins/{name}')} "
    options += f"-k {shlex.quote(manifest['keyword'])}"
    return [
        *lines,
        "next:",
        f"  cd {shlex.quote(str(target.absolute() / 'project'))}",
        f"  python{manifest['python']} -m venv .venv",
        f"  .venv/bin/python -m pip install{index} -r ../requirements.txt",
        f"  .venv/bin/python -m pip install{index} --no-deps -e .",
        f"  .venv/bin/python -m pytest bench {options}",
    ]


def platform_name() -> str:
    """Return a name such as ``linux x86_64``."""
    return f"{platform.system().lower()} {platform.machine()}"


def _unpack(
    tar: tarfile.TarFile, expected: dict[str, dict[str, Any]], bundle: Path, staging: Path
) -> None:
    needed = sum(entry["size"] for entry in expected.values())
    free = shutil.disk_usage(staging).free
    if free < needed:
        raise BundleError(f"{bundle} needs {needed:,} bytes, {free:,} are free. Name another --to.")
    seen: set[str] = set()
    for member in tar:
        if member.name in {MANIFEST, SCRIPT} and member.name not in expected:
            continue
        # A sparse member of a few bytes can unpack to any size.
        plain = member.isreg() and not member.issparse()
        if not plain or member.name in seen or member.name not in expected:
            raise BundleError(_foreign(bundle, member.name))
        seen.add(member.name)
        _write(tar, member, expected[member.name], staging / member.name, bundle)
    if missing := sorted(set(expected) - seen):
        raise BundleError(
            f"{bundle} lacks {len(missing):,} files of its manifest, such as {missing[0]!r}. "
            "Copy it again from its source."
        )


def _manifest(tar: tarfile.TarFile, bundle: Path) -> dict[str, Any]:
    """Return the manifest, checked for every field that the rest of this file uses."""
    damaged = f"{bundle} is not a bundle: its {MANIFEST} is missing or damaged"
    again = "Copy it again from its source."
    member = next((member for member in tar if member.name != SCRIPT), None)
    if member is None or member.name != MANIFEST or not member.isreg() or member.issparse():
        raise BundleError(f"{damaged}. {again}")
    stream = tar.extractfile(member)
    assert stream is not None
    try:
        if member.size > _MAX_MANIFEST:
            raise ValueError(f"it is {member.size:,} bytes long")
        manifest: dict[str, Any] = json.loads(stream.read())
        known = manifest["format"] == FORMAT
        if known:
            _check_shape(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{damaged} ({type(error).__name__}: {error}). {again}") from error
    if not known:
        raise BundleError(
            f"{bundle} has format {manifest['format']!r}, but this reads {FORMAT}. Use the "
            f"{SCRIPT} in it: tar xf {shlex.quote(str(bundle))} {SCRIPT}"
        )
    return manifest


def _check_shape(manifest: dict[str, Any]) -> None:
    texts = [manifest[name] for name in ("keyword", "python", "platform")]
    if not all(isinstance(text, str) for text in [*texts, *manifest["missing"]]):
        raise ValueError("keyword, python, platform or missing is not text")
    if not re.fullmatch(r"3\.\d+", manifest["python"]):  # becomes part of a command
        raise ValueError(f"python is {manifest['python']!r}")
    if not isinstance(manifest["wheels"], bool):
        raise ValueError(f"wheels is {manifest['wheels']!r}")
    files: dict[str, dict[str, Any]] = manifest["files"]
    if not {f"plugins/{name}" for name in manifest.get("plugins", [])} <= files.keys():
        raise ValueError("plugins names a file that is not in the bundle")
    for name, entry in files.items():
        size = entry["size"]
        if type(size) is not int or size < 0 or not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
            raise ValueError(f"size or sha256 of {name!r}")
        above = name.split("/")[:-1]
        folders = {"/".join(above[: depth + 1]) for depth in range(len(above))}
        if not _is_safe(name) or not folders.isdisjoint(files):
            raise ValueError(f"{name!r} is not a valid path for a file")


def _is_safe(name: str) -> bool:
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts) or "\\" in name or "\0" in name or ":" in parts[0])


def _foreign(bundle: Path, name: str) -> str:
    return (
        f"{bundle} holds {name!r}, which is not in its manifest or not a regular file. The bundle "
        "was altered: do not use it; copy it again from its source."
    )


def _write(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    expected: dict[str, Any],
    path: Path,
    bundle: Path,
) -> None:
    digest = hashlib.sha256()
    if member.size == expected["size"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = tar.extractfile(member)
        assert stream is not None
        with path.open("xb") as file:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    if member.size != expected["size"] or digest.hexdigest() != expected["sha256"]:
        raise BundleError(
            f"{bundle}: {member.name!r} is not what was bundled (size or sha256 differs). Copy the "
            "bundle again from its source."
        )
    os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)  # noqa: PTH101


if __name__ == "__main__":
    sys.exit(main())
