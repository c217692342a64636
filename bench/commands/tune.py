"""``python -m bench tune``: choose a model's tuned recipe on the `surface` dataset alone."""

import argparse
from pathlib import Path

from bench.arguments import positive
from bench.commands.command import CommandError, add_weights_dir, weights_dirs_of
from bench.near_names import did_you_mean
from bench.writable import why_not_writable


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "tune", help="choose a model's tuned recipe on the surface dataset alone"
    )
    command.add_argument("model", help="catalog name, such as rd_resnet18")
    add_weights_dir(command)
    command.add_argument(
        "--images-seen",
        type=positive,
        default=800,
        metavar="N",
        help="training budget in images (default: 800)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("results/tuning"),
        metavar="DIR",
        help="folder to write to (default: results/tuning)",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.run.job import CaseSkipped, RecipeError, WeightsError
    from bench.store import StoreError
    from bench.tune import settings_for, table, tunable, tune

    if options.model not in tunable():
        hint = did_you_mean(options.model, tunable()) or f"choose from {', '.join(tunable())}."
        raise CommandError(f"No model '{options.model}' with a tuned recipe: {hint}")
    settings = settings_for(weights_dirs_of(options), options.out.absolute(), options.images_seen)
    places = {"--out": settings.results_dir, "$PROVING_GROUND_CACHE": settings.cache_dir}
    for option, folder in places.items():
        if problem := why_not_writable(option, folder):
            raise CommandError(problem)
    try:
        ranked = tune(options.model, settings)
    except (CaseSkipped, RecipeError, WeightsError) as error:
        raise CommandError(str(error)) from None
    except StoreError as error:
        raise CommandError(str(error).replace("--results-dir", "--out")) from None
    print(table(ranked))
    failed = any(record.status != "ok" for _, records in ranked for record in records)
    return 1 if failed else 0
