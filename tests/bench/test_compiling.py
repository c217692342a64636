"""When a loss is compiled, that it stays the same, and that a failing compiler costs no run."""

import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.run.compiling import CompilableLoss, pays

CPU = torch.device("cpu")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 3))

    def loss(self, images, targets):
        return functional.cross_entropy(self.layers(images), targets)


def test_it_pays_on_a_gpu_for_what_is_long_and_never_here():
    gpu = torch.device("cuda")
    assert pays(gpu, 0.05, 10_000)  # 500 s
    assert not pays(gpu, 0.05, 1_000)
    assert not pays(CPU, 10.0, 1_000_000)


SAME_LOSS = """
import torch
from torch import nn
from bench.run.compiling import CompilableLoss

torch.manual_seed(0)
layers = nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 3))
images, targets = torch.randn(8, 6), torch.randint(0, 3, (8,))

def loss(images, targets):
    return nn.functional.cross_entropy(layers(images), targets)

compiled = CompilableLoss(loss, torch.device("cpu"), "yes")
results = []
for function in (loss, compiled):
    layers.zero_grad()
    value = function(images, targets)
    value.backward()
    results.append((value.detach(), [p.grad.clone() for p in layers.parameters()]))
torch.testing.assert_close(results[0], results[1])
print(compiled.how)
"""


@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler here")
def test_a_compiled_loss_is_the_same_with_the_same_gradients(root):
    """In a process of its own: the compiler minds who imported distutils before it."""
    command = [sys.executable, "-c", SAME_LOSS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "compiled", done.stderr


def test_a_compiler_that_fails_leaves_the_eager_loss(monkeypatch):
    def broken(function):
        def fails(*_):
            raise RuntimeError("no compiler\nand much more")

        return fails

    monkeypatch.setattr(torch, "compile", broken)
    model, images, targets = Small(), torch.randn(8, 6), torch.randint(0, 3, (8,))
    loss = CompilableLoss(model.loss, CPU, "yes")
    assert torch.equal(loss(images, targets), model.loss(images, targets))
    assert loss.how == "eager; compiling failed: no compiler and much more"


def test_the_models_own_errors_are_not_the_compilers(monkeypatch):
    def out_of_memory(*_):
        raise torch.OutOfMemoryError("on the device")

    with pytest.raises(ZeroDivisionError):
        CompilableLoss(lambda *_: 1 / 0, CPU, "no")(None, None)
    monkeypatch.setattr(torch, "compile", lambda _: out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        CompilableLoss(Small().loss, CPU, "yes")(None, None)


@pytest.mark.parametrize(
    ("choice", "device", "expected"),
    [("auto", "cuda", 1), ("no", "cuda", 0), ("auto", "cpu", 0)],
)
def test_only_an_open_choice_is_decided_by_what_steps_cost(monkeypatch, choice, device, expected):
    calls = []
    monkeypatch.setattr(torch, "compile", lambda loss: calls.append(loss) or loss)
    CompilableLoss(Small().loss, torch.device(device), choice).consider(0.05, 100_000)
    assert len(calls) == expected
