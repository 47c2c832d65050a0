"""Which of our own code files a script depends on, read from its import statements without importing anything.

Rules name these files as inputs, so that a result is made again exactly when code it depends on has changed in
content; results name them in their provenance.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def code_files(script: Path) -> tuple[Path, ...]:
    """`script` and every file of the `scalebio` package that it imports, directly or not, sorted; script first."""
    root = script.parent
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        waiting += _direct(root, file)
    return (script, *sorted(found - {script}))


# Most files are met from many entry points, and to parse them all anew would be most of what Snakemake takes to start.
@cache
def _direct(root: Path, file: Path) -> list[Path]:
    return [target for name in _imported(file) for target in _files(root, name)]


def _imported(file: Path) -> set[str]:
    """Dotted names in import statements anywhere in the file; `from a import b` gives both a and a.b."""
    names = set()
    for node in _statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "scalebio"}


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement at whatever depth; expressions, most of a tree, hold none."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]


def _files(root: Path, name: str) -> list[Path]:
    """The module's file and the `__init__` of each package on the way to it; names that are no module give none."""
    parts = name.split(".")
    files = [root.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    files.append(root.joinpath(*parts[:-1], parts[-1] + ".py"))
    return [file for file in files if file.is_file()]
