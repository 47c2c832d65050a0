"""The entry point of figures: light, the same bytes twice, and one clear message for tables or settings that do not fit."""

import json
import subprocess
import sys
from importlib import import_module

import pandas as pd
import pytest
from figures.studies import JUDGED

from scalebio.errors import UserError
from scalebio.figures import NAMES, house

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("name", NAMES)
def test_entry_point_is_light_and_gives_the_same_bytes_twice(studies, name, tmp_path, root):
    study = studies["usual"]
    # Runs the entry point as Snakemake does and then looks at what it had to import.
    probe = (
        "import runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0]);"
        "runpy.run_path(sys.argv[0], run_name='__main__');"
        "assert not {'torch', 'transformers', 'datasets', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    table, settings = study.path(name), json.dumps(study.settings(name))
    out = ["--pdf", tmp_path / "one.pdf", "--png", tmp_path / "one.png"]
    script = root / "scripts/draw_figure.py"
    command = [sys.executable, "-W", "error", "-c", probe, script, name, "--table", table, "--settings", settings, *out]
    subprocess.run(list(map(str, command)), check=True)
    with house.style():
        house.save(study.draw(name), tmp_path / "a.pdf", tmp_path / "a.png")
    for kind in ("pdf", "png"):
        first, second = (tmp_path / f"one.{kind}").read_bytes(), (tmp_path / f"a.{kind}").read_bytes()
        assert first == second and len(first) > 5000
    assert b"CreationDate" not in (tmp_path / "one.pdf").read_bytes()
    assert not list(tmp_path.glob(".*part*"))


def test_a_table_in_parts_is_drawn_as_the_whole_and_each_is_recorded(studies, tmp_path, root):
    study = studies["usual"]
    frame = pd.read_csv(study.path("test_loss"))
    parts = [tmp_path / f"{number}.csv" for number in (0, 1)]
    for rows, path in zip((frame[:5], frame[5:]), parts, strict=True):
        rows.to_csv(path, index=False)
    drawn = []
    for tables, name in (([study.path("test_loss")], "whole"), (parts, "parts")):
        command = [sys.executable, root / "scripts/draw_figure.py", "test_loss", "--table", *tables]
        out = ["--pdf", tmp_path / f"{name}.pdf", "--png", tmp_path / f"{name}.png"]
        subprocess.run([*map(str, command), "--settings", json.dumps(study.settings("test_loss")), *out], check=True)
        drawn.append((tmp_path / f"{name}.png").read_bytes())
    assert drawn[0] == drawn[1]
    recorded = json.loads((tmp_path / "parts.provenance.json").read_text())["provenance"]["inputs"]
    assert [recorded[f"table {number}"]["path"] for number in (0, 1)] == list(map(str, parts))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment,method,seed,test_loss\nx,m,0,1\n", "table.csv: no column accuracy"),
        ("experiment,method,seed,test_loss,accuracy\n", "table.csv: the table has no rows"),
        ("", "table.csv: not a readable CSV file"),
        ("experiment,method,seed,test_loss,accuracy\nx,m,0,one,\n", "line 2, column test_loss: expected a number"),
    ],
)
def test_unfit_tables_give_one_clear_message(text, message, tmp_path, root):
    (tmp_path / "table.csv").write_text(text)
    command = [sys.executable, root / "scripts/draw_figure.py", "test_loss", "--table", tmp_path / "table.csv"]
    out = ["--pdf", tmp_path / "a.pdf", "--png", tmp_path / "a.png"]
    result = subprocess.run([*command, *out], capture_output=True, text=True)
    assert result.returncode == 2 and message in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "a.pdf").exists() and not (tmp_path / "a.png").exists()


def test_impossible_settings_are_named(studies):
    usual = studies["usual"]
    with pytest.raises(UserError, match="`experiment` is nowhere; set it to one that the table has: denoising, multi"):
        usual.draw("weights", "nowhere")
    with pytest.raises(UserError, match="`experiment` is None; set it to one that the table has: denoising, multi"):
        import_module("scalebio.figures.final_weights").draw(usual.table("final_weights"), {"study": "usual"})
    with pytest.raises(UserError, match="no rows of stage pretraining; the table has finetuning, reweighting"):
        usual.draw("training_curves", stage="pretraining")


@pytest.mark.parametrize("name", JUDGED)
def test_scores_of_two_judges_share_no_figure(studies, name):
    table = studies["one seed"].table(name)
    table.loc[0, "judge"] = "another judge"
    with pytest.raises(UserError, match="mixes judges"):
        import_module(f"scalebio.figures.{name}").draw(table, {})


def test_a_method_that_never_moves_has_no_weight_curve(studies):
    table = studies["usual"].table("weights")
    with pytest.raises(UserError, match="no method of experiment denoising has more than one step"):
        import_module("scalebio.figures.weights").draw(table[table["step"] == 0], {"experiment": "denoising"})
