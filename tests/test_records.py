"""Records: every format and container, the round trip through Parquet, and messages for what cannot be read."""

import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalebio import records
from scalebio.errors import UserError
from scalebio.records import Record

DIALOGUE = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
ROWS = {
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello.", "text": "ignored"},
    "prompt_response": {"prompt": "Hi", "response": "Hello."},
    "prompt_response problem": {"problem": "Hi", "solution": "Hello.", "level": "ignored"},
    "prompt_response question": {"question": "Hi", "answer": "Hello."},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
    "sharegpt items": {"items": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Hello."}]},
    "chat": {"messages": DIALOGUE, "prompt": "ignored", "response": "ignored"},
}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("explicit", [False, True])
def test_every_dialogue_format_gives_the_same_messages(tmp_path, name, explicit):
    path = write_lines(tmp_path / "rows.jsonl", [ROWS[name]])
    found, places = records.read_file(path, "s", name.split()[0] if explicit else "auto")
    assert [record.messages for record in found] == [DIALOGUE]
    assert places == ["line 1"]


def test_alpaca_joins_instruction_and_input_by_an_empty_line_and_takes_null_as_empty(tmp_path):
    rows = [
        {"instruction": "Add.", "input": "1 + 1", "output": "2"},
        {"instruction": "Go.", "input": None, "output": "ok"},
    ]
    found, _ = records.read_file(write_lines(tmp_path / "a.jsonl", rows), "s")
    assert [record.prompt for record in found] == ["Add.\n\n1 + 1", "Go."]


def test_plain_text_is_one_assistant_message_and_blank_system_messages_go(tmp_path):
    found, _ = records.read_file(write_lines(tmp_path / "t.jsonl", [{"text": "Once."}]), "s")
    assert found[0].messages == [{"role": "assistant", "content": "Once."}] and found[0].prompt == ""
    rows = [{"messages": [{"role": "system", "content": " "}, *DIALOGUE]}]
    assert records.read_file(write_lines(tmp_path / "c.jsonl", rows), "s")[0][0].messages == DIALOGUE


def test_turns_alternate_from_the_user_on():
    def alternates(roles):
        return Record([{"role": role, "content": "x"} for role in roles.split()], "s", 0).alternates

    for roles in ("user assistant", "system user assistant user assistant", "user assistant user"):
        assert alternates(roles)
    for roles in ("assistant", "assistant user assistant", "user user assistant", "system", "user system assistant"):
        assert not alternates(roles)


def test_prompt_bytes_are_those_before_the_first_answer():
    said = [("system", "ab"), ("user", "ü"), ("assistant", "long answer"), ("user", "not counted")]
    assert Record([{"role": role, "content": text} for role, text in said], "s", 0).prompt_bytes == 2 + 2


def test_every_container_and_compression_gives_the_same_rows(tmp_path):
    rows = [{"prompt": f"Frage {n}\u2028", "response": f"Antwort {n}"} for n in range(3)]
    array, lines = json.dumps(rows, ensure_ascii=False).encode(), b"\n".join(json.dumps(row).encode() for row in rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    parquet = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.json").write_bytes(array)
    (tmp_path / "lines.json").write_bytes(lines)
    (tmp_path / "raw.jsonl").write_bytes("\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(array))
    (tmp_path / "a.jsonl.bz2").write_bytes(bz2.compress(lines))
    (tmp_path / "a.ndjson.xz").write_bytes(lzma.compress(lines))
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(parquet))
    with pa.output_stream(str(tmp_path / "a.jsonl.zst"), compression="zstd") as stream:
        stream.write(lines)
    for path in sorted(tmp_path.iterdir()):
        found, _ = records.read_file(path, "s")
        assert [(record.prompt, *record.answers) for record in found] == [tuple(row.values()) for row in rows], (
            path.name
        )


def test_write_then_read_is_the_same_and_has_exactly_the_schema(tmp_path):
    rows = [Record(DIALOGUE, "a", 7), Record(DIALOGUE, "b", 0, "gcd", '{"dataset": "gcd"}')]
    records.write(tmp_path / "x" / "r.parquet", rows)
    assert records.read(tmp_path / "x" / "r.parquet") == rows
    assert pq.read_schema(tmp_path / "x" / "r.parquet").equals(records.SCHEMA)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["r.parquet"]
    assert records.sha256(rows) == records.sha256(records.read(tmp_path / "x" / "r.parquet"))
    assert records.sha256(rows) != records.sha256(rows[::-1])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": \n', r"a\.jsonl, line 2: not valid JSON"),
        ("a.json", '[\n{"text": "x"},\n{"text" "y"}\n]', r"a\.json, line 3: not valid JSON"),
        ("a.json", '[{"text": "x"}, 3]', r"row 2: expected an object with keys, found int"),
        (
            "a.json",
            '[{"text": "x"}, {"txt": "y"}]',
            r"row 2: expected the keys `text`, as in the rows before it; found \['txt'\]",
        ),
        ("a.json", '[{"question": "x", "reply": "y"}]', r"row 1: cannot tell .* keys \['question', 'reply'\].*alpaca"),
        ("a.json", '[{"prompt": "x", "response": 3}]', r"row 1: `response` should be text, found int"),
        ("a.jsonl", '{"messages": [{"role": "robot", "content": "x"}]}', r"line 1: .*`role` 'robot'; known are user"),
        ("a.jsonl", '{"conversations": "x"}', r"line 1: `conversations` should be a list"),
        ("a.json", "[]", "there are no rows"),
        ("a.jsonl", "\n", "there are no rows"),
        ("a.csv", "x,y", "unknown file type"),
        ("a.json", '{"rows": [{"text": "x"}]}', "rows seem to lie under `rows`: write that list alone"),
        ("a.json.gz", "not compressed", "cannot be read"),
        ("a.parquet", "not parquet", "cannot be read"),
    ],
)
def test_unreadable_input_is_named_with_its_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        records.read_file(tmp_path / name, "s")


@pytest.mark.parametrize(
    ("good", "bad", "reason"),
    [
        ('{"text": "x"}', '{"text": 3}', "`text` should be text, found int."),
        ('{"text": "x"}', '{"text": ', "not valid JSON"),
    ],
)
def test_all_rows_at_fault_are_named_the_first_with_its_reason(tmp_path, good, bad, reason):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([good, bad, good, bad]))
    with pytest.raises(UserError, match=rf"a\.jsonl, line 2: {reason}.* At fault too: line 4\.$"):
        records.read_file(path, "s")
    path.write_text("\n".join([good] + [bad] * 9))
    with pytest.raises(UserError, match=r"At fault too: line 3, line 4, line 5, line 6, line 7 and 3 more\.$"):
        records.read_file(path, "s")


def test_missing_files_and_other_parquet_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"source `s`: there is no file .*nowhere\.json"):
        records.read_file(tmp_path / "nowhere.json", "s")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        records.read(tmp_path / "nowhere.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"expected the columns .*found \['x'\]"):
        records.read(tmp_path / "x.parquet")


def test_answered_needs_every_answer_to_say_something():
    assert Record(DIALOGUE, "s", 0).answered
    assert not Record(DIALOGUE[:1], "s", 0).answered
    assert not Record([*DIALOGUE, {"role": "assistant", "content": " \n"}], "s", 0).answered


def test_real_alpaca_file_is_read_whole(shared_data):
    found, places = records.read_file(shared_data / "alpaca_vs_gpt4" / "train_alpaca.json", "alpaca")
    assert len(found) == len(places) == 9000
    assert sum(not record.answered for record in found) == 7
    assert all(record.prompt for record in found)
