"""Unpack a bundle on a machine that has nothing but Python, and say what to type there.

This file stands alone: a bundle carries it as its first member, so that
``tar xf BUNDLE.tar unbundle.py && python3 unbundle.py BUNDLE.tar --to DIR`` needs no project.
"""

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

FORMAT = 1
MANIFEST = "manifest.json"
SCRIPT = "unbundle.py"
_CHUNK = 1 << 20
_LARGEST_MANIFEST = 1 << 28


class BundleError(Exception):
    """A bundle cannot be used; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Unpack; 0 when every file is as the manifest says."""
    parser = argparse.ArgumentParser(prog=SCRIPT, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="what python -m bench bundle wrote")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    options = parser.parse_args(arguments)
    try:
        manifest = unbundle(options.bundle, options.to)
        print("\n".join(next_steps(manifest, options.to)))
    except (BundleError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def unbundle(bundle: Path, target: Path) -> dict[str, Any]:
    """Unpack a bundle into a new folder, whole or not at all.

    Args:
        bundle: The tar file.
        target: The folder; may exist if it is empty.

    Returns:
        The manifest.

    Raises:
        BundleError: It is damaged, not a bundle, or holds what its manifest does not name; or the
            target is there already, or there is no room.
    """
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BundleError(f"{target} is there already. Name a new folder with --to.")
    staging = target.with_name(f".{target.name}.unbundling")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        with tarfile.open(bundle, "r:") as tar:
            manifest = _unpack(tar, bundle, staging)
        if target.exists():
            target.rmdir()
        staging.rename(target)
    except (tarfile.TarError, EOFError) as error:
        raise BundleError(
            f"{bundle} is damaged or no bundle ({error}). Copy it again from where it was made."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def next_steps(manifest: dict[str, Any], target: Path) -> list[str]:
    """The commands that make an environment from the bundle, with no index, and run its cases."""
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
        lines.append("the bundle holds no wheels: the environment below needs an index")
    options = f"--data-dir ../data --weights-dir ../weights -k {shlex.quote(manifest['keyword'])}"
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
    """``linux x86_64``."""
    return f"{platform.system().lower()} {platform.machine()}"


def _unpack(tar: tarfile.TarFile, bundle: Path, staging: Path) -> dict[str, Any]:
    manifest = _manifest(tar, bundle)
    expected: dict[str, dict[str, Any]] = manifest["files"]
    room = sum(entry["size"] for entry in expected.values())
    free = shutil.disk_usage(staging).free
    if free < room:
        raise BundleError(f"{bundle} needs {room:,} bytes, {free:,} are free. Name another --to.")
    seen: set[str] = set()
    for member in tar:
        if member.name in {MANIFEST, SCRIPT} and member.name not in expected:
            continue
        if not member.isreg() or not _is_safe(member.name) or member.name in seen:
            raise BundleError(_foreign(bundle, member.name))
        if member.name not in expected:
            raise BundleError(_foreign(bundle, member.name))
        seen.add(member.name)
        _write(tar, member, expected[member.name], staging / member.name, bundle)
    if lacking := sorted(set(expected) - seen):
        raise BundleError(
            f"{bundle} lacks {len(lacking):,} files of its manifest, the first is {lacking[0]}. "
            "Copy it again from where it was made."
        )
    return manifest


def _manifest(tar: tarfile.TarFile, bundle: Path) -> dict[str, Any]:
    for member in tar:
        if member.name == MANIFEST and member.isreg() and member.size < _LARGEST_MANIFEST:
            stream = tar.extractfile(member)
            assert stream is not None
            try:
                manifest: dict[str, Any] = json.loads(stream.read())
                if manifest["format"] == FORMAT:
                    return manifest
            except (ValueError, KeyError, TypeError):
                break
            raise BundleError(
                f"{bundle} has the format {manifest['format']!r}, this reads {FORMAT}. Use the "
                f"{SCRIPT} in it: tar xf {bundle} {SCRIPT}"
            )
        if member.name != SCRIPT:
            break
    raise BundleError(f"{bundle} is no bundle: its {MANIFEST} is missing or damaged.")


def _is_safe(name: str) -> bool:
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts) or "\\" in name or "\0" in name or ":" in parts[0])


def _foreign(bundle: Path, name: str) -> str:
    return (
        f"{bundle} holds {name!r}, which its manifest does not name so, or which is no plain file "
        "below it. It was altered: do not use it; copy it again from where it was made."
    )


def _write(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    expected: dict[str, Any],
    path: Path,
    bundle: Path,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = tar.extractfile(member)
    assert stream is not None
    digest = hashlib.sha256()
    with path.open("xb") as file:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    if member.size != expected["size"] or digest.hexdigest() != expected["sha256"]:
        raise BundleError(
            f"{bundle}: {member.name} is not what was bundled (another sha256). Copy the bundle "
            "again from where it was made."
        )
    os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)  # noqa: PTH101


if __name__ == "__main__":
    sys.exit(main())
