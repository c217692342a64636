"""Optimizers without torch's compiler, in a separate process, as this one may have it already."""

import subprocess
import sys

STEPS = """
import sys

import torch
from torch.optim import SGD, Adam, AdamW

from bench.run.training.optimization import build_optimizer
from models.catalog import MODELS

assert "torch._dynamo" not in sys.modules


def trained(build):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5))
    optimizer = build(parameter)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for _ in range(3):
        optimizer.zero_grad()
        (parameter**3).sum().backward()
        optimizer.step()
        schedule.step()
    optimizer.load_state_dict(optimizer.state_dict())
    return parameter.detach()


recipes = [
    MODELS[name].recipes[recipe]
    for name, recipe in [
        ("stfpm", "baseline"), ("rd_resnet18", "baseline"), ("cfa_resnet18", "baseline"),
        ("dinomaly_deit_tiny", "baseline"),
    ]
]
assert [recipe.optimizer for recipe in recipes] == ["sgd", "adam", "adamw", "stable_adamw"]
ours = [trained(lambda p: build_optimizer(recipe, [(1.0, [p])])) for recipe in recipes]
assert not {"torch._dynamo", "sympy"} & sys.modules.keys()
"""

COMPARE = """
sgd, adam, adamw = recipes[:3]


def build_adam(kind, recipe):
    settings = recipe.lr, recipe.betas, recipe.eps, recipe.weight_decay, recipe.amsgrad
    return lambda p: kind([p], *settings, fused=True)


theirs = [
    trained(
        lambda p: SGD([p], sgd.lr, sgd.betas[0], weight_decay=sgd.weight_decay, fused=True)
    ),
    trained(build_adam(Adam, adam)),
    trained(build_adam(AdamW, adamw)),
]
assert all(torch.equal(one, other) for one, other in zip(ours, theirs)), (ours, theirs)
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
assert "torch._dynamo" in sys.modules
assert torch.equal(trained(lambda p: build_optimizer(sgd, [(1.0, [p])])), ours[0])
"""


def test_optimizers_step_as_torchs_own_and_leave_the_compiler_alone():
    result = subprocess.run([sys.executable, "-c", STEPS + COMPARE], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
