"""The end of a session: counts, best rows, what was skipped and the remedy, where things lie."""

from pathlib import Path

from _pytest.terminal import TerminalReporter

from bench.record import Record
from bench.report.leaderboard import summary_rows, write_leaderboard
from bench.session import Tally
from bench.settings import Settings
from bench.store import Store

_SKIPS_SHOWN = 3

_PICTURES = ("errors", "confusion", "features", "attributions")
"""Artifacts that people look at; their names begin so."""


def write_summary(terminal: TerminalReporter, tally: Tally, settings: Settings) -> None:
    """Write the summary and the leaderboard it points to."""
    if not tally.outcomes:
        return
    terminal.section("proving ground", sep="=")
    counts = ", ".join(f"{count} {name}" for name, count in tally.outcomes.most_common())
    terminal.write_line(f"{counts} · profile {settings.profile} · ran {tally.seconds:.0f} s")
    for row in summary_rows([record for record in tally.records if record.status == "ok"]):
        terminal.write_line(row)
    _write_reruns(terminal, tally)
    _write_skips(terminal, tally)
    records = Store(settings.runs_dir).records()
    if any(record.status == "ok" for record in records):
        terminal.write_line(f"leaderboard  {_leaderboard(records, settings.results_dir)}")
    if environment := next((r.environment for r in reversed(tally.records) if r.environment), None):
        terminal.write_line(f"environment  {environment.get('class')}")
    _write_pictures(terminal, tally, settings)


def _leaderboard(records: list[Record], folder: Path) -> str:
    try:
        markdown, table = write_leaderboard(records, folder)
    except OSError as error:
        return f"could not be written ({error}); the records are safe"
    return f"{markdown} (and {table.name})"


def _write_skips(terminal: TerminalReporter, tally: Tally) -> None:
    for reason, cases in list(tally.skips.items())[:_SKIPS_SHOWN]:
        terminal.write_line(f"skipped {len(cases)}: {reason}")
    hidden = len(tally.skips) - _SKIPS_SHOWN
    if hidden > 0:
        terminal.write_line(f"… and {hidden} more reasons (-rs shows them)")


def _write_reruns(terminal: TerminalReporter, tally: Tally) -> None:
    """Write why finished cases ran again, and whose speeds others disturbed."""
    for reason, cases in list(tally.reruns.items())[:_SKIPS_SHOWN]:
        terminal.write_line(f"ran again {len(cases)}: {reason}")
    hidden = len(tally.reruns) - _SKIPS_SHOWN
    if hidden > 0:
        terminal.write_line(f"… and {hidden} more reasons")
    disturbed = sum(record.disturbed for record in tally.records)
    if disturbed:
        terminal.write_line(
            f"{disturbed} of {len(tally.records)} cases ran on a busy machine: their speeds are "
            "marked and never rank; they run again when it is idle"
        )


def _write_pictures(terminal: TerminalReporter, tally: Tally, settings: Settings) -> None:
    folders = sorted(
        {
            (settings.results_dir / path).parent
            for record in tally.records
            for name, path in record.artifacts.items()
            if name.startswith(_PICTURES)
        }
    )
    if len(folders) == 1:
        terminal.write_line(f"pictures     {folders[0]}")
    elif folders:
        terminal.write_line(
            f"pictures     {settings.runs_dir}/*/ ({len(folders)} cases), such as {folders[-1]}"
        )
