import gc

import pytest

from bench.gc_paused import gc_paused


@pytest.fixture(autouse=True)
def collector():
    """Restore the collector's state after the test."""
    enabled = gc.isenabled()
    gc.collect()
    yield
    gc.unfreeze()
    (gc.enable if enabled else gc.disable)()


def test_what_a_block_makes_is_never_looked_at_again():
    gc.enable()
    with gc_paused():
        assert not gc.isenabled()
        made = [[] for _ in range(10_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    with gc_paused():
        pass
    assert not gc.isenabled()


def test_an_error_in_the_block_leaves_it_running():
    gc.enable()
    with pytest.raises(ImportError), gc_paused():
        raise ImportError
    assert gc.isenabled()
