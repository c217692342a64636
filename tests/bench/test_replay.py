"""Measured steps in pytest-benchmark: only like is compared with like."""

import copy
from types import SimpleNamespace

import pytest
from fake_records import make

from bench.replay import replay, uncompared

STEPS = {"inference_step": [0.001, 0.002, 0.003]}

TEST = """
from pathlib import Path
import pytest
from bench.record import from_json
from bench.replay import CLOCK, replay

@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize("name", ["same", "other"])
def test_case(name, request):
    replay(from_json(Path(__file__).with_name(name).read_text()), request)
"""


class FakeBenchmark:
    """The fixture of pytest-benchmark, as far as it is used."""

    def __init__(self):
        self.fullname, self.extra_info = "test_cases.py::test_case[x]", {}

    def pedantic(self, *_, **__):
        """Measure nothing."""


def replayed(record):
    benchmark = FakeBenchmark()
    config = SimpleNamespace(pluginmanager=SimpleNamespace(hasplugin=lambda _: True))
    replay(record, SimpleNamespace(config=config, getfixturevalue=lambda _: benchmark))
    return benchmark


def of(**changes):
    """A record with some fields of its key, protocol or environment changed."""
    record = make(samples=STEPS)
    record.environment |= {"threads": 2, "cores": 2}
    for fields in (record.protocol, record.environment):
        fields |= {name: value for name, value in changes.items() if name in fields}
    object.__setattr__(record.key, "profile", changes.get("profile", "smoke"))
    return record


@pytest.mark.parametrize(
    ("changes", "comparable"),
    [
        ({}, True),
        ({"images_seen": 99}, True),  # no step is slower for it
        ({"profile": "standard"}, False),
        ({"image_size": 96}, False),
        ({"image_size": [128, 256]}, False),
        ({"device": "cuda"}, False),
        ({"class": "another CPU | torch 2.14"}, False),
        ({"threads": 1}, False),
        ({"cores": 64}, False),
    ],
    ids=str,
)
def test_runs_are_compared_on_equal_terms_alone(changes, comparable):
    first, second = replayed(of()), replayed(of(**changes))
    assert (first.fullname == second.fullname) == comparable
    assert second.fullname.startswith("test_cases.py::test_case[x] · ")


def test_gpus_of_one_product_are_alike():
    same = [of(device=name, **{"class": "H200"}) for name in ("cuda:0", "cuda:1")]
    assert len({replayed(record).fullname for record in same}) == 1


def test_the_table_is_headed_by_the_conditions():
    assert replayed(of()).group == "surface.woven · inference step · smoke · 128 px · cpu"


def test_a_saved_run_under_other_conditions_is_no_regression(run_session, tmp_path):
    (tmp_path / "test_replayed.py").write_text(TEST)

    def session(slower, profile, *options):
        for name, own in (("same", "smoke"), ("other", profile)):
            record = copy.deepcopy(of(profile=own))
            record.samples["inference_step"] = [slower * t for t in STEPS["inference_step"]]
            (tmp_path / name).write_text(record.to_json())
        where = ["--rootdir", str(tmp_path), "--benchmark-storage", f"file://{tmp_path}/saved"]
        return run_session(str(tmp_path), "-p", "no:cacheprovider", *where, *options)

    session(1, "smoke", "--benchmark-save", "before").assert_outcomes(passed=2)
    text = session(10, "standard", "--benchmark-compare").stdout.str()
    assert "test_case[same] (NOW)" in text
    assert "test_case[other]" in text
    assert "test_case[other] (" not in text


@pytest.mark.parametrize(
    ("sources", "said"),
    [(["NOW", "NOW"], ""), (["NOW", False], "1 of 2 benchmarks were not compared")],
)
def test_benchmarks_without_a_saved_run_are_counted(sources, said):
    rows = [{"path": "saved.json", "source": "0001"}]
    rows += [{"path": None, "source": source} for source in sources]
    assert uncompared(rows).partition(":")[0] == said
