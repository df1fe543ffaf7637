"""Prints the command that stands in README.md under the comment `<!-- run: NAME -->`, exactly as printed there.

python tools/readme_command.py README.md main
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def command(readme: str, name: str) -> str:
    found = re.findall(rf"<!-- run: {re.escape(name)} -->\s*```sh\n(.*?)```", readme, re.S)
    if len(found) != 1:
        sys.exit(f"README.md has {len(found)} blocks '<!-- run: {name} -->' with a ```sh fence, 1 expected")
    return str(found[0])


if __name__ == "__main__":
    print(command(Path(sys.argv[1]).read_text("utf-8"), sys.argv[2]), end="")
