"""What ``python -m bench bisect`` asks of the search, which runs nothing here."""

import pytest
import timm
import torch

from bench.__main__ import main
from bench.regression import search
from bench.regression.code_tree import why_no_repository
from bench.regression.ledger import Alarm, Ledger

WOVEN = "surface.woven-default-scratch"


@pytest.fixture
def ask(monkeypatch, generated_once, tmp_path):
    """Run the command; return the target of its search."""
    if why := why_no_repository():
        pytest.skip(why)
    generated_once(tmp_path / "cache")
    asked = []

    class Search:
        def __init__(self, target, *_):
            asked.append(target)

        def run(self):
            raise ValueError("nothing is run")

    monkeypatch.setattr(search, "Search", Search)

    def run(case, quantity, *more):
        options = ("--good", "HEAD", "--bad", "HEAD", "--profile", "smoke", "--device", "cpu")
        options += ("--cache-dir", str(tmp_path / "cache"), "--results-dir", str(tmp_path))
        assert main(["bisect", case, "--quantity", quantity, *options, *more]) == 2
        return asked[-1]

    return run


@pytest.mark.parametrize(
    ("quantity", "fixed"),
    [("score.image_auroc", True), ("finishes", True), ("latency_p50_ms", False)],
)
def test_scores_of_a_model_without_randomness_are_exact_and_speeds_vary(
    ask, tmp_path, quantity, fixed
):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    case = f"dfm_resnet18-{WOVEN.replace('scratch', 'pretrained')}-s0"
    assert ask(case, quantity, "--weights-dir", str(tmp_path)).fixed == fixed


def test_the_case_of_the_id_is_run(ask):
    target = ask(f"padim_resnet18-{WOVEN}-s2", "finishes", "--seeds", "3")
    assert target.case.replicate == 2
    assert ask(f"padim_resnet18-{WOVEN}", "finishes", "--seeds", "3").case.replicate == 0


@pytest.mark.parametrize(
    ("options", "night"),
    [((), "2026-01-02"), (("--baseline", "branch"), "2026-01-01"), (("--baseline", "x"), None)],
)
def test_a_search_begins_with_the_alarm_of_its_baseline(ask, tmp_path, options, night):
    name, ledger = f"padim_resnet18-{WOVEN}", Ledger(tmp_path)
    ledger.raise_alarm(Alarm(name, "finishes", 1.0, night="2026-01-01", baseline="branch"))
    ledger.raise_alarm(Alarm(name, "finishes", 1.0, night="2026-01-02"))
    confirmed = ask(name, "finishes", *options).confirmed
    assert (confirmed and confirmed.parent.name) == night


def test_a_revision_that_names_no_commit_is_reported_with_its_option(ask, capsys):
    with pytest.raises(IndexError):  # no search begins
        ask(f"padim_resnet18-{WOVEN}-s0", "finishes", "--bad", "nosuch")
    assert "a commit for --bad, found 'nosuch'" in capsys.readouterr().err


def test_a_repository_that_git_refuses_is_reported_with_gits_remedy(monkeypatch, capsys):
    if why := why_no_repository():
        pytest.skip(why)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert main(["bisect", "any"]) == 2
    assert "git config --global --add safe.directory" in capsys.readouterr().err
