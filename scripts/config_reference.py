"""Write config/README.md, the reference of every key of a study file, from the descriptions in `scalebio.config`.

With --check nothing is written; the exit status says whether the file is as it would be written.
"""

import types
import typing
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from scalebio import config
from scalebio.cli import parser, run
from scalebio.errors import UserError
from scalebio.files import write_text
from scalebio.study import members

HEAD = """\
<!-- Written by `python scripts/config_reference.py` from scripts/scalebio/config.py, config_methods.py, config_evaluations.py and origins.py; edit there. -->
# Study files

One YAML file here is one study. `snakemake --configfile config/<study>.yaml` runs it, and what it makes lies under
`results/<study>/`. A study names its base models, data sources, references (validation and test rows), weighting
methods and evaluations once, and each of its experiments picks from them by name: every method with every seed is one
run. Only the experiments listed under `run` are run.

A study is checked before anything starts. Unknown keys, wrong values, names that point nowhere, keys given twice and
missing files are all listed together, each with its dotted path and the nearest valid name. Files are relative to the
working directory, which for Snakemake is the root of the repository.

## Your own sources in ten lines

Put the files anywhere, and name two or more training sources and one for validation and test:

```yaml
sources:
  forum:    {file: my/forum.jsonl, licence: CC-BY-4.0}
  manuals:  {file: my/manuals.parquet}
  wanted:   {file: my/wanted.json.gz}       # what the model should become good at
references:
  goal: {validation: {wanted: 1}, validation_rows: 200, test_rows: 200}
experiments:
  mine: {sources: [forum, manuals], reference: goal, model: tiny, methods: [uniform, scalebio], seeds: [0, 1, 2]}
run: [mine]
```

(`model` and `methods` are names of entries under `models` and `methods`; copy those of `config/demo.yaml`.) Validation
and test rows are drawn without replacement and never overlap. A validation or test prompt that also stands in a
training source stops the run, unless the experiment says `leakage: drop`, which leaves those rows out of training, or,
for a control that plants a leak, `leakage: allow`.

## Formats

JSON (an array, or one object a line), JSONL and Parquet, each also compressed (`.gz`, `.bz2`, `.xz`, `.zst`). The first
row that has all the keys of a format settles the format of the file, in this order:

| `format` | one row | becomes |
|---|---|---|
| `chat` | `{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}` | \
the messages; roles `system`, `user`, `assistant` |
| `sharegpt` | `{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}` | \
the same; also with `items` for `conversations`; `human` and `user`, `gpt` and `assistant`, `system` |
| `alpaca` | `{"instruction": "Add.", "input": "1 + 1", "output": "2"}` | \
user: instruction, an empty line, input (may be missing or empty); assistant: output |
| `prompt_response` | `{"prompt": "Hi", "response": "Hello."}` | user: prompt; assistant: response; also with `question` \
and `answer`, `problem` and `solution` |
| `text` | `{"text": "Once upon a time"}` | one assistant message with nothing before it |

Other keys are ignored. Blank user and system messages are left out. A row without an answer, or with a blank one, is
refused with its line or row number; `drop_unanswered: true` leaves such rows out and counts them.

Generators need no file: `{generator: {kind: reasoning_gym, tasks: {gcd: {max_numbers: 2}}}, rows: 500}` makes
tasks, `{generator: {kind: cldr, language: de}, rows: 500}` everyday facts in a language; the answers of both can be
checked, so `accuracy` can be measured.

## Every key

`<name>` stands for a name of your choice: letters, digits, `_` and `-`.
"""


def flat(metadata: typing.Iterable[object]) -> list[object]:
    """Constraints one by one; a FieldInfo inside Annotated holds several."""
    return [inner for constraint in metadata for inner in getattr(constraint, "metadata", [constraint])]


NAME_PATTERN = flat(typing.get_args(config.Name)[1:])[0].pattern
PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "mapping"}


def bounds(metadata: typing.Iterable[object]) -> str:
    """Limits that pydantic enforces on a number, in words."""
    words = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}"}
    limits = [
        (text, getattr(limit, key)) for limit in flat(metadata) for key, text in words.items() if hasattr(limit, key)
    ]
    return ", ".join(text.format(value) for text, value in limits)


def type_in_words(annotation: object, metadata: typing.Iterable[object] = ()) -> str:
    """What a value must be, for a reader who knows YAML and not Python."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *constraints = typing.get_args(annotation)
        return type_in_words(inner, [*constraints, *metadata])
    if any(getattr(constraint, "pattern", None) == NAME_PATTERN for constraint in flat(metadata)):
        return "name"
    parts = []
    for member in members(annotation):
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        if origin is typing.Literal:
            parts.append(" or ".join(f"`{choice}`" for choice in arguments))
        elif origin is list:
            parts.append(f"list: {type_in_words(arguments[0])}")
        elif origin is dict:
            inner = members(arguments[1])
            values = "see below" if is_model(inner[0]) else type_in_words(arguments[1])
            parts.append(f"name → {values}")
        else:
            parts.append("mapping, see below" if is_model(member) else PLAIN[member])
    limits = bounds(metadata) or inner_bounds(annotation)
    text = " or ".join(dict.fromkeys(parts))
    return f"{text} {limits}".strip()


def inner_bounds(annotation: object) -> str:
    """Limits of `Annotated[number, limit] | None`, which pydantic does not hoist."""
    optional = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    for argument in typing.get_args(annotation) if optional else ():
        if typing.get_origin(argument) is typing.Annotated:
            return bounds(typing.get_args(argument)[1:])
    return ""


def is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def default_in_words(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "empty"
    if value is None:
        return "unset"
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{shown}`".replace("\n", "`, a line break, `")


def inner_models(field: FieldInfo, path: str) -> list[tuple[str, type[BaseModel]]]:
    """The models that a field may hold, directly or by name, each with its dotted path."""
    found = []
    for member in members(field.annotation):
        if typing.get_origin(member) is list:
            found += [(f"{path}.<number>", inner) for inner in members(typing.get_args(member)[0]) if is_model(inner)]
        elif typing.get_origin(member) is dict:
            found += [(f"{path}.<name>", inner) for inner in members(typing.get_args(member)[1]) if is_model(inner)]
        elif is_model(member):
            found.append((path, member))
    return found


def section(path: str, model: type[BaseModel], done: dict[type[BaseModel], str]) -> list[str]:
    """Lines for one model and, below it, for every model inside it; a model shown before is only pointed to."""
    done[model] = path
    kind = model.model_fields.get("kind")
    choices = typing.get_args(kind.annotation) if kind else ()
    suffix = f", kind `{choices[0]}`" if len(choices) == 1 else ""
    lines = [f"### `{path}`{suffix}" if path else "### top level", "", " ".join((model.__doc__ or "").split()), ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    below = []
    for name, field in model.model_fields.items():
        annotation, meaning = type_in_words(field.annotation, field.metadata), field.description or ""
        inside = inner_models(field, f"{path}.{name}".strip("."))
        for _, inner in inside:
            if inner in done:
                annotation = f"mapping, as `{done[inner]}`"
        if name == "kind" and not meaning:
            meaning = "selects this section" if len(choices) == 1 else "which of these"
        lines.append(f"| `{name}` | {annotation} | {default_in_words(field)} | {meaning} |")
        below += [pair for pair in inside if pair[1] not in done]
    lines.append("")
    for inner_path, inner in below:
        if inner not in done:
            lines += section(inner_path, inner, done)
    return lines


def reference() -> str:
    """The whole text of config/README.md."""
    return HEAD + "\n" + "\n".join(section("", config.Study, {})).rstrip() + "\n"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().parent.parent / "config" / "README.md"
    )
    arguments.add_argument("--check", action="store_true", help="only say whether the file is in step")
    given = arguments.parse_args()
    if not given.check:
        write_text(given.output, reference())
    elif not given.output.is_file() or given.output.read_text(encoding="utf-8") != reference():
        raise UserError(
            f"{given.output} is not in step with scalebio/config.py; run python scripts/config_reference.py."
        )


if __name__ == "__main__":
    run(main)
