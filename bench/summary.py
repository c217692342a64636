"""The end of a session: counts, best rows, what was skipped and the remedy, where files are."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from bench.caveats import caveats
from bench.next_steps import bench_command, export_command, find_test_folder
from bench.record import Record
from bench.report.leaderboard import summary_rows
from bench.session import Tally
from bench.settings import Settings
from bench.store import Store
from bench.study import task_of
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset, available_datasets
from datasets_lib.layouts.category import DatasetError
from datasets_lib.paths import data_dirs

_SKIPS_SHOWN = 3
_CHECKPOINTS_SHOWN = 5

_NOT_FAILED = ("ok", "cached", "skipped", "regressed", "interrupted")
"""Outcomes that are named as they are; every other one is a way to fail."""

_PICTURES = ("errors", "confusion", "features", "attributions")
"""Prefixes of the names of artifacts that people look at."""


def write_summary(terminal: TerminalReporter, tally: Tally, settings: Settings) -> None:
    """Write the summary and the leaderboard it points to."""
    terminal.section("proving ground", sep="=")
    if tally.outcomes:
        counts = _counts(tally.outcomes)
        terminal.write_line(f"{counts} · profile {settings.profile} · ran {tally.seconds:.0f} s")
    if tally.gate is not None:
        terminal.write_line(f"gate         {_gate_line(tally.gate, tally.outcomes)}")
    if not tally.ran:
        terminal.write_line(f"no case was run: {_why_nothing_ran(terminal, tally)}", bold=True)
    finished = [record for record in tally.records if record.status == "ok"]
    for row in summary_rows(finished):
        terminal.write_line(row)
    for line in caveats(finished, tally.skips):
        terminal.write_line(line)
    for remark in dict.fromkeys(r.notes["data"] for r in tally.records if "data" in r.notes):
        terminal.write_line(f"data         {remark}")
    _write_reruns(terminal, tally, finished)
    _write_skips(terminal, tally)
    _write_results(terminal, settings)
    classes = (record.environment.get("class") for record in reversed(tally.records))
    if environment := next(filter(None, classes), None):
        terminal.write_line(f"environment  {environment}")
    _write_pictures(terminal, tally, settings)
    _write_checkpoints(terminal, tally, settings)
    if command := _verify_command(tally.records, settings):
        terminal.write_line(f"next         {command}  (lists every bad file)")


def _counts(outcomes: Counter[str]) -> str:
    """Return the number of cases by outcome; those that failed are one, with the causes.

    >>> _counts(Counter(ok=1, data=2, oom=1)), _counts(Counter(data=1, ok=0))
    ('3 failed (2 data, 1 oom), 1 ok', '1 failed (data)')
    """
    failed = Counter({k: n for k, n in outcomes.items() if k not in _NOT_FAILED})
    causes = [f"{count} {name}" for name, count in failed.most_common()]
    why = ", ".join(causes if len(causes) > 1 else failed)
    whole = Counter({k: n for k, n in outcomes.items() if k in _NOT_FAILED})
    whole[f"failed ({why})"] = failed.total()
    return ", ".join(f"{count} {name}" for name, count in whole.most_common() if count)


def _gate_line(gate: Counter[str], outcomes: Counter[str]) -> str:
    """Return how many cases a gate compared, and why not the others.

    >>> _gate_line(Counter(), Counter(oom=1)), _gate_line(Counter(compared=2), Counter(ok=2))
    ('0 of 1 compared (1 not finished), 0 regressed', '2 of 2 compared, 0 regressed')
    >>> _gate_line(Counter(compared=2), Counter(ok=2, skipped=10))
    '2 of 12 compared (10 skipped), 0 regressed'
    """
    own = gate["in baseline"]
    skipped = outcomes["skipped"]
    is_own = "is the baseline's own run" if own == 1 else "are the baseline's own runs"
    parts = (
        (own, f"{is_own}: --rerun runs {'it' if own == 1 else 'them'} again"),
        (gate["no baseline"], "without a baseline: python -m bench nightly makes one"),
        (skipped, "skipped"),
        (outcomes.total() - gate.total() - skipped, "not finished"),
    )
    why = "; ".join(f"{count} {text}" for count, text in parts if count)
    others = f" ({why})" if why else ""
    compared = f"{gate['compared']} of {outcomes.total()} compared{others}"
    return f"{compared}, {outcomes['regressed']} regressed"


def _why_nothing_ran(terminal: TerminalReporter, tally: Tally) -> str:
    """Return the reasons of a session that ran nothing, from its outcomes and pytest's own."""
    option, defaults = terminal.config.option, terminal.config.getini("addopts")
    expressions = {"-k": option.keyword, "-m": option.markexpr}
    chosen = [f"{k} '{text}'" for k, text in expressions.items() if text and text not in defaults]
    parts = [
        (tally.outcomes["cached"], "already finished (--rerun runs them again)"),
        (tally.outcomes["skipped"], "skipped"),
        *((count, f"skipped by pytest ({reason})") for reason, count in _skips(terminal).items()),
        (_errors(terminal), "ended with the errors above"),
    ]
    reasons = [f"{count:,} {text}" for count, text in parts if count]
    session: pytest.Session | None = terminal.config.pluginmanager.get_plugin("session")
    is_empty = session is not None and session.testscollected == 0
    if not reasons and is_empty and (count := len(terminal.stats.get("deselected", []))):
        where = "; python -m bench data where lists the datasets and their tasks"
        reasons = [
            f"{' and '.join(chosen) or 'the selection'} selected none of {count:,}"
            f"{where if option.keyword else ''}"
        ]
    return ", ".join(reasons) or "the session ended before the first one"


def _errors(terminal: TerminalReporter) -> int:
    """Count what ended with an error around a case, or in the harness itself."""
    failed = terminal.stats.get("failed", [])
    own = [r for r in failed if not dict(getattr(r, "user_properties", ())).get("outcome")]
    return len(terminal.stats.get("error", [])) + len(own)


def _skips(terminal: TerminalReporter) -> Counter[str]:
    """Count what pytest or another plugin skipped, by reason."""
    reports = (r for r in terminal.stats.get("skipped", []) if isinstance(r, pytest.TestReport))
    own = (r for r in reports if not dict(r.user_properties).get("outcome"))
    return Counter(
        r.longrepr[2].removeprefix("Skipped: ").rstrip(".")
        for r in own
        if isinstance(r.longrepr, tuple)
    )


def _write_results(terminal: TerminalReporter, settings: Settings) -> None:
    """Write leaderboard and page, and where they are or why they could not be written."""
    from bench.page.after_session import results_lines

    for line in results_lines(Store(settings.runs_dir), settings.results_dir):
        terminal.write_line(line)


def _write_skips(terminal: TerminalReporter, tally: Tally) -> None:
    ranked = sorted(tally.skips.items(), key=lambda item: -len(item[1]))
    for reason, cases in ranked[:_SKIPS_SHOWN]:
        what, _, mending = reason.partition("\n")
        terminal.write_line(f"skipped {len(cases)}: {what}")
        if mending:
            terminal.write_line(f"  {mending}")
    hidden = sum(len(cases) for _, cases in ranked[_SKIPS_SHOWN:])
    if hidden:
        terminal.write_line(f"skipped {hidden}: for other reasons (-rs shows them)")


def _write_reruns(terminal: TerminalReporter, tally: Tally, finished: Sequence[Record]) -> None:
    """Write why finished cases ran again, and which speeds other processes disturbed."""
    for reason, cases in list(tally.reruns.items())[:_SKIPS_SHOWN]:
        terminal.write_line(f"ran again {len(cases)}: {reason}")
    hidden = len(tally.reruns) - _SKIPS_SHOWN
    if hidden > 0:
        terminal.write_line(f"… and {hidden} more reasons")
    timed = [record for record in finished if _has_speed(record)]
    throttled = sum(record.throttled for record in timed)
    if throttled:
        terminal.write_line(
            f"{throttled} of {len(timed)} cases ran on a thermally throttled machine: "
            "their speeds are marked and never rank; let it cool down, then add --rerun"
        )
    shared = sum(record.shared for record in timed)
    if shared:
        terminal.write_line(
            f"{shared} of {len(timed)} cases ran on a busy machine: their speeds are "
            "marked and never rank; they run again when it is idle"
        )


def _has_speed(record: Record) -> bool:
    """Return whether a run measured a speed, which ``--no-measurements`` leaves out."""
    values = record.measurements
    return any(values[name] is not None for name in values if name.endswith(("_per_s", "_ms")))


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


def _write_checkpoints(terminal: TerminalReporter, tally: Tally, settings: Settings) -> None:
    """Write where the saved models are, as ``python -m bench predict`` takes them."""
    if not settings.save_models:
        return
    names = [record.artifacts.get("model") for record in tally.records]
    saved = [settings.results_dir / name for name in names if name]
    for path in saved[:_CHECKPOINTS_SHOWN]:
        terminal.write_line(f"checkpoint   {path}")
    hidden = len(saved) - _CHECKPOINTS_SHOWN
    if hidden > 0:
        terminal.write_line(f"… and {hidden} more: {settings.runs_dir}/*/*/model.pth")
    first = next((record for record in tally.records if "model" in record.artifacts), None)
    if first is not None:
        for line in _next_commands(first, settings):
            terminal.write_line(f"next         {line}")


def _next_commands(record: Record, settings: Settings) -> Iterator[str]:
    """Yield the commands that use a saved model, ready to copy."""
    path, case = settings.results_dir / record.artifacts["model"], record.case
    found = _dataset_of(record, settings)
    entry = DATASETS.get(case.dataset)
    roots = []
    if entry is not None and entry.generator:
        root = settings.cache_dir / "generated" / f"{entry.name}-{entry.version}"
        roots = [root / (case.category or ""), root]
    elif found is not None:
        roots = [found.categories.get(case.category or "", found.root), found.root]
    images = find_test_folder(roots) or "FOLDER"
    if task_of(record) == "classification":
        yield bench_command("predict", path, images)
        return
    yield bench_command("predict", path, images, "--maps", "maps")
    known = data_dirs(None, settings.cache_dir)
    data: list[str | Path] = [
        word
        for folder in settings.data_dirs
        if found is not None and folder in found.root.parents and folder not in known
        for word in ("--data-dir", folder)
    ]
    if settings.max_megapixels is not None:
        data += ["--max-megapixels", str(settings.max_megapixels)]
    if command := export_command(path, *data, fit=settings.fit, tiles=settings.tiles):
        yield command


def _dataset_of(record: Record, settings: Settings) -> FoundDataset | None:
    """Return the dataset of a case as it is on disk; None where it is not found."""
    with suppress(DatasetError):
        return available_datasets(settings.data_dirs).get(record.case.dataset)
    return None


def _verify_command(records: Sequence[Record], settings: Settings) -> str:
    """Return the command that checks the files of cases that failed because of their data.

    It is empty where no case did, and for generated sets, which have no files of the user's.
    """
    failed = dict.fromkeys(r.case.dataset for r in records if r.outcome == "data")
    own = [name for name in failed if name not in DATASETS or not DATASETS[name].embedded]
    if not own:
        return ""
    known = data_dirs(None, settings.cache_dir)
    options = [("--data-dir", folder) for folder in settings.data_dirs if folder not in known]
    asked = {
        "--bits": settings.bits if settings.bits != 16 else None,
        "--split-by": settings.split_by,
        "--max-megapixels": settings.max_megapixels,
    }
    words = [word for option in options for word in option]
    words += [word for name, value in asked.items() if value for word in (name, str(value))]
    plugins = [word for file in settings.plugins for word in ("--plugin", file)]
    return bench_command(*plugins, "data", "verify", *own, *words)
