"""Every study file and overlay that ships loads, and says in its first lines by which command."""

import re

from good_study import merged

from scalebio.study import load_study


def test_every_study_file_and_overlay_loads_by_the_command_in_its_first_lines(root):
    files = sorted((root / "config").glob("*.yaml")) + sorted((root / "config/overlays").glob("*.yaml"))
    assert len(files) > 10
    for file in files:
        head = "".join(
            line for line in file.read_text(encoding="utf-8").splitlines(keepends=True)[:10] if line[0] == "#"
        )
        commands = re.findall(r"--configfile((?: config/\S+)+)", head) or [f"config/{file.name}"]
        paths = [root / name for name in commands[0].split()]
        assert paths[-1] == file, f"{file.name} says how another file is used"
        load_study(merged(*paths))
