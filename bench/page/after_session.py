"""What a session or a night leaves for people: the leaderboard, and the page of results."""

from collections.abc import Iterator
from pathlib import Path

from bench.page.page import only_writer, write_pages
from bench.page.source import Source, page_name
from bench.report.finished_run import FinishedRun
from bench.report.leaderboard import write_board
from bench.store import Store


def write_results(store: Store, folder: Path) -> list[Path]:
    """Write ``LEADERBOARD.md``, ``LEADERBOARD.csv`` and ``index.html`` of a store's records.

    Of the pages of runs it writes those that are not there yet, and those of their other
    replicates on any machine, which link to a new run or to one that it replaced: a long history
    costs a short session little.

    Returns:
        The three paths; none without a finished run.

    Raises:
        OSError: A file could not be written; an older one is whole.
    """
    if not store.path.exists():
        return []
    with only_writer(folder):  # sessions that end at the same time take turns
        source = Source([store.path])
        if not source.sections:
            return []
        paths = write_board(source.board, folder)
        changed = {
            _configuration(run)
            for run in source.shown
            if not (folder / "cases" / page_name(run.record)).exists()
        }
        runs = [run for run in source.shown if _configuration(run) in changed]
        return [*paths, write_pages(source, folder, runs)]


def results_lines(store: Store, folder: Path) -> Iterator[str]:
    """Write the results, and yield lines that say where they are or why they are not there."""
    try:
        paths = write_results(store, folder)
    except Exception as error:  # such as from the report of a plugin's study
        cause = error if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        yield f"leaderboard  could not be written ({cause}); the records are safe"
        return
    if paths:
        markdown, table, page = paths
        yield f"leaderboard  {markdown} (and {table.name})"
        yield f"page         {page}"


def _configuration(run: FinishedRun) -> tuple[str, str]:
    return run.record.case.configuration, run.record.key.profile
