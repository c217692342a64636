"""The page and the leaderboard agree on every row: name, rank or why there is none, value."""

import random
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_records import make
from page_records import gallery, write
from read_markdown import read_tables

from bench.page.page import write_page
from bench.report.leaderboard import leaderboard_markdown
from bench.store import read_records
from bench.study import task_of

AUROC = "Image AUROC"


class Rows(HTMLParser):
    """The cells of the page's table by heading, one dictionary per row."""

    def __init__(self, text):
        super().__init__()
        self._rows, self._cells = [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        if own.get("id") == "results":
            self._cells = []
        elif tag == "tr" and self._cells is not None:
            self._cells = []
            self._rows.append(self._cells)
        elif tag in ("td", "th") and self._cells is not None:
            self._cells.append("")

    def handle_endtag(self, tag):
        if tag == "table":
            self._cells = None

    def handle_data(self, data):
        if self._cells:
            self._cells[-1] += data.strip()

    @property
    def rows(self):
        head, *body = self._rows
        return [dict(zip(head, cells, strict=True)) for cells in body]


def mixed():
    """Ranked rows, ranges, short budgets, too few seeds, missing categories, two machines."""
    rng = random.Random(3)
    records = [record for record in gallery() if record.status == "ok"]
    for model, seeds, scope in (
        ("fre_resnet18", 1, "parts.bottle"),
        ("padim_resnet18", 3, "surface.woven"),
        ("patchcore_resnet18", 3, "surface.woven"),
    ):
        for seed in range(seeds):
            values = {"auroc": rng.uniform(0.8, 0.9), "profile": "standard"}
            records.append(make(model, scope, seed, environment="cpu | torch 2.13", **values))
    short = {"images_seen": 7}
    return [*records, make("dfm_resnet18", "parts.cable", profile="standard", protocol=short)]


def committed():
    folder = Path(__file__).parents[3] / "results" / "baselines"
    records = read_records(sorted(folder.glob("*.jsonl")))
    return [record for record in records if task_of(record) == "anomaly"]


def of_leaderboard(records):
    """Study, profile and machine, data, model, rank, value and reasons of the tables' rows."""
    found = Counter()
    for table in read_tables(leaderboard_markdown(records)):
        if table.path[1] != "Details by category" or not {"Rank", AUROC} <= table.headings.keys():
            continue
        place, _, where = table.path[2].partition(": ")
        study, profile, machine = (text.strip("`") for text in where.split(", ", 2))
        for row in table.rows:
            model = row["Model"].text.removesuffix(" scratch")
            why = [note.removeprefix("No rank: ").rstrip(".") for note in row["Rank"].notes]
            values = row["Rank"].text, row[AUROC].text, *(why or ["–"])
            found[study, f"{profile}, {machine}", place, model, *values] += 1
    return found


def of_page(index):
    """The same for the rows of the page."""
    names = ("Study", "Profile, machine", "Data", "Model", "Rank", AUROC, "Why no rank")
    rows = Rows(index.read_text()).rows
    return Counter(tuple(r[n] for n in names) for r in rows if "mean over" not in r["Data"])


@pytest.mark.parametrize("make_records", [mixed, committed])
def test_page_and_leaderboard_agree_on_every_row(make_records, tmp_path):
    records = make_records()
    index = write_page([write(records, tmp_path)], tmp_path, cases=False)
    expected = of_leaderboard(records)
    assert len(expected) > 20
    assert any("–" in rank and rank != "–" for *_, rank, _, _ in expected)
    assert of_page(index) == expected
