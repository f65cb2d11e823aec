"""The table of docs/reliability.md: python -m benchmarks.faults.page benchmarks/faults.json."""

import argparse
import json
import textwrap
from pathlib import Path

from ..report import COLUMNS, put, table
from .judged import GOOD, OUTCOMES

DOCS = Path("docs", "reliability.md")
BAD_SHOWN = 3  # cases of each line of the table


def render(results):
    """The generated part: where and how it was measured, the table, and what was not good."""
    run, lines = results["run"], results["results"]
    rows, remarks = [], []
    for line in lines:
        counts = [line["counts"].get(outcome, 0) for outcome in OUTCOMES]
        cells = [count or "" for count in counts]
        rows.append([line["done"], sum(counts) if not line["skipped"] else "skipped", *cells])
        if line["skipped"]:
            remarks.append(f"- {line['done']}: not done, {line['skipped']}.")
        remarks += [f"- {line['done']}: {_plain(bad)}" for bad in line["bad"][:BAD_SHOWN]]
    parts = [facts(run), table(["what was done", "times", *OUTCOMES], rows)]
    bad = sum(n for line in lines for o, n in line["counts"].items() if o not in GOOD)
    if not bad:
        parts.append("Every one of them ended well.")
    if remarks:
        parts.append("\n".join(remarks))
    return "\n\n".join(parts)


def facts(run):
    """The machine, the versions, the date, the seed and the command."""
    memory = f", {run['memory_gib']} GiB" if run["memory_gib"] else ""
    versions = {"python": run["python"], **run["versions"]}
    return textwrap.fill(
        f"{run['processor']}, {run['cores']} cores{memory}; {run['system']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"; {run['date'][:10]}; seed {run['seed']}; {run['minutes']} minutes. "
        + f"Command: `{run['command']}`.",
        COLUMNS,
        break_on_hyphens=False,
    )


def _plain(text):
    """A line that Markdown shows as it is."""
    return "`" + text.replace("`", "'").replace("\n", " ")[:200] + "`"


def write(path, docs=DOCS):
    """Writes the results in a JSON file into a document, between its marks."""
    results = json.loads(Path(path).read_text(encoding="utf-8"))
    if not put(docs, "faults", render(results)):
        raise SystemExit(f"{docs} has no marks to write the results between")
    print(f"The table is in {docs}.")


def main():
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.faults.page", description=__doc__)
    parser.add_argument("results", type=Path, help="JSON that python -m benchmarks faults writes")
    parser.add_argument("--docs", type=Path, default=DOCS, help="document to write into")
    given = parser.parse_args()
    write(given.results, given.docs)


if __name__ == "__main__":
    main()
