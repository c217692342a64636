"""Progress reports of trainings: a silent one, and one that stops a training to resume it."""

import pytest
import torch

from bench.run.training import loop


def quiet(*_):
    pass


def stop_at(step, error):
    """A report that raises an error after a step."""

    def report(_phase, info):
        if info.get("step") == step:
            raise error

    return report


def resumes_equally(train, folder, monkeypatch):
    """Check that weights whose training is killed after five steps equal those of an unbroken one.

    ``train`` is called with a checkpoint's file, which is ``kept`` in the folder, and a report.
    """
    whole = train(folder / "other", quiet)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "kept", stop_at(5, KeyboardInterrupt))
    resumed = train(folder / "kept", quiet)
    assert resumed.resumed_at == 4
    assert (resumed.first, resumed.last) == (whole.first, whole.last)
    for name, tensor in whole.state.items():
        assert torch.equal(tensor, resumed.state[name]), name
