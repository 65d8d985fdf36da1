"""Instructions per element of every loop, on every SIMD target that valgrind runs.

A guard that times nothing: a loop that lost its vectorisation takes several times as many
instructions, on any machine. ``--record`` writes instructions.json, ``--check`` compares with it.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import click
from cmake_build import built

RECORD = Path(__file__).with_suffix(".json")

SLACK = 1.03
"""How many times the recorded instructions pass, with the compiler and Highway of the record."""

OTHER_TOOLS_SLACK = 1.5
"""The same with others, which schedule and unroll differently; half the lanes still do not pass."""

Counts = dict[str, dict[str, float]]
"""Instructions per element by target, then by loop."""


def measure() -> tuple[str, Counts]:
    """Return the compiler and Highway in use, and what the driver's loops take."""
    driver = built("instructions_driver", "instructions_driver")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts", driver],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise click.ClickException(f"the driver failed under valgrind:\n{done.stderr}")
        totals = _totals(Path(folder))
    counts: Counts = defaultdict(dict)
    for (target, loop), by_length in totals.items():
        counts[target][loop] = round(_per_element(by_length), 4)
    return done.stdout.strip(), dict(counts)


def _totals(folder: Path) -> dict[tuple[str, str], dict[int, int]]:
    """Return the instructions of each run, by target and loop, then by length."""
    totals: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for file in folder.iterdir():
        text = file.read_text()
        label = re.search(r"^desc: Trigger: Client Request: (.*)\|(.*)\|(.*)\|(\d+)$", text, re.M)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if label and total:
            target, form, path, length = label.groups()
            totals[target, f"{form}, {path}"][int(length)] = int(total[1])
    return totals


def _per_element(by_length: dict[int, int]) -> float:
    """Of two lengths the difference, so that start-up cancels; a long run stands for itself."""
    (short, few), (long, many) = min(by_length.items()), max(by_length.items())
    return few / short if short == long else (many - few) / (long - short)


def compare(recorded: Counts, counts: Counts, slack: float) -> tuple[list[str], list[str]]:
    """Return what got worse and what got better, beyond the slack."""
    worse, better = [], []
    for target, loops in recorded.items():
        if target not in counts:
            continue  # not built, or not for this processor
        for loop, before in loops.items():
            now = counts[target].get(loop)
            line = f"{target}: {loop}: {before} instructions per element, now {now}"
            if now is None or now > before * slack:
                worse.append(line)
            elif now * slack < before:
                better.append(line)
    return worse, better


@click.command()
@click.option("--record", "action", flag_value="record", help="Write instructions.json.")
@click.option("--check", "action", flag_value="check", help="Compare with instructions.json.")
def main(action: str | None) -> None:
    """Count the instructions per element of every loop; print them, --record or --check."""
    tools, counts = measure()
    if not counts:
        raise click.ClickException("the driver counted nothing")
    if action == "record":
        RECORD.write_text(
            json.dumps({"tools": tools, "counts": counts}, indent=1, sort_keys=True) + "\n"
        )
    elif action == "check":
        _check(json.loads(RECORD.read_text()), tools, counts)
    else:
        click.echo(json.dumps(counts, indent=1, sort_keys=True))


def _check(record: dict[str, object], tools: str, counts: Counts) -> None:
    recorded: Counts = record["counts"]  # type: ignore[assignment]
    slack = SLACK if tools == record["tools"] else OTHER_TOOLS_SLACK
    worse, better = compare(recorded, counts, slack)
    targets = [target for target in recorded if target in counts]
    if not targets:
        raise click.ClickException(f"nothing recorded for {', '.join(counts)}")
    for line in better:
        click.echo(f"fewer: {line}")
    for line in worse:
        click.echo(f"MORE: {line}", err=True)
    click.echo(
        f"{sum(len(counts[target]) for target in targets)} loops on {', '.join(targets)},"
        f" {tools}: {len(worse)} take more instructions than {slack} times those recorded"
    )
    if better:
        click.echo("record the gains: python benchmarks/instructions.py --record")
    sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
