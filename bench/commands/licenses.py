"""Licenses that a person has accepted, remembered in the data home."""

import json
import sys
from pathlib import Path

from bench.commands.command import CommandError
from datasets_lib.entry import DatasetEntry


def acknowledge(entry: DatasetEntry, home: Path, accepted: bool) -> None:
    """Show a dataset's license and, where its publisher wants that, have it accepted once.

    Args:
        entry: The dataset.
        home: Data home, whose ``licenses.json`` remembers.
        accepted: Whether the command line accepts.

    Raises:
        CommandError: It is not accepted, or there is no terminal to ask on.
    """
    print(f"{entry.title}: {entry.license}" + (f". Cite {entry.citation}" * bool(entry.citation)))
    memory = home / "licenses.json"
    remembered = _read(memory)
    if not entry.ask_first or remembered.get(entry.name) == entry.license:
        return
    if not accepted:
        _ask(entry)
    home.mkdir(parents=True, exist_ok=True)
    text = json.dumps(remembered | {entry.name: entry.license}, indent=1, sort_keys=True)
    memory.write_text(text + "\n", encoding="utf-8")


def _ask(entry: DatasetEntry) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            f"The license of {entry.title} ({entry.license}; {entry.homepage}) must be accepted "
            "before a download, and there is no terminal to ask on. Read it, then add "
            "--accept-license."
        )
    answer = input(f"Its terms are at {entry.homepage}. Do you accept them? [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError(f"The license of {entry.title} was not accepted: nothing was fetched.")


def _read(memory: Path) -> dict[str, str]:
    """What was accepted; nothing where the file is missing or damaged: it is asked again."""
    try:
        remembered = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return remembered if isinstance(remembered, dict) else {}
