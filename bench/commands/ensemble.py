"""``python -m bench ensemble``: does an ensemble of finished runs beat the best of them?"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.arguments import positive
from bench.commands.case_runs import read_runs
from bench.commands.command import CommandError
from bench.commands.record_files import add_records, records_of
from bench.next_steps import bench_command
from datasets_lib.atomic import atomic_path

if TYPE_CHECKING:
    from bench.ensemble.choose import Choice
    from bench.ensemble.members import Panel
    from bench.report.finished_run import FinishedRun


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "ensemble",
        help="test whether an ensemble of finished runs beats the best of them",
        description="Choose two to five runs on one half of their test images and report what "
        "they gain together on the other half. Nothing is trained again: scores and maps are "
        "those that the runs kept.",
    )
    command.add_argument(
        "--top",
        type=positive,
        default=5,
        metavar="N",
        help="number of models to form subsets from, the best of different families first "
        "(default 5)",
    )
    command.add_argument(
        "-k",
        dest="expression",
        default="",
        metavar="EXPR",
        help="cases to consider, as in pytest -k, such as 'surface and not patchcore'",
    )
    command.add_argument("--profile", help="profile of the runs (default: each profile by itself)")
    add_records(command)
    command.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="write the chosen ensemble as one file that predict takes; its members need saved "
        "models (pytest bench … --save-models)",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="Markdown file to write to")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.ensemble.choose import choose
    from bench.ensemble.members import panels
    from bench.ensemble.report import ensemble_report

    if not 2 <= options.top <= 20:
        raise CommandError(f"--top: wanted 2 to 20 models, found {options.top}.")
    found = panels(_runs(options))
    usable = [panel for panel in found if not _too_small(panel)]
    if not usable:
        raise CommandError(_nothing(found))
    choices = [choose(panel, options.top) for panel in usable]
    if options.save is not None:
        _save(choices, options.save)
    report = ensemble_report(choices)
    passed_over = [
        f"* {panel.title}: {_too_small(panel)}" for panel in found if panel not in usable
    ]
    if passed_over:
        report += "\n".join(["", "Ignored:", "", *passed_over, ""])
    if options.out is None:
        print(report, end="")
    else:
        with atomic_path(options.out) as temporary:
            temporary.write_text(report, encoding="utf-8")
        print(options.out)
    return 0


def _save(choices: "list[Choice]", path: Path) -> None:
    """Write the chosen ensemble of one set of images."""
    from bench.checkpoint.metadata import CheckpointError
    from bench.ensemble.members import NoMemberError
    from bench.ensemble.saved import has_maps, save_ensemble

    if len(choices) > 1:
        names = ", ".join(choice.panel.title for choice in choices)
        raise CommandError(f"--save writes one ensemble, found {names}: select one with -k.")
    try:
        save_ensemble(choices[0], path)
    except (NoMemberError, CheckpointError) as error:
        raise CommandError(f"The ensemble was not saved: {error}") from None
    maps = ("--maps", "maps") if has_maps(path) else ()
    command = bench_command("predict", path, "FOLDER", *maps)
    print(f"saved {path}\nnext: {command}", file=sys.stderr)


def _runs(options: argparse.Namespace) -> "list[FinishedRun]":
    """Return the finished runs that were asked for."""
    from bench.selection import matching

    runs = [
        run
        for run in read_runs(records_of(options))
        if options.profile in {None, run.record.key.profile}
    ]
    if options.expression:
        try:
            cases = set(matching([run.record.case for run in runs], options.expression))
        except ValueError as error:
            raise CommandError(str(error)) from error
        runs = [run for run in runs if run.record.case in cases]
    return runs


def _too_small(panel: "Panel") -> str:
    """Return why nothing can be made of a panel; empty if something can."""
    if len(panel.members) < 2:
        reasons = "; ".join(f"{name}: {why}" for name, why in panel.left_out.items())
        return f"{len(panel.members)} of at least two models" + (f" ({reasons})" if reasons else "")
    from bench.ensemble.halves import selection_half

    first = panel.members[0]
    labels = first.labels.bool()
    defective = int(labels.sum())
    normal = len(labels) - defective
    if min(normal, defective) < 4:
        return f"{normal} normal and {defective} defective test images, wanted four of each"
    half = selection_half(first.names, labels.tolist(), panel.split_by)
    counts = [int((rows & kind).sum()) for rows in (half, ~half) for kind in (~labels, labels)]
    if min(counts) < 2:
        return (
            "the groups of --split-by leave {} normal and {} defective images in one half, {} and "
            "{} in the other, wanted two of each in both".format(*counts)
        )
    return ""


def _nothing(found: "list[Panel]") -> str:
    if not found:
        return (
            "No finished anomaly runs of one category were selected: run at least two models, such "
            "as pytest bench -k 'surface and (padim or dfm)', or change -k, --profile or --records."
        )
    return "\n".join(["Wanted at least two models on the same images, found:", *_reasons(found)])


def _reasons(panels: "list[Panel]") -> list[str]:
    return [f"* {panel.title}: {_too_small(panel)}" for panel in panels]
