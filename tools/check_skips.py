"""Fails where a test was skipped for a reason that is not allowed.

python -m pytest -rs | tee LOG
python tools/check_skips.py LOG ALLOWED

ALLOWED has a regular expression a line, which the whole reason has to match; empty lines and those that begin with # do
not count.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SKIPPED = re.compile(r"^SKIPPED \[(?P<count>\d+)\] (?P<where>\S+?)(?::\d+)?: (?P<reason>.*)$", re.M)
CLOSING = re.compile(r"^=* ?\d+ (?:passed|failed|skipped).* in [\d.]+s.*$", re.M)


def complaints(log: str, allowed: list[str]) -> list[str]:
    """What is wrong: a reason that none of the expressions matches, or skipped tests whose reasons are not shown."""
    reasons = list(SKIPPED.finditer(log))
    found = [
        f"{skip['where']}: skipped {skip['count']} times, which is not allowed: {skip['reason']}"
        for skip in reasons
        if not any(re.fullmatch(pattern, skip["reason"].strip()) for pattern in allowed)
    ]
    closing = CLOSING.findall(log)
    if not closing:
        return [*found, "no closing line of pytest's"]
    told = re.search(r"(\d+) skipped", closing[-1])
    count = int(told[1]) if told else 0
    shown = sum(int(skip["count"]) for skip in reasons)
    if count != shown:
        found.append(f"{count} skipped, but reasons of {shown}: pytest needs -rs")
    return found


def main(log: Path, allow_list: Path) -> int:
    lines = (line.strip() for line in allow_list.read_text("utf-8").splitlines())
    found = complaints(log.read_text("utf-8"), [line for line in lines if line and not line.startswith("#")])
    print("\n".join(found) or "all skips are for reasons that are allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
