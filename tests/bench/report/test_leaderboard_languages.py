"""The leaderboard in Korean and in other formats says the same."""

import ast
import json
import re
from html.parser import HTMLParser
from string import Formatter

from fake_mixing import classified
from fake_records import make
from read_markdown import read_tables

from bench.aggregate.korean import KOREAN
from bench.aggregate.language import language, say
from bench.metrics.catalog import METRICS
from bench.report.glossary import _OF_MEASUREMENTS, _OF_METRICS
from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown, write_leaderboard
from bench.report.leaderboard_cost import COST_COLUMNS
from bench.report.leaderboard_html import page_of
from bench.studies.anomaly_zoo.study import ANOMALY_ZOO
from bench.studies.mixing.study import CLASSIFIERS, MIXING
from bench.studies.rd_backbone.study import RD_BACKBONE


def records():
    return [
        *(make(seed=seed, auroc=0.9 + 0.01 * seed) for seed in range(3)),
        make(
            "padim_resnet18", metrics={"pixel_auroc": None}, kinds={"score": {"a": 0.5, "b": 1.0}}
        ),
        make("rd_convnext", "mvtec.bottle", profile="standard"),
        classified(0.25, dataset="cifar100"),
        make("rd_resnet50", status="failed"),
    ]


def said(root):
    """Every text that the sources pass to ``say``."""
    for folder in ("report", "aggregate", "studies"):
        for file in (root / "bench" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
                    for part in ast.walk(node.args[0]):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield part.value


def test_every_text_has_its_korean(root):
    wanted = set(said(root)) | set(_OF_METRICS.values()) | set(_OF_MEASUREMENTS.values())
    wanted |= {heading for heading, _ in COST_COLUMNS.values()}
    # Other tests register their own studies and metrics.
    wanted |= {study.about for study in (RD_BACKBONE, ANOMALY_ZOO, MIXING, CLASSIFIERS)}
    same = re.compile("AU|AP|F1$|Top-.$|ECE|IoU")  # such names are the same in Korean
    own = [m for m in METRICS.values() if str(m.function).startswith("bench.metrics")]
    wanted |= {metric.heading for metric in own if not same.search(metric.heading)}
    assert wanted - KOREAN.keys() == set()


def fields(text):
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name)


def test_translations_fill_in_the_same_values():
    assert [text for text, korean in KOREAN.items() if fields(text) != fields(korean)] == []


def test_the_language_ends_with_its_block():
    with language("ko"):
        assert say("Rank") == "순위"
    assert say("Rank") == "Rank"
    assert say("never heard {n}", n=3) == "never heard 3"


def test_korean_tables_hold_the_same_numbers(tmp_path):
    write_leaderboard(records(), tmp_path, ("md", "csv", "json", "html"), "ko")
    text = (tmp_path / "LEADERBOARD.md").read_text("utf-8")
    english = leaderboard_markdown(records())
    numbers = [re.findall(r"\d+\.\d+", "".join(sorted(t))) for t in (text, english)]
    korean_rows = [[c.text for c in row.values()] for t in read_tables(text) for row in t.rows]
    rows = [[c.text for c in row.values()] for t in read_tables(english) for row in t.rows]
    assert len(korean_rows) == len(rows)
    for own, other in zip(korean_rows, rows, strict=True):
        found = [re.findall(r"\d+\.\d+", cell) for cell in own]
        assert found == [re.findall(r"\d+\.\d+", cell) for cell in other]
    assert numbers
    assert text.startswith("# 리더보드")
    # Machine-readable files are the same in every language.
    assert (tmp_path / "LEADERBOARD.csv").read_text("utf-8") == leaderboard_csv(records())
    assert 'lang="ko"' in (tmp_path / "LEADERBOARD.html").read_text("utf-8")


def test_json_holds_the_rows_of_the_csv(tmp_path):
    write_leaderboard(records(), tmp_path, ("json", "csv"))
    rows = json.loads((tmp_path / "LEADERBOARD.json").read_text("utf-8"))["rows"]
    assert len(rows) == leaderboard_csv(records()).count("\n") - 1
    first = next(r for r in rows if r.get("model") == "padim_resnet18" and r["kind"] == "run")
    assert first["image_auroc"] == 0.9
    assert "pixel_auroc" not in first


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.links, self.ids = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        own = dict(attributes)
        self.links += [own["href"]] if "href" in own else []
        self.ids += [own["id"]] if "id" in own else []
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_is_well_formed_and_its_notes_are_linked():
    page = _Page(page_of(leaderboard_markdown(records())))
    assert page.open == []
    notes = {link for link in page.links if link.startswith("#note-")}
    assert notes
    assert notes <= {f"#{name}" for name in page.ids}
    assert page.tags.count("table") == len(read_tables(leaderboard_markdown(records())))


def test_hostile_names_are_text():
    evil = "<script>alert('\"&</script>"
    page = page_of(f"# {evil}\n\n| a{evil} |\n|:--|\n| **{evil}** `{evil}` |\n\n- {evil}\n\n{evil}")
    parsed = _Page(page)
    assert "script" not in parsed.tags
    assert "".join(parsed.texts).count("<script>") == 6


def test_everything_is_written_again_to_the_byte(tmp_path):
    formats = ("md", "csv", "html", "json")
    for name, order in (("first", 1), ("again", -1)):
        write_leaderboard(records()[::order], tmp_path / name, formats)
    for ending in formats:
        file = f"LEADERBOARD.{ending}"
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
