"""Fail on wording that a stranger would have to read twice. CONTRIBUTING.md has the rule."""

import re
import subprocess
import sys
from pathlib import Path

UNCLEAR = {
    r"\bthe house\b": "name the thing",
    r"\bon its stair\b": 'write "gets the rate of its own stair"',
    r"\b(comes?|come) by\b": 'write "is given by"',
    r"\baround the cache\b": 'write "non-temporal store"',
    r"\bbuffers? of steps\b": 'write "array of steps"',
    r"(?<![Tt]here )\b(is|are|was) no (?!longer|more|other|further)[a-z]+": 'write "is not a ..."',
    r"\bas fast as memory\b": 'write "at memory bandwidth"',
    r"\bof ours\b|\bof theirs\b": "name the owner",
}
SUFFIXES = {".md", ".py", ".h", ".cc", ".c", ".toml", ".txt", ".sh", ".yml"}
EXEMPT = {"tools/prose.py", "CHANGELOG.md"}


def main() -> int:
    """Print each unclear phrase with its place, and return 1 if there is one."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    found = 0
    for name in listed.stdout.split():
        path = Path(name)
        if path.suffix not in SUFFIXES or name in EXEMPT or not path.exists():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern, advice in UNCLEAR.items():
                if match := re.search(pattern, line):
                    print(f"{name}:{number}: {match.group()!r}: {advice}")
                    found += 1
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
