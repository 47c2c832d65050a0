"""Sources: filters with their counts, disjoint parts, draws, planted corruption, and the entry point."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from scalebio import records, sources
from scalebio.config import Source
from scalebio.errors import UserError
from scalebio.gated import way_in
from scalebio.streams import stream


@pytest.fixture
def rows_file(tmp_path):
    """100 rows, prompt and answer numbered alike."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{n}", "response": f"a{n}"}) + "\n" for n in range(100)))
    return path


def load(name, path, **settings):
    return sources.load(name, Source.model_validate({"file": str(path), **settings}))


def test_a_plain_file_comes_back_whole_with_its_manifest(rows_file):
    rows, manifest = load("s", rows_file, licence="MIT")
    assert [record.row for record in rows] == list(range(100)) and {record.source for record in rows} == {"s"}
    assert manifest["rows"] == manifest["rows_read"] == 100 and manifest["licence"] == "MIT"
    assert manifest["sha256"] == records.sha256(rows) and manifest["corrupted_rows"] == 0
    assert len(manifest["origin"]["sha256"]) == 64


def test_parts_are_disjoint_complete_and_even_whoever_takes_them(rows_file, tmp_path):
    copy = tmp_path / "elsewhere.json"
    copy.write_text(json.dumps([json.loads(line) for line in rows_file.read_text().splitlines()]))
    parts = [
        load(
            f"part{index}",
            copy if index % 2 else rows_file,
            part={"index": index, "of": 7},
            corrupt={"rate": index / 7},
        )[0]
        for index in range(7)
    ]
    assert sorted(record.row for part in parts for record in part) == list(range(100))
    assert {len(part) for part in parts} == {14, 15}
    again = load("other name", rows_file, part={"index": 3, "of": 7})[0]
    assert [record.row for record in again] == [record.row for record in parts[3]]
    assert [record.row for record in again] != sorted(record.row for record in again)


def test_rows_are_drawn_without_replacement_by_the_source_s_name(rows_file):
    first, _ = load("s", rows_file, rows=40)
    assert len({record.row for record in first}) == 40
    assert first == load("s", rows_file, rows=40)[0]
    assert {record.row for record in first} != {record.row for record in load("t", rows_file, rows=40)[0]}
    with pytest.raises(UserError, match="asks for rows = 101, but only 100"):
        load("s", rows_file, rows=101)
    with pytest.raises(UserError, match="asks for rows = 60, but only 50"):
        load("s", rows_file, rows=60, part={"index": 0, "of": 2})


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_shuffled_answers_are_other_rows_answers_at_the_asked_rate(rows_file, rate):
    clean, _ = load("s", rows_file)
    spoiled, manifest = load("s", rows_file, corrupt={"rate": rate})
    differing = [(a, b) for a, b in zip(clean, spoiled, strict=True) if a.answers != b.answers]
    assert manifest["corrupted_rows"] == len(differing)
    assert abs(len(differing) - 100 * rate) <= 4 * (100 * rate * (1 - rate)) ** 0.5
    assert Counter(record.answers[0] for record in clean) == Counter(record.answers[0] for record in spoiled)
    assert [record.prompt for record in clean] == [record.prompt for record in spoiled]


def test_blank_corruption_is_a_full_stop_as_in_the_authors_script(rows_file):
    rows, manifest = load("s", rows_file, corrupt={"rate": 0.5, "how": "blank"})
    assert sum(record.answers == ["."] for record in rows) == manifest["corrupted_rows"] > 30


@pytest.mark.parametrize("counts", [[1] * 50, [20, 20, 20], [60, 30, 10], [50, 50], [5], [1], [], [7, 3]])
def test_derangement_keeps_no_more_texts_than_it_must(counts):
    texts = [f"t{k}" for k, count in enumerate(counts) for _ in range(count)]
    for seed in range(20):
        order = sources.derangement(texts, stream(seed, "test"))
        assert sorted(order) == list(range(len(texts)))
        kept = sum(texts[j] == text for text, j in zip(texts, order, strict=True))
        assert kept == max(0, 2 * max(counts, default=0) - len(texts))


def test_derangement_does_not_map_one_text_to_one_other():
    texts = [f"t{k}" for k in range(4) for _ in range(50)]
    given = np.array(texts)[sources.derangement(texts, stream(0, "test"))]
    assert all(len(set(given[50 * k : 50 * k + 50])) == 3 for k in range(4))


def test_rows_without_an_answer_are_refused_in_one_message_or_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    answers = ["x", "", "y", "  "]
    path.write_text("".join(json.dumps({"prompt": "q", "response": answer}) + "\n" for answer in answers))
    with pytest.raises(
        UserError, match=r"a\.jsonl: 2 of 4 rows have no answer \(line 2, line 4\).*drop_unanswered: true"
    ):
        load("s", path)
    rows, manifest = load("s", path, drop_unanswered=True)
    assert [record.row for record in rows] == [0, 2] and manifest["dropped_unanswered"] == 2
    path.write_text('{"prompt": "q", "response": ""}\n')
    with pytest.raises(UserError, match="none of its 1 rows has an answer"):
        load("s", path, drop_unanswered=True)


def test_long_rows_are_left_out_and_counted(rows_file):
    rows, manifest = load("s", rows_file, max_characters=4)
    assert [record.row for record in rows] == list(range(10)) and manifest["dropped_long"] == 90
    with pytest.raises(UserError, match="max_characters = 3; the shortest has 4"):
        load("s", rows_file, max_characters=3)


def test_long_prompts_and_conversations_out_of_turn_are_left_out_and_counted(tmp_path):
    talks = [["human", "gpt"], ["gpt", "human", "gpt"], ["human", "gpt", "human", "gpt"]]
    rows = [{"items": [{"from": role, "value": "é" * 3} for role in roles]} for roles in talks]
    rows[0]["items"][0]["value"] = "é" * 4
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept, manifest = load("s", tmp_path / "a.jsonl", drop_irregular=True, max_prompt_bytes=6)
    assert [record.row for record in kept] == [2]
    assert (manifest["dropped_irregular"], manifest["dropped_long"]) == (1, 1)
    with pytest.raises(UserError, match="no row has at most max_prompt_bytes = 5; the shortest has 6"):
        load("s", tmp_path / "a.jsonl", drop_irregular=True, max_prompt_bytes=5)
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[1]))
    with pytest.raises(UserError, match="`drop_irregular` leaves nothing"):
        load("s", tmp_path / "a.jsonl", drop_irregular=True)


def test_an_empty_source_and_an_empty_part_are_refused(tmp_path, rows_file):
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(UserError, match="no rows"):
        load("s", tmp_path / "empty.json")
    with pytest.raises(UserError, match="part 150 of 200 is empty"):
        load("s", rows_file, part={"index": 150, "of": 200})


def test_a_local_file_stands_in_for_the_hub(rows_file):
    entry = {"hub": {"id": "owner/name", "revision": "0" * 40}, "local": rows_file.name}
    rows, manifest = sources.load("s", Source.model_validate(entry), str(rows_file.parent))
    assert len(rows) == 100 and manifest["origin"]["stands_in_for"]["id"] == "owner/name"
    with pytest.raises(UserError, match="give the source a `local` file"):
        sources.load("s", Source.model_validate({"hub": entry["hub"]}), str(rows_file.parent))


def fetch(root, tmp_path, source, name="s", **environment):
    """Run the entry point as a rule does."""
    settings = json.dumps({"name": name, "source": source, "offline_data": None})
    command = [sys.executable, root / "scripts" / "fetch_source.py", "--settings", settings]
    command += ["--output", tmp_path / "out.parquet", "--manifest", tmp_path / "out.json"]
    return subprocess.run(
        command, capture_output=True, text=True, env={"PATH": "", "HOME": str(tmp_path), **environment}
    )


def test_the_entry_point_writes_both_files_or_neither(root, tmp_path, rows_file):
    done = fetch(root, tmp_path, {"file": str(rows_file), "corrupt": {"rate": 1}})
    assert done.returncode == 0 and "100 rows" in done.stdout, done.stderr
    assert len(records.read(tmp_path / "out.parquet")) == 100
    manifest = json.loads((tmp_path / "out.json").read_text())
    assert manifest["corrupted_rows"] == 100
    provenance = manifest["provenance"]
    assert provenance["settings"]["name"] == "s" and str(root) not in json.dumps(provenance)
    assert provenance["inputs"] == {"file": {"path": str(rows_file), "sha256": manifest["origin"]["sha256"]}}
    (tmp_path / "out.parquet").unlink()
    failed = fetch(root, tmp_path, {"file": "nowhere.json"})
    assert failed.returncode == 2 and failed.stderr.startswith("error: source `s`: there is no file nowhere.json")
    assert not (tmp_path / "out.parquet").exists()


def test_a_generated_source_has_no_input_file(root, tmp_path):
    done = fetch(root, tmp_path, {"generator": {"kind": "cldr", "language": "de"}, "rows": 5})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["provenance"]["inputs"] == {}


@pytest.mark.slow
def test_a_hub_data_set_that_cannot_be_loaded_says_how_to_go_on(root, tmp_path):
    source = {"hub": {"id": "owner/no-such-data-set", "revision": "0" * 40}}
    failed = fetch(root, tmp_path, source, HF_HUB_OFFLINE="1")
    assert failed.returncode == 2, failed.stderr
    assert "could not load `owner/no-such-data-set`" in failed.stderr and "offline_data" in failed.stderr
    assert not (tmp_path / "out.parquet").exists()


def test_a_gated_repository_says_what_its_owner_wants(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    hub = {"id": "owner/rows", "revision": "unverified"}
    assert way_in(Source.model_validate({"hub": hub}).hub) == ""
    gated = Source.model_validate({"hub": hub | {"gated": True}}).hub
    assert "`owner/rows` is gated, and there is no token here: accept its conditions" in way_in(gated)
    monkeypatch.setenv("HF_TOKEN", "hf_a")
    assert "the account of the token here may lack that" in way_in(gated)


@pytest.mark.slow
def test_a_data_set_folder_in_the_hub_s_layout_is_loaded_by_the_hub_s_client(root, tmp_path, rows_file):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "train.jsonl").write_text(rows_file.read_text())
    done = fetch(root, tmp_path, {"hub": {"id": str(tmp_path / "repo"), "revision": "0" * 40}}, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert [record.prompt for record in records.read(tmp_path / "out.parquet")] == [f"q{n}" for n in range(100)]


def test_real_alpaca_parts_with_rising_corruption(shared_data):
    path = shared_data / "alpaca_vs_gpt4" / "train_alpaca.json"
    with pytest.raises(UserError, match="7 of 9000 rows have no answer .row 1121"):
        load("s", path)
    parts = [
        load(f"p{i}", path, drop_unanswered=True, part={"index": i, "of": 10}, corrupt={"rate": i / 5})
        for i in (0, 2, 5)
    ]
    assert [len(rows) for rows, _ in parts] == [900, 900, 899]
    assert [manifest["corrupted_rows"] for _, manifest in parts[::2]] == [0, 899]
    assert 0.33 < parts[1][1]["corrupted_rows"] / 900 < 0.47
    assert all(manifest["dropped_unanswered"] == 7 for _, manifest in parts)
    drawn = [record.row for rows, _ in parts for record in rows]
    assert len(drawn) == len(set(drawn))
