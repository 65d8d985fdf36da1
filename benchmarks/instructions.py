"""Instructions per element of every loop, on every SIMD target that valgrind runs.

A guard that times nothing: a loop that lost its vectorisation takes several times as many
instructions, on any machine. ``--record`` writes instructions.json, ``--check`` compares with it.
"""

import json
import math
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
    totals: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/counts",
            str(driver),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise click.ClickException(f"the driver failed under valgrind:\n{done.stderr}")
        for file in Path(folder).iterdir():
            text = file.read_text()
            label = re.search(r"^desc: Trigger: Client Request: (.*)\|(.*)\|(\d+)$", text, re.M)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
            if label and total:
                totals[label[1], label[2]].append((int(label[3]), int(total[1])))
    counts: Counts = defaultdict(dict)
    for (target, loop), runs in totals.items():
        # Start-up cancels in the difference of two lengths. A long run stands for itself.
        (length, few), (longer, many) = [(0, 0), *sorted(runs)][-2:]
        counts[target][loop] = round((many - few) / (longer - length), 4)
    return done.stdout.strip(), counts


def check(tools: str, counts: Counts) -> int:
    """Print what differs from the record by more than the slack; return how much got worse."""
    record = json.loads(RECORD.read_text())
    slack = SLACK if tools == record["tools"] else OTHER_TOOLS_SLACK
    targets = [target for target in record["counts"] if target in counts]  # others cannot run here
    if not targets:
        raise click.ClickException(f"nothing recorded for {', '.join(counts)}")
    worse = 0
    for target in targets:
        for loop, before in record["counts"][target].items():
            now = counts[target].get(loop, math.inf)
            worse += now > before * slack
            if not before / slack <= now <= before * slack:
                word = "MORE" if now > before else "fewer, to be recorded"
                click.echo(f"{word}: {target}: {loop}: {before} an element before, {now} now")
    click.echo(
        f"{sum(len(counts[target]) for target in targets)} loops on {', '.join(targets)},"
        f" {tools}: {worse} take more instructions than {slack} times those recorded"
    )
    return worse


@click.command()
@click.option("--record", "action", flag_value="record", help="Write instructions.json.")
@click.option("--check", "action", flag_value="check", help="Compare with instructions.json.")
def main(action: str | None) -> None:
    """Count the instructions per element of every loop; print them, --record or --check."""
    tools, counts = measure()
    text = json.dumps({"tools": tools, "counts": counts}, indent=1, sort_keys=True)
    if action == "record":
        RECORD.write_text(text + "\n")
    elif action == "check":
        sys.exit(1 if check(tools, counts) else 0)
    else:
        click.echo(text)


if __name__ == "__main__":
    main()
