"""The audits of the paper's studies that stand in docs/audits are those that the command writes today."""

import subprocess
import sys

import pytest
from clones import ENVIRONMENT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("study", ["gpt2", "paper_v1", "paper_acl"])
def test_the_document_is_what_the_command_writes(root, tmp_path, study):
    made = tmp_path / f"{study}.md"
    command = [sys.executable, "scripts/audit.py", "--configfile", f"config/{study}.yaml", "--document", str(made)]
    done = subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    kept = root / "docs" / "audits" / f"{study}.md"
    text = kept.read_text(encoding="utf-8")
    assert text == made.read_text(encoding="utf-8"), "run `make audits` and look at what changed"
    assert str(root) not in text
