"""The page of results as text: its links, its numbers, its content policy, and its bytes."""

import ast
import base64
import hashlib
import re
import string
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fake_records import make
from page_records import HOSTILE, gallery, many, named, write

from bench.__main__ import main
from bench.aggregate.language import language
from bench.page.cards import cards, moves
from bench.page.markup import render
from bench.page.page import index_page, write_page
from bench.page.source import Source, page_name
from bench.page.words import korean
from bench.plots.run_plots import plot_learning_curve
from bench.regression.ledger import Alarm, Ledger


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def values(self, name):
        """Values of an attribute, in order."""
        return [own[name] for _, own in self.tags if name in own]

    def of(self, tag):
        """Texts directly after the start of a tag."""
        return [text for last, text in self.texts if last == tag]


@pytest.fixture
def site(tmp_path):
    """Write records and their pages; return the index page's path."""

    def make_site(records, lang="en", **options):
        return write_page([write(records, tmp_path)], tmp_path, lang, **options)

    return make_site


def test_every_link_leads_to_a_file_of_the_page(site):
    index = site(gallery())
    pages = [index, *(index.parent / "cases").iterdir()]
    linked = set()
    for page in pages:
        for target in Tags(page.read_text()).values("href"):
            if not target.startswith("#"):
                assert (page.parent / target).exists(), target
                linked.add((page.parent / target).resolve())
    assert {page.resolve() for page in pages} <= linked | {index.resolve()}


def test_rows_of_one_model_for_all_categories_link_to_its_run(tmp_path):
    values = {name: {"image_auroc": 0.9} for name in ("bottle", "cable")}
    record = make("padim_resnet18", "parts.all", categories={"score": values})
    index = write_page([write([record], tmp_path)], tmp_path)
    links = [h for h in Tags(index.read_text()).values("href") if h.startswith("cases/")]
    assert links == [f"cases/{page_name(record)}"] * 2
    assert (index.parent / links[0]).is_file()


def test_rows_without_a_rank_say_why(site):
    tags = Tags(site([make("rd_resnet18", "parts.bottle", auroc=0.9)]).read_text())
    assert "1 of 3 replicates" in tags.of("td")


def test_costs_of_some_seeds_say_so(site):
    records = [make("padim_resnet18", seed=seed, measurements={"x": 1.0}) for seed in range(3)]
    records[0].measurements.update(
        fit_seconds=48.1,
        inference_images_per_s=3.84,
        train_rise_host_bytes=2.0**30,
        model_bytes=2.0**20,
    )
    texts = Tags(site(records).read_text()).of("td")
    expected = {"48.1", "3.84", "1,025"}
    assert {f"{text} (1 of 3 seeds)" for text in expected} <= set(texts)
    assert not expected & set(texts)


def test_a_failure_stays_until_the_case_finishes_on_its_machine(site):
    days = [f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 5)]
    records = [
        make(environment="cpu | torch", status="failed", finished=days[0]),
        make(environment="gpu | torch", finished=days[1]),
    ]
    assert " (smoke, cpu): it broke" in site(records).read_text()
    records.append(make(environment="cpu | torch", finished=days[2]))
    assert "Failed cases" not in site(records).read_text()
    records[0] = make(environment=None, status="failed", finished=days[0])
    assert "Failed cases" not in site(records[:2]).read_text()


def test_regenerating_changes_no_byte_whatever_the_order(tmp_path):
    records = gallery()
    contents = []
    for number, order in enumerate((records, records[::-1])):
        folder = tmp_path / str(number)
        index = write_page([write(order, folder)], folder)
        files = [index, *sorted((folder / "cases").iterdir())]
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) > 100


def test_pages_of_runs_that_are_gone_go_and_other_files_stay(site):
    index = site(gallery())
    own = index.parent / "cases" / "mine.html"
    own.write_text("mine")
    before = {path.name for path in (index.parent / "cases").iterdir()}
    site(gallery()[:4])
    after = {path.name for path in (index.parent / "cases").iterdir()}
    assert own.name in after
    assert len(after) == 5
    assert after < before


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_policy_lets_in_what_the_page_has_and_nothing_else(site, lang):
    index = site(gallery(), lang)
    for page in (index, next((index.parent / "cases").iterdir())):
        tags = Tags(page.read_text())
        (policy,) = [own["content"] for tag, own in tags.tags if "http-equiv" in own]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'none'"
        for tag, rule in (("style", "style-src"), ("script", "script-src")):
            hashes = [
                f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
                for text in tags.of(tag)
                if text.strip()
            ]
            assert rules.get(rule, "").split() == hashes
        used = {name for _, own in tags.tags for name in own}
        assert not {name for name in used if name.startswith("on") or name == "style"}
        assert all(link.startswith(("data:image/",)) for link in tags.values("src"))


def test_hostile_names_add_no_element(tmp_path):
    def tags_of(records, name):
        folder = tmp_path / name
        index = write_page([write(records, folder)], folder)
        pages = [index, *(folder / "cases").iterdir()]
        return [Tags(page.read_text()) for page in pages]

    plain = tags_of([named(f"plain{i}", i) for i, _ in enumerate(HOSTILE)], "plain")
    hostile = tags_of([named(text, i) for i, text in enumerate(HOSTILE)], "hostile")
    counts = [Counter(tag for page in pages for tag, _ in page.tags) for pages in (plain, hostile)]
    assert counts[0] == counts[1]
    attributes = [
        {n for p in pages for _, own in p.tags for n in own} for pages in (plain, hostile)
    ]
    assert attributes[0] == attributes[1]
    for page in hostile:
        assert not set("\u202e\u2066\u200f\0") & set("".join(text for _, text in page.texts))
        assert all(re.fullmatch(r"[\w./#-]+", target) for target in page.values("href"))


def test_only_pictures_of_the_results_folder_are_shown(tmp_path):
    record = make("rd_resnet18", "parts.bottle", curve=[[1.0, 2.0], [2.0, 1.0]])
    folder = tmp_path / "results"
    inside = plot_learning_curve(record, folder / "runs" / "x" / "errors.png")
    outside = plot_learning_curve(record, tmp_path / "secret.png")
    (folder / "runs" / "x" / "text.png").write_text("no picture")
    artifacts = {
        "errors": "runs/x/errors.png",
        "curve": "runs/x/errors.png",  # drawn by the page itself
        "secret": "../secret.png",
        "absolute": str(outside),
        "text": "runs/x/text.png",
        "gone": "runs/x/gone.png",
    }
    index = write_page([write([replace(record, artifacts=artifacts)], folder)], folder)
    (page,) = (index.parent / "cases").iterdir()
    (source,) = Tags(page.read_text()).values("src")
    assert source == "../runs/x/errors.png"
    assert (page.parent / source).resolve() == inside.resolve()
    index = write_page([folder / "runs" / "records.jsonl"], tmp_path / "elsewhere")
    (page,) = (index.parent / "cases").iterdir()
    (source,) = Tags(page.read_text()).values("src")
    content = base64.b64decode(source.partition("base64,")[2])
    assert content == inside.read_bytes()


def test_a_page_shows_no_pictures_of_another_run(tmp_path):
    # Files lie under the key, whatever the machine: the later run has replaced the first one's.
    picture = "runs/x/errors.png"
    first, later = (
        make(
            *("padim_resnet18", "parts.bottle"),
            environment=f"cpu | torch 2.{day}",
            finished=f"2026-01-0{day}",
            artifacts={"errors": picture},
        )
        for day in (1, 2)
    )
    crashed = replace(first, status="failed", finished="2026-01-03", metrics={}, artifacts={})
    copied = replace(first, environment={"class": "cuda"}, finished="2026-01-04")
    plot_learning_curve(replace(first, curve=[[1.0, 2.0], [2.0, 1.0]]), tmp_path / picture)
    write([first, later, crashed], tmp_path)
    files = [tmp_path / "runs" / "records.jsonl", write([copied], tmp_path, "of_a_colleague.jsonl")]
    index = write_page(files, tmp_path)
    lost = "another run of the same case wrote to its files"
    for record, own in ((first, False), (later, True), (copied, False)):
        text = (index.parent / "cases" / page_name(record)).read_text()
        assert Tags(text).values("src") == ([f"../{picture}"] if own else [])
        assert (lost in text) != own
    (file,) = files[1:]
    write_page([file], tmp_path)  # nothing is known of the other runs
    assert picture in (index.parent / "cases" / page_name(copied)).read_text()


def test_a_run_page_has_its_numbers_reasons_and_command(tmp_path):
    record = make(
        "padim_resnet18",
        "parts.bottle",
        auroc=0.9712,
        metrics={"f1": None},
        measurements={"model_bytes": 5.0},
        reasons={"score.f1": "no calibration split"},
        notes={"model_bytes": "estimated"},
        intervals={"score": {"image_auroc": [0.91, 0.99]}},
    )
    index = write_page([write([record], tmp_path)], tmp_path)
    text = (index.parent / "cases" / page_name(record)).read_text()
    reason, noted = "no calibration split", "5 (estimated)"
    for words_ in ("97.12", "[91.00, 99.00]", reason, noted, f"-k {record.key.id}"):
        assert words_ in text
    assert f'"finished": "{record.finished}"' in re.sub("&quot;", '"', text)


def test_without_pages_of_runs_the_index_stands_alone(site):
    index = site(gallery(), cases=False)
    assert not (index.parent / "cases").exists()
    assert [h for h in Tags(index.read_text()).values("href") if not h.startswith("#")] == []


def test_no_records_no_rows(site):
    text = site([make(status="failed")]).read_text()
    assert "No run has finished yet." in text
    assert "it broke" in text


def test_cards_name_the_best_the_fastest_near_it_and_what_moved(tmp_path):
    records = [
        make(model, seed=s, auroc=auroc + s / 1000, measurements={"inference_images_per_s": speed})
        for model, auroc, speed in (
            ("padim_resnet18", 0.900, 10.0),
            ("cfa_resnet18", 0.893, 90.0),
            ("stfpm_resnet18", 0.800, 900.0),
        )
        for s in range(3)
    ]
    whole = {"recipe": {"optimizer": "none"}}
    records = [replace(r, protocol=r.protocol | whole) for r in records]
    old, new = (
        make("rd_resnet18", auroc=a, finished=f"2026-0{m}") for a, m in ((0.9, 2), (0.7, 3))
    )
    quick = make("rd_resnet18", auroc=0.1, finished="2026-04", recipe="shorter")
    source = Source([write([*records, old, new, quick], tmp_path)])
    text = render(cards(source))
    big = Tags(text.replace("<wbr>", "")).of("p")
    assert "<wbr>" in text
    assert big[0] == "padim_resnet18 pretrained"
    assert "cfa_resnet18 pretrained" in big
    assert "−20.00" in big
    (move,) = moves(source)
    assert move.texts() == ("90.00", "70.00")


@pytest.mark.parametrize(
    ("lang", "words_of_it"), [("en", "the only row with a rank"), ("ko", "순위가 있는 유일한 행")]
)
def test_cards_say_that_a_row_ranks_alone(tmp_path, lang, words_of_it):
    whole = {"protocol": {"recipe": {"optimizer": "none"}}}
    one = [make("stfpm_resnet18", seed=seed, **whole) for seed in range(3)]
    two = [make("cfa_resnet18", seed=seed, **whole) for seed in range(3)]

    def notes(records):
        source = Source([write(records, tmp_path)])
        with language(lang):
            text = render(cards(source))
        return [note for note in Tags(text).of("p") if note.endswith(words_of_it)]

    assert len(notes(one)) == 2  # the best and the fastest
    assert notes([*one, *two]) == []


def test_open_alarms_are_those_of_the_ledger(tmp_path):
    file = write(gallery(), tmp_path)
    assert "No nightly run has confirmed a regression here." in alarms_card(file)
    ledger = Ledger(tmp_path)
    case = gallery()[0].case.configuration
    for quantity, loss, day, baseline in (
        ("score.image_auroc", 0.0123, 1, "main"),
        ("latency_p50_ms", 0.25, 2, "gpu"),
    ):
        raised = f"2026-03-0{day}T00"
        alarm = Alarm(case, quantity, loss, head="a" * 40, raised=raised, baseline=baseline)
        ledger.raise_alarm(alarm)
    assert alarms_card(file) == [
        "2",
        "confirmed regressions without a verdict: 2 of 2",
        f"2026-03-02: {case}, latency_p50_ms (baseline gpu) worse by 25.00 %",
        f"2026-03-01: {case}, score.image_auroc worse by 1.23 points",
    ]
    for alarm in ledger.open():
        ledger.add_verdict(alarm, "fixed", "in the next commit")
    assert alarms_card(file) == ["none", "confirmed regressions without a verdict: 0 of 2"]


def alarms_card(file):
    """Texts of the card of open alarms."""
    section = cards(Source([file]))
    (card,) = [card for card in section if card.findtext("h3") == "Open alarms"]
    return [text.text for text in card.iter("p")]


def test_the_critical_difference_diagram_is_of_the_means(tmp_path):
    text = index_page(Source([write(gallery(), tmp_path)]))
    (diagram,) = re.findall(r'<svg[^>]*aria-label="Mean rank over categories".*?</svg>', text)
    ranks = [float(number) for number in re.findall(r"pretrained (\d\.\d\d)<", diagram)]
    assert len(ranks) == 5
    assert sum(ranks) == pytest.approx(15)  # the mean rank of five models is 3
    assert "CD 2.16" in diagram  # 2.728 · √(5·6 / (6·8)), Demšar 2006, table 5


def test_three_thousand_rows_stay_small(tmp_path):
    text = index_page(Source([write(many(3_000), tmp_path)]))
    assert text.count("<tr") > 3_000
    assert len(text.encode()) < 3_000_000


def test_the_script_is_short(root):
    assert len((root / "bench" / "page" / "page.js").read_text().splitlines()) <= 600


def texts_of_the_page(root):
    """English texts given to ``t`` in the sources of the page."""
    for file in sorted((root / "bench" / "page").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t":
                (text, *_) = node.args
                if isinstance(text, ast.Constant):
                    yield text.value


def test_every_text_of_the_page_has_a_korean_one_with_the_same_fields(root):
    texts = set(texts_of_the_page(root))
    assert len(texts) > 60
    assert texts - korean().keys() == set()
    assert korean().keys() - texts == set()
    for english, other in korean().items():
        fields = [{f for _, f, *_ in string.Formatter().parse(t) if f} for t in (english, other)]
        assert fields[0] == fields[1], english


def test_the_korean_page_is_korean(site):
    text = site(gallery(), "ko").read_text()
    assert '<html lang="ko">' in text
    assert "리더보드" in text
    assert "Leaderboard" not in re.sub("<script>.*?</script>", "", text, flags=re.S)


def test_the_korean_page_counts_in_korean(site):
    scopes = {"padim_resnet18": ("bottle",)}
    scopes |= dict.fromkeys(("cfa_resnet18", "stfpm_resnet18"), ("bottle", "cable"))
    records = [make(m, f"parts.{name}") for m, names in scopes.items() for name in names]
    tags = Tags(site(records, "ko").read_text())
    assert "(2개 중 1개)" in tags.of("td")
    assert any(title.endswith(" · 초당 123장") for title in tags.of("title"))
    texts = " ".join(text for tag, text in tags.texts if tag != "script")
    assert "(1 of 2)" not in texts
    assert "123 images/s" not in texts


def test_the_command_writes_and_names_its_page(tmp_path, capsys):
    file = write(gallery()[:3], tmp_path)
    assert main(["page", str(file), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"
    assert main(["page", str(tmp_path / "absent.jsonl")]) == 2
    assert "No records at" in capsys.readouterr().err
