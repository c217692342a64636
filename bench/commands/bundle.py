"""``python -m bench bundle``: pack a study, its data, weights and wheels into one file."""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import (
    CommandError,
    add_cache_dir,
    add_data_dir,
    add_weights_dir,
    cache_dir_of,
    data_dirs_of,
    folders,
    weights_dirs_of,
)
from bench.commands.output import ProgressBar, free_bytes, megabytes
from datasets_lib.paths import absolute_path

if TYPE_CHECKING:
    from bench.airgap.bundle import Member
    from bench.case import Case
    from bench.needs import Missing, Weights
    from datasets_lib.discover import FoundDataset

_MAX_NAMES = 10


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "bundle", help="pack everything a study needs on a machine without a network into one file"
    )
    command.add_argument("out", type=Path, metavar="OUT.tar")
    command.add_argument("--study", required=True, help="name of the study, such as rd_backbone")
    command.add_argument("-k", dest="keyword", metavar="EXPR", help="select cases, as pytest does")
    add_data_dir(command)
    add_weights_dir(command)
    add_cache_dir(command)
    command.add_argument(
        "--wheels-dir", type=Path, metavar="DIR", help="folder of wheels (default: download)"
    )
    command.add_argument("--no-wheels", action="store_true", help="leave the wheels out")
    command.add_argument(
        "--partial", action="store_true", help="write a bundle even if something is missing"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.airgap.bundle import excluded_files, project_members, write_bundle
    from bench.airgap.unbundle import BundleError, platform_name
    from bench.airgap.wheels import python_name
    from bench.needs import without_textures
    from datasets_lib.discover import available_datasets

    if options.out.is_dir():
        raise CommandError(f"{options.out} is a folder: name a file in it, such as study.tar.")
    if options.wheels_dir is not None and not options.wheels_dir.is_dir():
        raise CommandError(f"--wheels-dir {options.wheels_dir}: wanted a folder, found none.")
    datasets = available_datasets(data_dirs_of(options))
    cases = _cases(options, datasets)
    weights, missing = _fetched(cases, datasets, options)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            wheels, lacking = _wheels(options, Path(scratch))
            root = Path(__file__).parent.parent.parent
            for remark in without_textures(cases, datasets):
                print(f"note: {remark}")
            for name in excluded_files(root)[:_MAX_NAMES]:
                print(f"excluded, not tracked by git: {name}")
            parts = {
                "project": project_members(root),
                "datasets": _datasets(cases, datasets),
                "weights": _weights(weights),
                "wheels": wheels,
                "plugins": _plugins(options),
            }
            _check(parts, lacking, options)
            facts = {
                "study": options.study,
                "keyword": _session_keyword(options),
                "cases": len(cases),
                "plugins": [member.path.name for member in parts["plugins"]],
                "missing": [item.what for item in missing] + [f"wheel {name}" for name in lacking],
                "python": python_name(),
                "platform": platform_name(),
                "wheels": not options.no_wheels,
            }
            members = [member for part in parts.values() for member in part]
            with ProgressBar(f"writing {options.out.name}") as progress:
                write_bundle(options.out.absolute(), members, facts, progress)
        except BundleError as error:
            raise CommandError(str(error)) from None
    print(f"{options.out} ({megabytes(options.out.stat().st_size)}). On the target machine:")
    print(f"  tar xf {options.out.name} unbundle.py")
    print(f"  python3 unbundle.py {options.out.name} --to DIR")
    return 0


def _cases(options: argparse.Namespace, datasets: "Mapping[str, FoundDataset]") -> "list[Case]":
    from bench.needs import offered_cases
    from bench.selection import matching
    from bench.studies import STUDIES

    if options.study not in STUDIES:
        raise CommandError(f"No study '{options.study}'; choose from {', '.join(STUDIES)}.")
    # Every recipe: what a session on the other machine will ask for is unknown here.
    cases = [
        case for case in offered_cases("standard", datasets) if STUDIES[options.study].selects(case)
    ]
    if options.keyword:
        try:
            cases = matching(cases, options.keyword)
        except ValueError as error:
            raise CommandError(str(error)) from None
    if not cases:
        raise CommandError(
            f"No case of {options.study} matches -k {options.keyword!r}; pytest bench "
            "--collect-only -q lists them."
        )
    return cases


def _session_keyword(options: argparse.Namespace) -> str:
    study: str = options.study
    return f"{study} and ({options.keyword})" if options.keyword else study


def _datasets(cases: "Sequence[Case]", datasets: "Mapping[str, FoundDataset]") -> "list[Member]":
    from bench.airgap.bundle import dataset_members
    from bench.needs import dataset_of, textures_of

    needed = {name for case in cases for name in (dataset_of(case), textures_of(case, datasets))}
    return [
        member
        for name, dataset in datasets.items()
        if name in needed
        for member in dataset_members(dataset)
    ]


def _weights(weights: "Mapping[str, Weights]") -> "list[Member]":
    from bench.airgap.bundle import Member
    from models.catalog import WEIGHTS

    found = {tag: entry.resolved for tag, entry in weights.items() if entry.resolved is not None}
    files = {
        part: resolved
        for tag, whole in found.items()
        for part, resolved in zip(
            WEIGHTS[tag].parts or (tag,), whole.parts or (whole,), strict=True
        )
    }
    # Weights folders are searched for the full tag, among other names.
    return [
        Member(f"weights/{tag}{resolved.path.suffix}", resolved.path)
        for tag, resolved in files.items()
    ]


def _plugins(options: argparse.Namespace) -> "list[Member]":
    from bench.airgap.bundle import Member

    files = dict.fromkeys(map(absolute_path, options.plugin))
    return [Member(f"plugins/{file.name}", file) for file in files]


def _wheels(options: argparse.Namespace, scratch: Path) -> "tuple[list[Member], list[str]]":
    """Return the requirements file with its wheels, and the requirements without a wheel."""
    from bench.airgap.bundle import Member
    from bench.airgap.wheels import (
        broken_installations,
        build_requirements,
        fetch_wheels,
        find_wheels,
        requirements,
    )

    for broken in broken_installations():
        print(f"excluded, a broken installation (no name and version, or half removed): {broken}")
    pinned = requirements()
    wanted = [*pinned, *build_requirements(pinned)]
    listed = scratch / "requirements.txt"
    listed.write_text("".join(f"{requirement}\n" for requirement in wanted), encoding="utf-8")
    members = [Member("requirements.txt", listed)]
    if options.no_wheels:
        return members, []
    folder = options.wheels_dir
    if folder is None:
        folder = cache_dir_of(options) / "wheels"
        print(f"downloading the wheels of {len(wanted)} packages into {folder}", flush=True)
        fetch_wheels(wanted, folder)
    files, lacking = find_wheels(wanted, folder)
    return members + [Member(f"wheels/{file.name}", file) for file in files], lacking


def _fetched(
    cases: "Sequence[Case]", datasets: "Mapping[str, FoundDataset]", options: argparse.Namespace
) -> "tuple[Mapping[str, Weights], list[Missing]]":
    """Download the weights that cases need; return all weights, and what is still missing."""
    from bench.needs import all_missing, fetch_weights, look_for_weights, weights_of

    weights_dirs = weights_dirs_of(options)
    # Hundreds of megabytes are downloaded only if the bundle can be complete.
    known = look_for_weights(filter(None, map(weights_of, cases)), weights_dirs)
    lost = all_missing(cases, datasets, known)
    _check_missing(lost, options)
    weights = fetch_weights(cases, weights_dirs)
    missing = all_missing(cases, datasets, weights)
    _check_missing([item for item in missing if item not in lost], options)  # downloads failed
    return weights, missing


def _check_missing(missing: "Sequence[Missing]", options: argparse.Namespace) -> None:
    """Print what is missing, with its remedy; raise without ``--partial``."""
    from bench.remedy import remedy

    weights_dirs, data_dirs = weights_dirs_of(options), folders(options.data_dir or [])
    for item in missing:
        cases = f"{item.blocks[options.study]:,} cases of {options.study}"
        print(f"missing: {item.what}, which {cases} need (profile standard, every recipe)")
        print(f"  {remedy(item.what, weights_dirs, data_dirs)}")
    if missing and not options.partial:
        raise CommandError(
            "Nothing was downloaded or written: get what is missing, select fewer cases with -k, "
            "or add --partial to write a bundle without it."
        )


def _check(
    parts: "Mapping[str, Sequence[Member]]", lacking: Sequence[str], options: argparse.Namespace
) -> None:
    """Print the sizes; raise if wheels are missing without ``--partial`` or the disk is full."""
    total = 0
    for what, members in parts.items():
        size = sum(member.size for member in members)
        total += size
        print(f"{what:9} {len(members):6,} files  {megabytes(size):>9}")
    if lacking:
        names = ", ".join(lacking[:_MAX_NAMES])
        print(f"missing: wheels of {len(lacking)} packages, without which nothing runs: {names}")
    if lacking and not options.partial:
        raise CommandError("Nothing was written: get what is missing, or add --partial.")
    out = options.out.absolute()
    if free_bytes(out.parent) < total:
        raise CommandError(
            f"{out.parent} has no room for {megabytes(total)}. Free some, or name another folder."
        )
