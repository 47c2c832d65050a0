"""One conversation, and readers for every way in which conversations lie in files.

A `Record` is what every later stage sees: messages with roles, the source's name, the row's index in the raw source,
and for test questions a category and a checker. `write` and `read` keep lists of them as Parquet under `SCHEMA`;
`read_file` reads what users bring: Alpaca, ShareGPT, chat, prompt and response, or plain text, as JSON, JSONL or
Parquet, each also compressed. How each format becomes messages is said at its function below.
"""

import bz2
import gzip
import hashlib
import itertools
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scalebio.errors import UserError
from scalebio.files import replacing

SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("source", pa.string()),
        ("row", pa.int64()),
        ("category", pa.string()),
        ("checker", pa.string()),
    ]
)
"""Columns of every records file; `category` and `checker` may be null."""

SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
CHAT_ROLES = {"user": "user", "assistant": "assistant", "system": "system"}
FAULTS_NAMED = 5  # rows named after the first one at fault
PROMPT_KEYS = (("prompt", "response"), ("question", "answer"), ("problem", "solution"))


@dataclass
class Record:
    """One conversation.

    `messages`: [{"role": "user" | "assistant" | "system", "content": text}, ...]; `row`: its index in the raw source,
    from 0; `category`: skill or topic, or None; `checker`: JSON that `generators.score_answer` takes, or None.
    """

    messages: list[dict[str, str]]
    source: str
    row: int
    category: str | None = None
    checker: str | None = None

    @property
    def name(self) -> str:
        """Which row it is, for people: counted from 1, as an editor counts the lines of a JSONL file."""
        return f"source `{self.source}`, row {self.row + 1}"

    @property
    def prompt(self) -> str:
        """What the user says before the first answer, without system messages; empty for plain text."""
        said = []
        for message in self.messages:
            if message["role"] == "assistant":
                break
            if message["role"] == "user":
                said.append(message["content"])
        return "\n".join(said)

    @property
    def answers(self) -> list[str]:
        """Every assistant message, in order."""
        return [message["content"] for message in self.messages if message["role"] == "assistant"]

    @property
    def answered(self) -> bool:
        """Whether there is an answer to learn from: at least one assistant message, and none of them blank."""
        return bool(self.answers) and all(answer.strip() for answer in self.answers)

    @property
    def alternates(self) -> bool:
        """Whether user and assistant take turns, the user first; one system message may stand before them."""
        roles = [message["role"] for message in self.messages]
        turns = roles[1:] if roles[:1] == ["system"] else roles
        return bool(turns) and all(role == ("user", "assistant")[i % 2] for i, role in enumerate(turns))

    @property
    def prompt_bytes(self) -> int:
        """Length in UTF-8 of all that stands before the first answer; a byte-level tokenizer makes no more tokens of it."""
        before = itertools.takewhile(lambda message: message["role"] != "assistant", self.messages)
        return sum(len(message["content"].encode()) for message in before)

    @property
    def characters(self) -> int:
        """Length of all messages together, in Unicode characters."""
        return sum(len(message["content"]) for message in self.messages)


def write(path: str | Path, records: Iterable[Record]) -> None:
    """Write records as Parquet with the columns of `SCHEMA`, atomically."""
    table = pa.Table.from_pylist([asdict(record) for record in records], schema=SCHEMA)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read(path: str | Path) -> list[Record]:
    """Read what `write` wrote. Raises UserError for a missing file, another kind of file, or other columns."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: not a readable Parquet file of records ({error}).") from error
    if not table.schema.equals(SCHEMA):
        raise UserError(f"{path}: expected the columns {SCHEMA.names}, found {table.schema.names}. Build it again.")
    return [Record(**row) for row in table.to_pylist()]


def group_by_source(records: Iterable[Record], sources: list[str]) -> dict[str, list[Record]]:
    """Rows of each named source in their order. Raises UserError for a source without rows."""
    groups = {source: [] for source in sources}
    for record in records:
        if record.source in groups:
            groups[record.source].append(record)
    if missing := [source for source, rows in groups.items() if not rows]:
        raise UserError(f"no rows of source {', '.join(missing)} in the pool; build the pool again.")
    return groups


def sha256(records: Iterable[Record]) -> str:
    """Hash of the records' contents; does not depend on how a Parquet library lays them out on disk."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(asdict(record), sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


# --- formats: one row of a user's file → messages -----------------------------------------------------------------


def _text(row: dict, key: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"`{key}` should be text, found {type(value).__name__}.")
    return value


def _turn(role: str, content: str) -> list[dict[str, str]]:
    """One message; a blank user or system message is left out, a blank answer is kept to be counted as missing."""
    return [{"role": role, "content": content}] if role == "assistant" or content.strip() else []


def _alpaca(row: dict) -> list[dict[str, str]]:
    """`instruction`, `input` (may be missing), `output`; instruction and input are joined by an empty line."""
    prompt = "\n\n".join(part for part in (_text(row, "instruction"), _text(row, "input")) if part.strip())
    return _turn("user", prompt) + _turn("assistant", _text(row, "output"))


def _prompt_response(row: dict) -> list[dict[str, str]]:
    """`prompt` and `response`, or what sets of problems call them: `question` and `answer`, `problem` and `solution`."""
    prompt, response = next(keys for keys in PROMPT_KEYS if all(key in row for key in keys))
    return _turn("user", _text(row, prompt)) + _turn("assistant", _text(row, response))


def _plain_text(row: dict) -> list[dict[str, str]]:
    """`text`: one assistant message with nothing before it, because templates refuse an empty user message."""
    return _turn("assistant", _text(row, "text"))


def _turns(row: dict, keys: tuple[str, ...], role_key: str, content_key: str, roles: dict) -> list[dict[str, str]]:
    key = next(key for key in keys if key in row)
    if not isinstance(row[key], list) or not all(isinstance(turn, dict) for turn in row[key]):
        raise ValueError(f"`{key}` should be a list of objects with `{role_key}` and `{content_key}`.")
    messages = []
    for turn in row[key]:
        role = turn.get(role_key)
        if role not in roles:
            raise ValueError(f"`{key}` has `{role_key}` {role!r}; known are {', '.join(roles)}.")
        messages += _turn(roles[role], _text(turn, content_key))
    return messages


def _sharegpt(row: dict) -> list[dict[str, str]]:
    return _turns(row, ("conversations", "items"), "from", "value", SHAREGPT_ROLES)


def _chat(row: dict) -> list[dict[str, str]]:
    return _turns(row, ("messages",), "role", "content", CHAT_ROLES)


@dataclass(frozen=True)
class Format:
    """How rows of one format are recognised (all keys of one of `keys` are there) and read."""

    keys: tuple[tuple[str, ...], ...]
    messages: Callable[[dict], list[dict[str, str]]]

    def fits(self, row: dict) -> bool:
        return any(all(key in row for key in keys) for keys in self.keys)

    def __str__(self) -> str:
        return " or ".join(" and ".join(f"`{key}`" for key in keys) for keys in self.keys)


FORMATS = {
    "chat": Format((("messages",),), _chat),
    "sharegpt": Format((("conversations",), ("items",)), _sharegpt),
    "alpaca": Format((("instruction", "output"),), _alpaca),
    "prompt_response": Format(PROMPT_KEYS, _prompt_response),
    "text": Format((("text",),), _plain_text),
}
"""In the order in which `auto` tries them: published Alpaca files also have a `text` column, UltraChat a `prompt`."""


def _recognise(row: dict) -> Format:
    for candidate in FORMATS.values():
        if candidate.fits(row):
            return candidate
    known = "; ".join(f"{name}: {candidate}" for name, candidate in FORMATS.items())
    lists = [key for key, value in row.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    hint = (
        f"The rows seem to lie under `{lists[0]}`: write that list alone into the file."
        if lists
        else "Rename the keys."
    )
    raise ValueError(f"cannot tell the format from the keys {sorted(row)}. Known are {known}. {hint}")


def convert(
    rows: Iterable[tuple[str, object]], source: str, format: str = "auto", origin: str = ""
) -> tuple[list[Record], list[str]]:
    """Turn raw rows into records.

    `rows`: (place, row) pairs, where place is "line 3" or "row 3"; `format`: a name in `FORMATS`, or "auto", decided on
    the first row; `origin`: file or data set that messages name. Returns the records, unanswered ones among them, and
    the place of each. Raises UserError naming the places of rows that do not fit, or when there are no rows.
    """
    chosen = None if format == "auto" else FORMATS[format]
    records, places, faults = [], [], []
    for place, row in rows:
        try:
            if not isinstance(row, dict):
                raise ValueError(f"expected an object with keys, found {type(row).__name__}.")
            chosen = chosen or _recognise(row)
            if not chosen.fits(row):
                raise ValueError(_other_format(chosen, format, source, row))
            messages = chosen.messages(row)
        except ValueError as error:
            faults.append((place, str(error)))
            if chosen is None:  # what the other rows should be is then not known either
                break
            continue
        records.append(Record(messages, source, len(records)))
        places.append(place)
    if faults:
        raise UserError(_told(origin, faults))
    if not records:
        raise UserError(f"{origin}: there are no rows in it. Add some, or leave the source out.")
    return records, places


def _other_format(chosen: Format, format: str, source: str, row: dict) -> str:
    if format == "auto":
        why, todo = "as in the rows before it", "Put rows of another format into a file, and a source, of their own."
    else:
        why = f"because sources.{source}.format is `{format}`"
        todo = "Leave `format` out to have it told by the first row."
    return f"expected the keys {chosen}, {why}; found {sorted(row)}. {todo}"


def _told(origin: str | Path, faults: list[tuple[str, str]]) -> str:
    """What is wrong with the first of the rows at fault, and which others are, so that all can be mended at once."""
    (place, message), *others = faults
    text = f"{origin}, {place}: {message}"
    if others:
        named = ", ".join(place for place, _ in others[:FAULTS_NAMED])
        left = len(others) - FAULTS_NAMED
        text += f" At fault too: {named}" + (f" and {left:,} more." if left > 0 else ".")
    return text


# --- files: compression and container → raw rows ------------------------------------------------------------------


def _decompress(path: Path) -> tuple[bytes, str]:
    """The file's bytes without compression, and the suffix that names its container."""
    readers = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress, ".zst": _unzstd}
    content, suffixes = path.read_bytes(), path.suffixes
    if suffixes and suffixes[-1].lower() in readers:
        content = readers[suffixes.pop().lower()](content)
    return content, suffixes[-1].lower() if suffixes else ""


def _unzstd(content: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        return stream.read()


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, object]]:
    """Rows of a JSON array, or of one object a line; which of the two is told by the first character."""
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}, line {error.lineno}: not valid JSON ({error.msg}). Mend the file there."
            ) from error
        yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))
        return
    faults = []
    # Not `splitlines`: it also splits at characters such as U+2028, which JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except json.JSONDecodeError as error:
            message = f"not valid JSON ({error.msg}); expected one object a line, or a list `[...]` of objects. "
            faults.append((f"line {number}", message + "Mend or remove this line."))
    if faults:
        raise UserError(_told(path, faults))


def read_file(path: str | Path, source: str, format: str = "auto") -> tuple[list[Record], list[str]]:
    """Read a user's file of conversations; `path` as `raw_rows` takes it, returns and raises as `convert`."""
    return convert(raw_rows(path, f"source `{source}`"), source, format, str(path))


def raw_rows(path: str | Path, what: str) -> list[tuple[str, object]]:
    """(place, row) of every row of a file, where place is "line 3" or "row 3".

    `path`: .json (an array, or one object a line), .jsonl, .ndjson or .parquet, each also with .gz, .bz2, .xz or .zst.
    `what` names the asking entry of the study file. Raises UserError naming the file, and the place where it is malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{what}: there is no file {path} (looked in {Path.cwd()}).")
    if not path.stat().st_size:
        raise UserError(f"{path}: the file is empty. Was it copied whole?")
    try:
        content, suffix = _decompress(path)
        if suffix == ".parquet":
            rows = pq.read_table(pa.BufferReader(content)).to_pylist()
            return [(f"row {number}", row) for number, row in enumerate(rows, 1)]
        if suffix in (".json", ".jsonl", ".ndjson"):
            return list(_json_rows(content.decode("utf-8-sig"), path))
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at {error.start}"
        raise UserError(
            f"{path}: not UTF-8 ({byte}). Save it as UTF-8: `iconv -f ENCODING -t UTF-8`, where ENCODING is often "
            "LATIN1, CP1252 or UTF-16."
        ) from error
    except (OSError, EOFError, lzma.LZMAError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read ({error}). Is the file whole, and its ending right?") from error
    raise UserError(
        f"{path}: unknown file type. Expected .json, .jsonl or .parquet, also with .gz, .bz2, .xz or "
        ".zst; CSV is turned into JSONL by pandas (docs/your_data.md)."
    )
