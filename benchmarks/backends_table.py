"""Native against fallback as a Markdown table, from a run of test_backends.py.

pytest benchmarks --benchmark-json=backends.json --size-max 1e8
python benchmarks/backends_table.py backends.json
"""

import json
import sys
from collections import defaultdict
from pathlib import Path


def table(report: Path) -> str:
    """Return how many times the fallback's median time the native one fits in, by path and n."""
    medians: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for run in json.loads(report.read_text())["benchmarks"]:
        name, elements = run["group"].rpartition(", n = ")[0], run["extra_info"]["elements"]
        medians[name, elements][run["params"]["backend"]] = run["stats"]["median"]
    sizes = sorted({elements for _, elements in medians})
    lines = ["| path | " + " | ".join(f"n = {n:,}" for n in sizes) + " |"]
    lines.append("| --- |" + " ---: |" * len(sizes))
    for path in dict.fromkeys(name for name, _ in medians):
        ratios = (medians[path, n] for n in sizes)
        cells = " | ".join(f"{ratio['fallback'] / ratio['native']:.1f}" for ratio in ratios)
        lines.append(f"| {path} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
