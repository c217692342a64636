"""Write the page of results and a page per run; the same records give the same bytes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard
from xml.etree.ElementTree import Element

from filelock import FileLock

from bench.aggregate.language import language
from bench.page.cards import cards
from bench.page.case_page import case_page
from bench.page.markup import document, element
from bench.page.questions import charts, history, legend
from bench.page.source import Source, page_name
from bench.page.table import results_table, row_keys
from bench.page.words import t
from bench.printable import printable
from bench.report.finished_run import FinishedRun
from datasets_lib.atomic import atomic_path

_OURS = re.compile(r".+-[0-9a-f]{10}\.html")
"""Names of pages of runs, as `page_name` gives them."""


def write_page(
    files: Iterable[Path], folder: Path, lang: str = "en", *, cases: bool = True
) -> Path:
    """Write ``index.html`` and, in ``cases/``, a page per run; older ones are replaced.

    Args:
        files: JSONL files of records; pictures are looked for in the folder above each file's.
        folder: Folder to write to.
        lang: ``en`` or ``ko``.
        cases: Whether runs get pages.

    Returns:
        The path of ``index.html``.

    Raises:
        OSError: A file could not be written; an older one is whole.
    """
    with language(lang), only_writer(folder):
        source = Source(files)
        return write_pages(source, folder, source.shown if cases else (), lang, linked=cases)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to a folder of pages, and keep others waiting meanwhile.

    What is read within the block is at least as new as what any earlier writer read.

    Raises:
        OSError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".page.lock"):
        yield


def write_pages(
    source: Source,
    folder: Path,
    runs: Iterable[FinishedRun],
    lang: str = "en",
    *,
    linked: bool = True,
) -> Path:
    """Write ``index.html`` and the pages of some runs; return the path of ``index.html``.

    Args:
        source: What to show, read within `only_writer`.
        folder: Folder to write to.
        runs: The runs whose pages are written; the others' stay as they are.
        lang: ``en`` or ``ko``; the current language of tables too.
        linked: Whether runs have pages; if not, earlier pages are removed.
    """
    for run in runs:
        path = folder / "cases" / page_name(run.record)
        _keep(path, case_page(run, source, folder, lang).encode())
    current = {page_name(run.record) for run in source.shown} if linked else set()
    for old in sorted((folder / "cases").glob("*.html")):
        if _OURS.fullmatch(old.name) and old.name not in current:
            old.unlink(missing_ok=True)
    return _write(folder / "index.html", index_page(source, lang, linked=linked))


def index_page(source: Source, lang: str = "en", *, linked: bool = True) -> str:
    """Return the page of results.

    Args:
        source: What to show.
        lang: ``en`` or ``ko``.
        linked: Whether runs have pages to link to.
    """
    with language(lang):
        return document(t("Results"), lang, _body(source, linked=linked), script=True)


def _body(source: Source, *, linked: bool) -> list[Element | None]:
    keys = row_keys(source)
    body: list[Element | None] = [
        element("a", t("Skip to the table"), href="#leaderboard", class_="skip"),
        element("header", element("h1", t("Results")), _about(source)),
    ]
    main = element("main", cards(source))
    if source.groups:
        main.append(element("h2", t("Leaderboard"), id="leaderboard"))
        main.append(_controls())
        table = results_table(source, keys, linked=linked)
        region = {
            "class_": "scroll",
            "tabindex": "0",
            "role": "region",
            "aria_labelledby": "leaderboard",
        }
        main.append(element("div", table, **region))
        main.append(element("nav", class_="pages", aria_label=t("Pages"), hidden=True))
    drawn = list(filter(_exists, (charts(question, keys) for question in source.questions)))
    if drawn:
        main.extend([element("h2", t("Charts"), id="charts"), legend(), *drawn])
    rest = [history(source), _failed(source, linked=linked), _notes()]
    main.extend(filter(_exists, rest))
    return [*body, main]


def _exists(section: Element | None) -> TypeGuard[Element]:
    return section is not None  # an element without children is false


def _about(source: Source) -> Element:
    finished = [record for record in source.records if record.status == "ok"]
    if not finished:
        return element("p", t("No run has finished yet."))
    dates = [r.finished[:10] for r in finished if re.match(r"\d{4}-\d\d-\d\d", r.finished)]
    return element(
        "p",
        t(
            "Runs: {runs}; the newest ended {date}. Every number comes from the records; none "
            "is entered by hand.",
            runs=len(finished),
            date=max(dates, default="–"),
        ),
    )


def _controls() -> Element:
    """Return the empty controls, which the script fills and shows; with the words it needs."""
    texts = {
        "all": t("All"),
        "search": t("Search"),
        "presets": t("Presets"),
        "quality": t("Best quality"),
        "fastest": t("Fastest"),
        "memory": t("Fits 8 GB"),
        "shots": t("Few-shot"),
        "everything": t("Show all"),
        "rows": t("Rows {from} to {to} of {count}"),
        "nothing": t("No row matches."),
        "previous": t("Previous"),
        "next": t("Next"),
        "family": t("Family"),
    }
    data = {f"data_{name}": text for name, text in texts.items()}
    return element("div", id="controls", hidden=True, **data)


def _failed(source: Source, *, linked: bool) -> Element | None:
    if not source.failed:
        return None
    machines = source.board.machines
    items = element("ul")
    for record in source.failed:
        name: Element = element("bdi", printable(record.key.id))
        if linked:
            name = element("a", name, href=f"cases/{page_name(record)}")
        message = printable((record.error or {}).get("message", record.outcome))
        machine = machines.get(str(record.environment.get("class"))) if len(machines) > 1 else None
        where = printable(", ".join(filter(None, (record.key.profile, machine))))
        items.append(element("li", name, f" ({where}): {message[:300]}"))
    return element("section", element("h2", t("Failed cases"), id="failed"), items)


def _notes() -> Element:
    notes: Sequence[str] = (
        t(
            "Quality is the mean over seeds with its 95 % interval (Student's t; on the logit "
            "scale where ± would leave 0 to 100). One seed has no interval."
        ),
        t(
            "A row is ranked among rows with the same images, each model at its own size, after "
            "its whole budget and with enough replicates; the last column says why a row has no "
            "rank. A range means that the tests cannot separate the rows any further. Pixel "
            "metrics are of maps at each model's own size."
        ),
        t(
            "Memory is the model plus its largest increase in training or inference, on the "
            "device if there is one."
        ),
        t(
            "Speeds are steady-state; those of runs that were disturbed or had another number of "
            "threads are left out."
        ),
    )
    return element(
        "section",
        element("h2", t("How to read it"), id="notes"),
        element("ul", *(element("li", note) for note in notes)),
    )


def _write(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def _keep(path: Path, content: bytes) -> None:
    """Write a file unless it has this content already."""
    if not path.is_file() or path.read_bytes() != content:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
