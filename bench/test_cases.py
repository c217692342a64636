"""The one test function of a benchmark session: every collected case is one call of it."""

from typing import TYPE_CHECKING

import pytest

from bench.case import Case
from bench.replay import CLOCK

if TYPE_CHECKING:
    from bench.session import BenchSession


@pytest.mark.benchmark(timer=CLOCK)
def test_case(case: Case, bench_session: "BenchSession", request: pytest.FixtureRequest) -> None:
    """Run one case, or find it finished; see `bench.session.BenchSession.run`."""
    bench_session.run(case, request)
