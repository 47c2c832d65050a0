"""How cost grows: every setting varies one thing, and sources cost nothing beyond their rows."""

import pytest

from scalebio.bench import growth


def test_each_setting_varies_one_thing_from_the_plain_one():
    for setting in growth.settings():
        others = {name: value for name, value in growth.PLAIN.items() if name != setting["varied"]}
        assert {name: setting[name] for name in others} == others
        assert growth.BATCH % setting["sources"] == 0


@pytest.mark.slow
def test_sources_cost_nothing_beyond_their_rows():
    """2 and 64 sources at the same global batch, taking turns so that what disturbs one disturbs the other.

    Measured by `snakemake growth`: 1 % more time. The bar leaves room for neighbours on the same machine.
    """
    runs = {sources: growth.make(sources, 32, 64) for sources in (2, 64)}
    seconds = {sources: [] for sources in runs}
    for _ in range(10):
        for sources, run in runs.items():
            seconds[sources].append(growth.cpu_seconds(run))
    assert min(seconds[64][2:]) / min(seconds[2][2:]) < 1.10
