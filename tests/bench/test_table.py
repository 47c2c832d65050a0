"""The measuring machinery: every shape, variant and column, each in a process of its own; and the bars, slowly."""

import subprocess
import sys

import pandas as pd
import pytest

from scalebio.bench import measure, table, variants
from scalebio.errors import UserError
from scalebio.figures import bench as figures
from scalebio.figures import house


def fake(seconds: dict, calls: list):
    def child(shape, variant, first, count):
        calls.append((shape, variant, first, count))
        return {
            "seconds": [seconds[variant] + 0.1 * k for k in range(count)],
            "peak_mb": 100 * seconds[variant] + first,
        }

    return child


def test_ratios_medians_and_turns_by_hand():
    calls = []
    wanted = {"minuscule": ["released", "scalebio"]}
    found = table.run(wanted, 2, 2, child=fake({"released": 10.0, "scalebio": 4.0}, calls)).set_index("variant")
    assert {*found.columns, "variant"} == set(table.COLUMNS)
    assert calls == [("minuscule", v, first, 2) for first in (1, 4) for v in ("released", "scalebio")]
    assert found.loc["released", "cpu_seconds"] == pytest.approx(10.05)
    assert found.loc["scalebio", "time_ratio"] == pytest.approx(4.05 / 10.05)
    assert found.loc["scalebio", "memory_ratio"] == pytest.approx(404 / 1004)
    assert found.loc["released", "memory_ratio"] == 1 and (found["steps"] == 4).all()


def test_too_few_steps_are_refused():
    with pytest.raises(UserError, match="at least 3 steps"):
        table.run({"minuscule": ["released"]}, 1, 2)


def test_a_child_that_fails_is_named():
    with pytest.raises(UserError, match="no_such_variant on minuscule ended with code 1"):
        table.in_child("minuscule", "no_such_variant", 1, 1)


def test_shapes_are_asked_for_by_name():
    assert variants.wanted("6x256=all") == ("6x256", list(variants.ABOUT))
    assert variants.wanted("gpt2-small=main") == ("gpt2-small", list(variants.MAIN))
    for wrong in ("7x7=all", "6x256", "6x256=some"):
        with pytest.raises(ValueError):
            variants.wanted(wrong)


def test_the_figure_shows_every_bar():
    rows = [
        {
            "shape": shape,
            "variant": variant,
            "cpu_seconds": 1.0,
            "peak_mb": 10.0,
            "time_ratio": 0.5,
            "memory_ratio": 0.25,
        }
        for shape, names in (("6x256", list(variants.ABOUT)), ("gpt2-small", variants.MAIN))
        for variant in names
    ]
    with house.style():
        figure = figures.draw(pd.DataFrame(rows), {})
    assert [len(axes.patches) for axes in figure.axes] == [11, 11, 3, 3]
    assert all(axes.get_xlabel() for axes in figure.axes)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [variants.ABOUT[variant] for variant in variants.ABOUT]


def test_every_variant_is_measured():
    found = table.run({"minuscule": list(variants.ABOUT)}, rounds=1, steps=3, child=measure.measure)
    assert list(found["variant"]) == list(variants.ABOUT)
    assert (found["cpu_seconds"] > 0).all() and found["time_ratio"].notna().all()
    shown = table.summary(found).markdown()
    assert all(f"| `{variant}` (" in shown for variant in variants.ABOUT), shown


TIME = {"scalebio": 0.45, "scalebio_frozen_embeddings": 0.33}
MEMORY = {"scalebio": 0.45, "scalebio_frozen_embeddings": 0.30}


@pytest.mark.slow
def test_the_entry_point_measures_in_processes_of_their_own_and_the_bars_hold(root, tmp_path):
    """Ours trains the same parameters in at most 0.45 of the time and memory; frozen embeddings 0.33 and 0.30.

    What runs beside a measurement slows steps unequally, so the bars on time are held by one of three; a step that has
    become slower misses them in all.
    """
    outputs = {name: tmp_path / f"step.{name}" for name in ("csv", "markdown")}
    command = [sys.executable, str(root / "scripts/bench_step.py"), "--shape", "6x256=main", "--rounds", "1"]
    arguments = [part for name, path in outputs.items() for part in (f"--{name}", str(path))]
    ratios = []
    while len(ratios) < 3 and not (ratios and all(ratios[-1][variant] <= bar for variant, bar in TIME.items())):
        done = subprocess.run([*command, "--steps", "3", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = pd.read_csv(outputs["csv"])
        assert list(found.columns) == table.COLUMNS and list(found["variant"]) == list(variants.MAIN)
        shown = outputs["markdown"].read_text()
        assert all(
            f"| `{row.variant}` (" in shown and f"| {row.cpu_seconds:.2f} |" in shown for row in found.itertuples()
        )
        found = found.set_index("variant")
        assert all(found.loc[variant, "memory_ratio"] <= bar for variant, bar in MEMORY.items()), found
        ratios.append(found["time_ratio"])
    assert all(ratios[-1][variant] <= bar for variant, bar in TIME.items()), pd.DataFrame(ratios)
