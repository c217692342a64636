"""Records, nights and a bench for tests of what a night judges and leaves behind."""

from fake_records import make

from bench.regression import confirmation
from bench.regression.code_tree import CodeTree
from bench.regression.confirmation import (
    ConfirmationContext,
)
from bench.regression.journal import Night
from bench.regression.plan import Plan, Planned
from bench.settings import Settings

BYTES, LATENCY = "inference_rise_host_bytes", "latency_p50_ms"


def record(auroc=0.9, size=60.0, latency=10.0, *, commit="a" * 40, dirty=False, **fields):
    measured = {BYTES: size * 2.0**20, LATENCY: latency}
    fields = {"metrics": {"pixel_auroc": auroc}, "measurements": measured} | fields
    code = {"commit": commit, "dirty": dirty, "hash": commit[:8]}
    return make("dfm_resnet18", auroc=auroc, code=code, **fields)


def bench_in(folder):
    settings = Settings("smoke", "cpu", (folder,), (), folder, folder)
    return ConfirmationContext(settings, folder / "night", folder / "trees", busy=True)


def no_trees(monkeypatch):
    monkeypatch.setattr(confirmation, "why_unreachable", lambda *_: None)
    monkeypatch.setattr(confirmation, "tree_of", lambda commit, _: CodeTree(None, commit, ""))
    monkeypatch.setattr(confirmation, "current_tree", lambda: CodeTree(None, None, ""))


def night_of(tmp_path, records, reason="stale", dirty=False):
    planned = [Planned(one.case, reason, "x", 1.0, 1.0) for one in records]
    plan = Plan(planned=planned)
    return Night("2026-01-02", tmp_path / "x.jsonl", "2026-01-02", "b" * 40, dirty, "all", plan)
