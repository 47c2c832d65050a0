"""From a study file to a checked `Study`, or to one message that lists everything wrong with it.

Three kinds of fault are found together: values that do not fit the models in `config` (dotted path, what was expected,
what was found, nearest valid key), names that point nowhere, and files that are not there. Keys given twice in the
YAML itself are found by `check_files`, because YAML loaders, Snakemake's among them, silently keep the last.
Nothing heavy is imported: the Snakefile calls this at each start.
"""

import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from scalebio.config import Study
from scalebio.errors import UserError
from scalebio.schema import NAME_PATTERN
from scalebio.study_checks import cross_checks, nearest

# Of a mapping that was expected, the first so many keys are named.
KEYS_SHOWN = 4

# What pydantic says in two sentences, the second of them about parsing.
NUMBERS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}


def load_study(config: dict) -> Study:
    """The study in `config` (a study file as loaded by YAML). Raises UserError with one line per fault."""
    study, faults = None, []
    try:
        study = Study.model_validate(config)
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors()]
    faults += cross_checks(config)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise UserError(f"the study file has {count}:\n" + "\n".join(f"  {fault}" for fault in dict.fromkeys(faults)))
    return study


# --- faults of single values --------------------------------------------------------------------------------------


def members(annotation: object) -> list[object]:
    """The models, dicts and lists that an annotation allows, with Annotated, Optional and unions unwrapped."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for argument in typing.get_args(annotation) for member in members(argument)]
    return [] if annotation is type(None) else [annotation]


def _kind(model: object) -> str | None:
    """The value of the `kind` key by which pydantic tells the models of a union apart, if it has one."""
    if isinstance(model, type) and issubclass(model, BaseModel) and "kind" in model.model_fields:
        return next(iter(typing.get_args(model.model_fields["kind"].annotation)), None)
    return None


def _resolve(location: tuple) -> tuple[list[str], list[type[BaseModel]]]:
    """Path parts as a user wrote them, and the models the last one may be, along a pydantic error location.

    Pydantic puts the `kind` of a union's member into the location; it is not a key and is left out of the path.
    """
    parts, current = [], [Study]
    for step in location:
        kinds = [member for member in current if _kind(member) == step]
        if len(current) > 1 and kinds:
            current = kinds
            continue
        if step == "[key]":  # the key itself is at fault, not what it holds
            continue
        following = []
        for member in current:
            if isinstance(member, type) and issubclass(member, BaseModel):
                if step in member.model_fields:
                    following += members(member.model_fields[step].annotation)
            elif typing.get_origin(member) is dict:
                following += members(typing.get_args(member)[1])
            elif typing.get_origin(member) is list:
                following += members(typing.get_args(member)[0])
        parts.append(str(step))
        current = following
    return parts, [member for member in current if isinstance(member, type) and issubclass(member, BaseModel)]


def _field(location: tuple) -> str:
    """The description of the field at a location, or nothing."""
    _, parents = _resolve(location[:-1])
    fields = [parent.model_fields[location[-1]] for parent in parents if location[-1] in parent.model_fields]
    return fields[0].description or "" if fields else ""


def _found(value: object) -> str:
    if isinstance(value, dict):
        return f"a mapping with {', '.join(f'`{key}`' for key in value)}" if value else "an empty mapping"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _describe(fault: dict) -> str:
    """One line for one of pydantic's errors."""
    location, kind, value = fault["loc"], fault["type"], fault["input"]
    parts, models = _resolve(location)
    path = ".".join(parts) or "the study"
    if kind == "extra_forbidden":
        _, parents = _resolve(location[:-1])
        return f"{path}: unknown key{nearest(location[-1], (key for parent in parents for key in parent.model_fields))}"
    if kind == "missing":
        description = _field(location)
        return f"{path}: missing{f'; expected: {description}' if description else ''}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        kinds = [_kind(model) for model in models]
        given = value.get("kind") if isinstance(value, dict) else None
        expected = f"expected one of {', '.join(map(str, kinds))}"
        if given is None:
            return f"{path}.kind: missing; {expected}"
        return f"{path}.kind: {expected}; found {_found(given)}{nearest(given, kinds)}"
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "value_error":  # from our own validators, which say what was found
        return f"{path}: {message}"
    message = message.replace("Input should be ", "expected ").replace("String should ", "text that should ")
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in fault["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"{path}: {message}; found {_found(value)}{nearest(value, choices)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        keys = [f"`{key}`" for model in models for key in model.model_fields][:KEYS_SHOWN]
        such = f" such as {', '.join(keys)}" if keys else ""
        # What an entry holds, one level up: a line that is indented too little.
        inside = len(parts) > 1 and any(location[-1] in model.model_fields for model in models)
        hint = f"; as a key of an entry of `{parts[-2]}` it is indented further" if inside else ""
        return f"{path}: expected a mapping with keys{such}; found {_found(value)}{hint}"
    if kind == "string_pattern_mismatch":
        is_name = fault["ctx"]["pattern"] == NAME_PATTERN
        expected = "a name of letters, digits, `_` and `-`" if is_name else _field(location)
        return f"{path}: expected {expected}; found {_found(value)}"
    if kind == "list_type":
        # Who writes `seeds: 3` means three.
        several = location[-1] == "seeds" and isinstance(value, int) and value in range(1, 100)
        such = list(range(value)) if several else f"[{_found(value)}]"
        message = f"expected a list, such as {such}"
    if kind == "too_short":
        message = f"expected at least {fault['ctx']['min_length']} entries"
    hint = ""
    if kind in NUMBERS:
        message, digits = f"expected {NUMBERS[kind]}", str(value).replace(",", "").replace(" ", "")
        hint = f"; write {digits}" if digits.isdecimal() and isinstance(value, str) else ""
    description = _field(location)
    return f"{path}: {message}{f' ({description})' if description else ''}; found {_found(value)}{hint}"


# --- keys given twice ---------------------------------------------------------------------------------------------


def _repeats(node: yaml.Node, path: tuple[str, ...], seen: set[int]) -> Iterator[str]:
    if id(node) in seen:  # an alias: its anchor has been looked at
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        first = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                dotted = ".".join((*path, name))
                yield f"line {line}: `{dotted}` is given twice (first in line {first[name]}); rename or remove one"
            first.setdefault(name, line)
            yield from _repeats(value, (*path, name), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeats(item, (*path, str(index)), seen)


def duplicate_keys(path: str | Path) -> list[str]:
    """One line for each key that a YAML file gives twice in the same mapping, with both line numbers.

    Raises UserError when the file is missing or is not YAML, with the line where it stops being it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"study file {path}: cannot be read ({error.strerror}).") from error
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        hint = "Is it, or the line before it, indented as its neighbours are, and every bracket and quote closed?"
        if mark and text[mark.index : mark.index + 1] == "\t":
            hint = "Indent with blanks: YAML takes no tabs."
        problem = getattr(error, "problem", None) or error
        raise UserError(f"{path}{place}: not valid YAML ({problem}). {hint}") from error
    return list(_repeats(node, (), set())) if node else []


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise UserError naming file, line and key of everything that the study files give twice."""
    if faults := [f"{path}, {fault}" for path in paths for fault in duplicate_keys(path)]:
        raise UserError("keys given twice, of which YAML would silently keep the last:\n  " + "\n  ".join(faults))
