"""``python -m bench nightly``: run what changed, compare, confirm, report; for cron and CI."""

import argparse
import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from bench.commands.night_options import add_night_options, night_options_of
from bench.commands.session_options import add_session_options, select

if TYPE_CHECKING:
    from bench.case import Case
    from bench.regression.night import Nightly
    from bench.regression.plan import NightOptions
    from bench.regression.verdicts import Verdicts
    from bench.settings import Settings


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "nightly",
        help="run what changed, compare it with the baseline, confirm and report",
        description="Exit code 0: nothing regressed; 10: a regression was confirmed; 11: none "
        "regressed, but runs failed, quantities lack a value, cases that finished before could not "
        "run, no selected case could run, another nightly run is in progress, or a record or the "
        "report could not be written.",
    )
    add_night_options(command)
    add_session_options(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.regression.night import NightError, Nightly
    from bench.regression.outcomes import INFRASTRUCTURE_EXIT
    from bench.store import StoreError

    selected = select(options)
    how = night_options_of(options)
    nightly = Nightly(selected.settings, dict(selected.datasets), selected.cases, how, _log)
    try:
        verdicts = nightly.run(_asked(options.keyword, how, selected.settings, selected.cases))
    except (NightError, StoreError) as error:
        print(error, file=sys.stderr)
        return INFRASTRUCTURE_EXIT
    except OSError as error:
        print(f"{error}. The same command resumes the nightly run.", file=sys.stderr)
        return INFRASTRUCTURE_EXIT
    return _close(nightly, verdicts)


def _close(nightly: "Nightly", verdicts: "Verdicts") -> int:
    """Print the results, write report, leaderboard and page, and return the exit code.

    A nightly run ends once its report is written; until then, the same command resumes it.
    """
    from bench.page.after_session import results_lines
    from bench.regression.night_report import night_report, summary
    from bench.regression.outcomes import INFRASTRUCTURE_EXIT
    from bench.run.job import now
    from datasets_lib.atomic import atomic_path

    baseline = nightly.options.baseline
    print(summary(verdicts, baseline))
    code, report = verdicts.exit_code, nightly.settings.results_dir / "nightly"
    report /= f"{verdicts.night.name}.md"
    try:
        with atomic_path(report) as temporary:
            page = night_report(verdicts, nightly.ledger, baseline)
            temporary.write_text(page, encoding="utf-8")
        print(f"report       {report}")
        if not verdicts.night.ended:
            verdicts.night.end(now())
    except OSError as error:
        print(f"report       could not be written ({error}); the same command writes it")
        code = code or INFRASTRUCTURE_EXIT
    for line in results_lines(nightly.store, nightly.settings.results_dir):
        print(line)
    return code


def _asked(keyword: str, how: "NightOptions", settings: "Settings", cases: "Sequence[Case]") -> str:
    """Return the request in words: a killed nightly run resumes only with the same one.

    It ends with a digest of what the words leave out: the cases and the other options.

    Args:
        keyword: What ``-k`` selects; empty for every case.
        how: Options of the night.
        settings: Options of the session.
        cases: The candidate cases, in any order.
    """
    from bench.recorded_protocol import describe_shape
    from bench.regression.fresh import settings_digest

    shape = describe_shape(settings.image_size, settings.fit, settings.tiles, settings.overlap)
    parts = [f"profile {settings.profile}", f"device {settings.device}", settings.precision]
    parts += [f"-k '{keyword}'"] if keyword else []
    parts += [f"budget {how.budget_s:.0f} s"] if how.budget_s else []
    parts += [f"{settings.seeds} seeds"] if settings.seeds > 1 else []
    parts += [f"{settings.images_seen} images seen"] if settings.images_seen else []
    parts += [shape] if shape else []
    parts += [f"{settings.bits} bits"] if settings.bits != 16 else []
    parts += [f"split by {settings.split_by}"] if settings.split_by else []
    parts += [f"--set {name}={value}" for name, value in sorted(settings.changes.items())]
    ids = sorted(case.id for case in cases)
    digest = sha256(repr((how, settings_digest(settings), ids)).encode()).hexdigest()[:8]
    return ", ".join([*parts, f"baseline {how.baseline}", f"request {digest}"])


def _log(line: str) -> None:
    print(line, flush=True)
