"""Own data as docs/your_data.md leads to it: the template with a file in each format, and every fault with the message it shows."""

import gzip
import json
import lzma
import re
import shutil

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

from scalebio import chat, pools, sources
from scalebio.config import Source
from scalebio.errors import UserError
from scalebio.study import check_files, load_study

TEMPLATE = "config/templates/my_study.yaml"
# Of a message, what differs from place to place is left out in the page.
GAP = "…"


def pairs(kind, count):
    return [(f"{kind} {number}: what is {number} + 1?", str(number + 1)) for number in range(count)]


def write_files(folder):
    """A file in each of the five formats, in each container, compressed and not, under the names of the template."""
    folder.mkdir()
    alpaca = [{"instruction": question, "input": "", "output": answer} for question, answer in pairs("forum", 40)]
    (folder / "forum.json").write_text(json.dumps(alpaca))
    talks = [
        {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}
        for question, answer in pairs("talk", 40)
    ]
    with gzip.open(folder / "talks.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in talks)
    chats = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        for question, answer in pairs("chat", 40)
    ]
    pq.write_table(pa.Table.from_pylist(chats), folder / "chats.parquet")
    with lzma.open(folder / "manuals.json.xz", "wt") as file:
        json.dump([{"text": f"{question} {answer}"} for question, answer in pairs("manual", 40)], file)
    rows = [{"prompt": question, "response": answer} for question, answer in pairs("wanted", 260)]
    (folder / "wanted.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def own(root, tmp_path, monkeypatch):
    """A folder with the template and its files, as the working directory; returns the study file's content."""
    write_files(tmp_path / "my_data")
    shutil.copy(root / TEMPLATE, tmp_path / "mine.yaml")
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load((tmp_path / "mine.yaml").read_text(encoding="utf-8"))


def pool(content):
    """The pool of the study's experiment, as the workflow builds it from the files."""
    study = load_study(content)
    experiment = study.experiments["mine"]
    rows = {name: sources.load(name, source)[0] for name, source in study.sources.items()}
    return pools.build("mine", experiment, study.references[experiment.reference], rows)[0]


def test_the_template_reads_a_file_in_each_format(own):
    found = pool(own)
    assert {record.source for record in found["train"]} == {"forum", "talks", "chats", "manuals"}
    assert (len(found["train"]), len(found["validation"]), len(found["test"])) == (160, 100, 100)
    first = {record.source: record.messages for record in found["train"] if record.row == 0}
    for source, kind in (("forum", "forum"), ("talks", "talk"), ("chats", "chat")):
        (question, answer), *_ = pairs(kind, 1)
        assert first[source] == [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    assert first["manuals"] == [{"role": "assistant", "content": "manual 0: what is 0 + 1? 1"}]


def test_csv_becomes_jsonl_by_the_line_on_the_page(root, tmp_path, monkeypatch):
    """Answers that are numbers throughout too, which pandas would take for such."""
    monkeypatch.chdir(tmp_path)
    page = (root / "docs/your_data.md").read_text(encoding="utf-8")
    (tmp_path / "rows.csv").write_text("prompt,response\n1 + 1,2\n2 + 2,4\n", encoding="utf-8")
    exec(re.search(r"`(pandas\.read_csv.*?)`", page)[1], {"pandas": pandas})
    found = sources.load("forum", Source.model_validate({"file": "rows.jsonl"}))[0]
    assert [row.messages[1]["content"] for row in found] == ["2", "4"]


@pytest.mark.slow
def test_the_template_plans_in_a_fresh_clone(clone):
    write_files(clone.path / "my_data")
    shown = clone.run("-n", "-q", "rules", study=TEMPLATE)
    counted = dict(re.findall(r"^(\w+) +(\d+)$", shown, re.MULTILINE))
    assert (counted["fetch_source"], counted["learn_weights"], counted["report"]) == ("5", "6", "1"), shown


# --- each thing that goes wrong -----------------------------------------------------------------------------------


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ROW = {"prompt": "Hi", "response": "Hello."}


def file(content, name="forum.jsonl", **settings):
    """A source whose file holds something unfit."""

    def change(own, folder, tokenizer):
        (folder / "my_data" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        own["sources"]["forum"] = {"file": f"my_data/{name}", **settings}
        pool(own)

    return change


def key(path, value):
    """A key of the study file that holds something unfit."""

    def change(own, folder, tokenizer):
        *parents, last = path.split(".")
        section = own
        for parent in parents:
            section = section[parent]
        section[last] = value
        pool(own)

    return change


def text(old, new):
    """A study file that is no good as YAML."""

    def change(own, folder, tokenizer):
        study = folder / "mine.yaml"
        content = study.read_text(encoding="utf-8")
        assert old in content
        study.write_text(content.replace(old, new), encoding="utf-8")
        load_configfile("mine.yaml")  # Snakemake reads it before the Snakefile can look
        check_files(["mine.yaml"])

    return change


def leak(own, folder, tokenizer):
    shutil.copy(folder / "my_data" / "wanted.jsonl", folder / "my_data" / "forum.jsonl")
    own["sources"]["forum"] = {"file": "my_data/forum.jsonl"}
    pool(own)


def too_long(own, folder, tokenizer):
    long = {"prompt": "Hi " * 400, "response": "Hello."}
    content = lines(ROW, long, ROW | {"prompt": "Well?"}, long | {"response": "Well."})
    (folder / "my_data" / "forum.jsonl").write_text(content)
    own["sources"]["forum"] = {"file": "my_data/forum.jsonl"}
    rows = [record for record in pool(own)["train"] if record.source == "forum"]
    chat.encode_all(rows, tokenizer, own["models"]["tiny"]["max_length"])


def indented(own, folder, tokenizer):
    own["experiments"]["seeds"] = own["experiments"]["mine"].pop("seeds")
    pool(own)


def absent(path):
    """A study file that is not there, as Snakemake reads it."""
    return lambda own, folder, tokenizer: load_configfile(path)


FAULTS = {
    "A file is not there": key("sources.forum.file", "my_data/form.json"),
    "A folder is named, not a file": key("sources.forum.file", "my_data"),
    "The study file itself is not there": absent("config/mein.yaml"),
    "A target was taken for a study file": absent("results/mine/sources/forum.parquet"),
    "A key is unknown": key("sources.forum.license", "MIT"),
    "A name points nowhere": key("experiments.mine.sources", ["forum", "talk"]),
    "A name has a blank": key("study", "my study"),
    "A list has brackets, also with one value": key("experiments.mine.seeds", 3),
    "A key is indented too little": indented,
    "A source is named twice": text("  chats: {", "  talks: {"),
    "The study file is no YAML": text("  forum: {", "\tforum: {"),
    "There is only one source": key("experiments.mine.sources", ["forum"]),
    "The wanted rows are a training source too": key("experiments.mine.sources", ["forum", "wanted"]),
    "The keys of the rows are others": file(lines({"q": "Hi", "a": "Hello."})),
    "The rows lie deeper": file(json.dumps({"data": [ROW]}), "forum.json"),
    "Formats are mixed": file(lines(ROW, {"instruction": "Add.", "output": "2"})),
    "A format is named that it has not": file(lines(ROW), format="alpaca"),
    "A line is broken": file(lines(ROW) + '{"prompt": "Hi", "resp\n'),
    "The file is empty": file(""),
    "The file is CSV": file("prompt,response\nHi,Hello.\n", "forum.csv"),
    "The encoding is not UTF-8": file(lines({"prompt": "Größe?", "response": "groß"}).encode("latin-1")),
    "The file is cut off": file(gzip.compress(lines(ROW).encode())[:-9], "forum.jsonl.gz"),
    "Answers are empty": file(lines(ROW, ROW | {"response": " "}, ROW | {"response": None})),
    "An answer is a number": file(lines(ROW | {"response": 42})),
    "A role is unknown": file(lines({"messages": [{"role": "bot", "content": "Hi"}]})),
    "There are too few rows": key("references.goal.validation_rows", 5000),
    "Validation rows are also trained on": leak,
    "A row is too long": too_long,
}


@pytest.fixture(scope="session")
def told(root):
    """Title → message of every fault on the page."""
    page = (root / "docs/your_data.md").read_text(encoding="utf-8")
    return dict(re.findall(r"\*\*([^*]+?)\.?\*\*[^*]*?```text\n(.*?)\n```", page, re.DOTALL))


def test_the_page_tells_each_fault(told):
    assert told.keys() == FAULTS.keys()


@pytest.mark.parametrize("title", FAULTS)
def test_what_goes_wrong_is_said_as_the_page_shows_it(own, tmp_path, tiny, told, title):
    with pytest.raises((UserError, WorkflowError, FileNotFoundError)) as raised:
        FAULTS[title](own, tmp_path, tiny[1])
    message = " ".join(str(raised.value).split())
    parts = [re.escape(" ".join(part.split())) for part in told[title].split(GAP)]
    assert re.fullmatch(".*".join(parts), message), message
