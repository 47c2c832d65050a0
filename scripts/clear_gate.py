"""Let what depends on a fatal gate go on, or stop it: exits with an error if the verdict is `failed`, else writes a mark."""

from pathlib import Path

from scalebio.cli import parser, run
from scalebio.errors import UserError
from scalebio.files import read_json, write_text
from scalebio.gates import FAILED


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--gate", required=True, help="its name, as under the study's `gates`")
    options.add_argument("--verdict", type=Path, required=True, help="verdict file")
    options.add_argument("--output", type=Path, required=True, help="the mark to write")
    given = options.parse_args()
    found = read_json(given.verdict)
    if found["verdict"] == FAILED:
        raise UserError(
            f"the gate `{given.gate}` failed and is fatal: {found['what']}. {given.verdict} lists what was found. Mend that, or "
            f"set `gates.{given.gate}: report` to go on all the same."
        )
    write_text(given.output, f"{found['verdict']}\n")


if __name__ == "__main__":
    run(main)
