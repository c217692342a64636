"""What the harness asks models for."""

import inspect

import models.components.base


def test_what_isinstance_looks_for_are_methods_alone():
    """From Python 3.12 on it does not see a module's children, which are no plain attributes."""
    asked = [
        kind
        for _, kind in inspect.getmembers(models.components.base, inspect.isclass)
        if getattr(kind, "_is_runtime_protocol", False)
    ]
    assert len(asked) > 5
    for kind in asked:
        assert not inspect.get_annotations(kind), kind
