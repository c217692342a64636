"""What ``python -m bench bisect`` asks of the search, which runs nothing here."""

import pytest
import timm
import torch

from bench.__main__ import main
from bench.regression import search
from bench.regression.code_tree import is_repository

WOVEN = "surface.woven-default-scratch"


@pytest.fixture
def ask(monkeypatch, generated_once, tmp_path):
    """Run the command; return the question of its search."""
    if not is_repository():
        pytest.skip("the code is not in a git repository")
    generated_once(tmp_path / "cache")
    asked = []

    class Search:
        def __init__(self, question, *_):
            asked.append(question)

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
    question = ask(f"padim_resnet18-{WOVEN}-s2", "finishes", "--seeds", "3")
    assert question.case.replicate == 2
    assert ask(f"padim_resnet18-{WOVEN}", "finishes", "--seeds", "3").case.replicate == 0
