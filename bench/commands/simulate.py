"""``python -m bench simulate``: validate the regression tests' statistics on simulated nights."""

import argparse
from pathlib import Path

from bench.arguments import positive
from bench.environment import usable_cores

_CASES, _NIGHTS = 1000, 2000


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "simulate",
        help="validate the regression tests' statistics on simulated nights",
        description="Simulates nights with and without true drops and reports how often the "
        "statistics raise an alarm. Exit code 0 if every guaranteed bound holds, else 1.",
    )
    command.add_argument(
        "--cases",
        type=positive,
        default=_CASES,
        metavar="N",
        help="cases of a night (default: 1000)",
    )
    command.add_argument(
        "--nights",
        type=positive,
        default=_NIGHTS,
        metavar="N",
        help="nights of each noise family (default: 2000)",
    )
    command.add_argument(
        "--noise",
        action="append",
        metavar="NAME",
        help="noise family; may be repeated (default: all)",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of all draws (default: 0)")
    command.add_argument(
        "--jobs",
        type=positive,
        default=usable_cores(),
        metavar="N",
        help="processes (default: all cores)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("results/regression/SIMULATION.md"),
        metavar="FILE",
        help="page to write (default: results/regression/SIMULATION.md)",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.commands.command import CommandError
    from bench.commands.output import ProgressBar
    from bench.near_names import near_names
    from bench.regression.simulation.noise import FAMILIES
    from bench.regression.simulation.report import report
    from bench.regression.simulation.validate import validate
    from datasets_lib.atomic import atomic_path

    known = [noise.name for noise in FAMILIES]
    chosen = options.noise or known
    for name in chosen:
        if name not in known:
            hint = " or ".join(near_names(name, known)) or ", ".join(known)
            raise CommandError(f"--noise '{name}': wanted a noise family, such as {hint}.")
    with ProgressBar("simulating", "parts") as progress:
        found = validate(
            options.cases, options.nights, chosen, options.seed, options.jobs, progress
        )
    with atomic_path(options.out) as temporary:
        temporary.write_text(report(found, _command(options)), encoding="utf-8")
    print("\n".join(found.broken) or "Every promise is kept.")
    print(options.out)
    return 1 if found.broken else 0


def _command(options: argparse.Namespace) -> str:
    """Return the command line that simulates the same again."""
    words = [f"--cases {options.cases}"] if options.cases != _CASES else []
    words += [f"--nights {options.nights}"] if options.nights != _NIGHTS else []
    words += [
        f"--noise {name!r}" if " " in name else f"--noise {name}" for name in options.noise or ()
    ]
    words += [f"--seed {options.seed}"] if options.seed else []
    return " ".join(("python -m bench simulate", *words))
