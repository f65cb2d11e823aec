"""Tables and a chart of the results: python -m benchmarks.report benchmarks/results.json."""

import argparse
import json
import math
import re
import statistics
import textwrap
from pathlib import Path

from .plan import LARGE_MATMUL, MATMUL

DOCS = Path("docs", "performance.md")
README = Path("README.md")
CHART, GPU_CHART = "performance.svg", "accelerator.svg"
OURS = "tensorflow/ours"
NAIVE = ("tensorflow/naive", "tensorflow/naive, XLA")
INK, BLUE, ORANGE, GREEN = "#222222", "#2f5f9e", "#d9762b", "#4f8f4f"
COLOURS = {"tensorflow": BLUE, "jax": ORANGE, "torch": GREEN}


class Entry:
    """One line of the results, with its medians."""

    def __init__(self, entry):
        self.section, self.case = entry["section"], entry["case"]
        self.skipped, self.failed = entry.get("skipped"), entry.get("failed", {})
        self.contestants = entry.get("contestants", {})
        self.facts, self.run = entry.get("facts", {}), entry["run"]

    @property
    def shape(self):
        """B,T,D,H."""
        return ",".join(str(self.case[name]) for name in "BTDH")

    def seconds(self, *names):
        """The least median of some contestants; NaN where none was measured."""
        samples = [self.contestants[name]["seconds"] for name in names if name in self.contestants]
        return min(map(statistics.median, samples), default=math.nan)

    def ratio(self, other, than=OURS):
        """How many times as long `other` (the best, if several) takes."""
        others = (other,) if isinstance(other, str) else other
        return self.seconds(*others) / self.seconds(than)

    def ms(self, *names):
        """The median in milliseconds as a text."""
        return number(1e3 * self.seconds(*names))

    def flops(self):
        """Of a training step: each product of the forward pass has two in the backward pass.

        None goes back to the input, which is not trained.
        """
        B, T, D, H, L = (self.case[name] for name in "BTDHL")
        return 2 * B * T * (3 * (2 * L - 1) * H * H + 2 * D * H)

    def gigaflops(self):
        """The rate of the training step."""
        return self.flops() / self.seconds(OURS) / 1e9

    def limit(self):
        """The rate of a large matrix product."""
        return 2 * MATMUL**3 / self.seconds("tensorflow/matmul") / 1e9


def number(value):
    """Three significant digits, without an exponent."""
    if math.isnan(value):
        return "-"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{min(max(digits, 0), 3)}f}"


def times(value):
    """A ratio as a text."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def table(header, rows):
    """A Markdown table."""
    return "\n".join(
        "| " + " | ".join(str(cell) for cell in row) + " |"
        for row in [header, ["---"] * len(header), *rows]
    )


def render(results):
    """The generated part of docs/performance.md: all tables in Markdown."""
    entries = [Entry(entry) for entry in results["results"]]
    sections = {}
    for entry in entries:
        sections.setdefault(entry.section, []).append(entry)
    here = [entry for entry in entries if entry.section != "accelerator"]
    parts = [facts(results, here or entries)]
    if "train" in sections:
        parts.append(f"![Time of a training step, by framework and configuration]({CHART})")
    for name, (title, write_section) in SECTIONS.items():
        found = sections.get(name)
        if not found:
            continue
        parts.append(f"### {title}")
        reasons = {entry.skipped for entry in found if entry.skipped}
        if reasons:
            parts.append(f"Not measured: {', '.join(sorted(reasons))}.")
        measured = [entry for entry in found if not entry.skipped]
        parts += write_section(measured) if measured else []
        parts += failures(measured)
    return "\n\n".join(parts)


def facts(results, entries):
    """Where and with what it was measured."""
    runs = [results["runs"][i] for i in sorted({entry.run for entry in entries})]
    last = runs[-1]
    versions = {"python": last["python"]}
    for entry in entries:
        for of_worker in entry.facts.values():
            versions.update(
                {
                    name: of_worker[name]
                    for name in ("keras", "numpy", "tensorflow", "jax", "torch")
                    if name in of_worker
                }
            )
    memory = f", {last['memory_gib']} GiB" if last["memory_gib"] else ""
    dates = sorted({run["date"][:10] for run in runs})
    return textwrap.fill(
        f"{last['processor']}, {last['cores']} cores{memory}; {last['system']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"; {' and '.join(dates)}; seed {last['seed']}; {last['rounds']} rounds. "
        + f"Command: `{runs[0]['command']}`.",
        COLUMNS,
        break_on_hyphens=False,
    )


def failures(entries):
    """What did not run, and why."""
    lines = {
        f"{entry.shape},{entry.case['L']}: {name}: {reason}"
        for entry in entries
        for name, reason in entry.failed.items()
    }
    return ["Failed: " + "; ".join(sorted(lines)) + "."] if lines else []


COLUMNS = 118  # of a line of text
TIMES_OURS = "A column without a unit says how many times as long as ours it takes."


def loops(entries):
    """Tables of training steps or forward passes."""
    train = entries[0].section == "train"
    header = [
        "B,T,D,H", "L", "ours, ms", "naive, ms", "naive", "plain loop", "one part", "SimpleRNN",
        "LSTM",
    ]  # fmt: skip
    header += ["GF/s", "of a product"] if train else []
    rows = []
    for e in entries:
        row = [e.shape, e.case["L"], e.ms(OURS), e.ms(*NAIVE), f"**{times(e.ratio(NAIVE))}**"]
        row += [
            times(e.ratio(f"tensorflow/{name}"))
            for name in ("plain loop", "ours, one part", "SimpleRNN", "LSTM")
        ]
        row += [number(e.gigaflops()), times(e.gigaflops() / e.limit())] if train else []
        rows.append(row)
    parts = [TIMES_OURS, "TensorFlow:", table(header, rows), "JAX:"]
    rows = [
        [
            e.shape,
            e.case["L"],
            e.ms("jax/ours"),
            f"**{times(e.ratio('jax/lax.scan', 'jax/ours'))}**",
            times(e.ratio("jax/plain loop", "jax/ours")),
        ]
        for e in entries
    ]
    parts += [table(["B,T,D,H", "L", "ours, ms", "lax.scan", "plain loop"], rows), "PyTorch:"]
    header = [
        "B,T,D,H", "L", "ours, ms", "eager", "compiled", "plain loop",
        "eager, of ours on TensorFlow", "compiled, of that",
    ]  # fmt: skip
    rows = [
        [
            e.shape,
            e.case["L"],
            e.ms("torch/ours"),
            times(e.ratio("torch/eager", "torch/ours")),
            times(e.ratio("torch/torch.compile", "torch/ours")),
            times(e.ratio("torch/plain loop", "torch/ours")),
            times(e.ratio("torch/eager")),
            times(e.ratio("torch/torch.compile")),
        ]
        for e in entries
    ]
    parts.append(table(header, rows))
    compiled = [
        f"{e.contestants['torch/torch.compile']['first']:.0f} s at {e.shape}, L = {e.case['L']}"
        for e in entries
        if "torch/torch.compile" in e.contestants
    ]
    return parts + ([f"`torch.compile` took {', '.join(compiled)}."] if compiled else [])


def options(entries):
    """The cost of recurrent dropout and of a mask."""
    naive = ("tensorflow/naive, mask", "tensorflow/naive, mask, XLA")
    header = [
        "B,T,D,H", "L", "recurrent dropout / without", "mask / without",
        "naive with mask / ours with mask",
    ]  # fmt: skip
    rows = [
        [
            e.shape,
            e.case["L"],
            times(e.ratio("tensorflow/ours, recurrent dropout")),
            times(e.ratio("tensorflow/ours, mask")),
            times(e.ratio(naive, "tensorflow/ours, mask")),
        ]
        for e in entries
    ]
    return [table(header, rows)]


def gated(entries):
    """The gated family against the plain loop, and its one level against Keras's layers."""
    rows = []
    for e in entries:
        for name in e.contestants:
            framework, family = name.split("/")
            others = {"DT-GRU": "keras GRU", "DT-LSTM": "keras LSTM"}
            other = f"{family}, plain loop" if e.case["L"] > 1 else others.get(family, "")
            if f"{framework}/{other}" in e.contestants:
                ratio = times(e.ratio(f"{framework}/{other}", name))
                rows.append([framework, e.case["L"], family, e.ms(name), other, ratio])
    return [table(["backend", "L", "network", "ms", "against", "its time / ours"], rows)]


def epochs(entries):
    """Whole epochs."""
    parts = []
    plain = "tensorflow/naive, padded"
    for e in entries:
        rows = [
            [
                name.split("/")[1],
                number(made["first"]),
                number(e.seconds(name)),
                times(made_of(e, plain)["first"] / made["first"]),
                times(e.seconds(plain) / e.seconds(name)),
            ]
            for name, made in e.contestants.items()
        ]
        header = [
            "", "first epoch, s", "later epoch, s", "naive, padded / this: first", "later",
        ]  # fmt: skip
        parts.append(table(header, rows))
    return parts


def made_of(entry, name):
    """The samples of a contestant; NaN for a first run that was not."""
    return entry.contestants.get(name, {"first": math.nan})


def single_step(entries):
    """One step of online inference."""
    rows = [
        [name.split("/")[1], number(1e6 * e.seconds(name)), times(e.ratio(name, hand))]
        for e in entries
        for hand in ["tensorflow/tf.function"]
        for name in e.contestants
    ]
    return [table(["", "microseconds", "of a tf.function written by hand"], rows)]


def growth(entries):
    """One table for each of the sizes that grow; they share the base case."""
    parts = []
    for name in "THBL":
        # The base case is the one that most entries differ from in one size alone.
        base = {key: statistics.mode(e.case[key] for e in entries) for key in "BTDHL"}
        found = [e for e in entries if all(e.case[key] == base[key] for key in base if key != name)]
        found.sort(key=lambda e: e.case[name])
        fixed = ", ".join(f"{key} = {value}" for key, value in base.items() if key != name)
        rows = [
            ["ours, ms", *(e.ms(OURS) for e in found)],
            ["naive, ms", *(e.ms("tensorflow/naive") for e in found)],
            ["naive / ours", *(times(e.ratio("tensorflow/naive")) for e in found)],
        ]
        parts.append(f"{name} grows ({fixed}):")
        parts.append(table([name, *(e.case[name] for e in found)], rows))
    return parts


def memory(entries):
    """The memory that training adds to a process."""
    rows = []
    for e in entries:
        for name, made in e.contestants.items():
            first, last = made["before"], e.facts[name]["memory_after"]
            # Where the present memory is not known, the peak before the work stands in.
            added = last["peak"] - first.get("now", first["peak"])
            rows.append(
                [f"{e.shape}, L = {e.case['L']}", name.split("/")[1], number(added), e.ms(name)]
            )
    return [table(["B,T,D,H", "", "MiB", "step, ms"], rows)]


def limit_of(name):
    """The product of large matrices whose rate limits a contestant."""
    worker, contestant = name.replace(", WHILE", "").split("/")
    return f"{worker}/matmul" + ", bfloat16" * contestant.endswith(", bfloat16")


def accelerator(entries):
    """Times on an accelerator, a table for each size and mode."""
    devices = {device for e in entries for f in e.facts.values() for device in f["devices"]}
    parts = [f"{', '.join(sorted(devices - {'cuda:0'}))}.", f"![Training steps]({GPU_CHART})"]
    products = {
        name: 2 * LARGE_MATMUL**3 / e.seconds(name)
        for e in entries for name in e.contestants if "/matmul" in name
    }  # fmt: skip
    if products:
        rates = (f"{name} {number(rate / 1e12)}" for name, rate in products.items())
        text = f"Products of {LARGE_MATMUL} rows and columns, TF/s: {', '.join(rates)}."
        parts.append(textwrap.fill(text, COLUMNS))
    header = ["", "ms", "microseconds a step", "`lax.scan` / this", "of a product's rate", "MiB"]
    for e in entries:
        train = e.case["mode"] == "train"
        rows = []
        for name in e.contestants:
            if "/matmul" in name:
                continue
            product = products.get(limit_of(name)) if train and "LSTM" not in name else None
            share = e.flops() / e.seconds(name) / product if product else math.nan
            rows.append([
                name, e.ms(name), number(1e6 * e.seconds(name) / e.case["T"]),
                times(e.ratio("jax/lax.scan", name)), "-" if math.isnan(share) else f"{share:.2%}",
                number(e.contestants[name].get("mib") or math.nan),
            ])  # fmt: skip
        what = "training step" if train else "forward pass"
        parts += [f"{e.shape}, L = {e.case['L']}, {what}:", table(header, rows)]
    return parts


SECTIONS = {
    "train": ("Training step", loops),
    "forward": ("Forward pass", loops),
    "options": ("Recurrent dropout and masks", options),
    "gated": ("Gated transitions and layer normalization", gated),
    "lengths": ("Sequences of different lengths", epochs),
    "nottingham": ("An epoch of `fit` on Nottingham", epochs),
    "step": ("A single step", single_step),
    "growth": ("How the time grows", growth),
    "memory": ("Memory", memory),
    "accelerator": ("Accelerator", accelerator),
}


def summary(results):
    """A small table for the README."""
    entries = [entry for entry in map(Entry, results["results"]) if entry.section == "train"]
    header = [
        "B, T, D, H", "L", "ours, ms", "`keras.layers.RNN(cell)`", "`lax.scan` / ours on JAX",
        "eager / ours on PyTorch", "eager PyTorch / ours", "of a product's rate",
    ]  # fmt: skip
    rows = [
        [
            e.shape,
            e.case["L"],
            e.ms(OURS),
            f"{times(e.ratio(NAIVE))}x",
            f"{times(e.ratio('jax/lax.scan', 'jax/ours'))}x",
            f"{times(e.ratio('torch/eager', 'torch/ours'))}x",
            f"{times(e.ratio('torch/eager'))}x",
            times(e.gigaflops() / e.limit()),
        ]
        for e in entries
    ]
    return table(header, rows)


def put(path, name, text):
    """Replaces what stands between the two marks of `name` in a file; whether there are any."""
    old = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name}: generated by make bench -->", f"<!-- {name}: end -->"
    new, found = re.subn(
        f"{re.escape(start)}.*{re.escape(end)}",
        lambda _: f"{start}\n{text}\n{end}",
        old,
        flags=re.DOTALL,
    )
    if found:
        path.write_text(new, encoding="utf-8")
    return bool(found)


# What the chart shows, and how it calls it.
SHOWN = {
    "tensorflow/ours": "this package",
    "tensorflow/naive": "RNN(cell)",
    "tensorflow/naive, XLA": "RNN(cell), XLA",
    "tensorflow/SimpleRNN": "SimpleRNN",
    "tensorflow/LSTM": "LSTM",
    "jax/ours": "this package",
    "jax/lax.scan": "lax.scan",
    "torch/ours": "this package",
    "torch/eager": "eager loop",
    "torch/torch.compile": "torch.compile",
}
SHOWN_ON_GPU = {
    "jax/ours, persistent": "this package, kernel",
    "jax/ours": "this package, scan",
    "jax/lax.scan": "lax.scan",
    "torch/ours, persistent": "this package, kernel",
    "torch/nn.RNN": "nn.RNN, cuDNN",
    "torch/torch.compile": "torch.compile",
    "torch/eager": "eager loop",
}


def chart(entries, shown, path):
    """Draws the medians of training steps, one panel for each configuration."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = 4 if len(entries) > 2 else len(entries)
    rows = -(-len(entries) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.9 * rows + 0.7), layout="constrained")
    for axes, entry in zip(figure.subplots(rows, columns, squeeze=False).flat, entries):
        names = [name for name in shown if name in entry.contestants][::-1]
        values = [1e3 * entry.seconds(name) for name in names]
        ours = [shown[name].startswith("this package") for name in names]
        colours = [COLOURS[name.split("/")[0]] for name in names]
        bars = axes.barh(range(len(names)), values, color=colours, height=0.75)
        for bar, own in zip(bars, ours):
            bar.set_alpha(1.0 if own else 0.45)
            axes.annotate(
                number(bar.get_width()),
                (bar.get_width(), bar.get_y() + bar.get_height() / 2),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=INK,
                weight="bold" if own else "normal",
            )
        axes.set_yticks(range(len(names)), [shown[name] for name in names], fontsize=8)
        for label, own in zip(axes.get_yticklabels(), ours):
            label.set_weight("bold" if own else "normal")
        sizes = ", ".join(f"{name} {entry.case[name]}" for name in "BTDHL")
        axes.set_title(sizes, fontsize=9, loc="left", color=INK)
        axes.set_xlim(0, 1.2 * max(values))
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    frameworks = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
    used = dict.fromkeys(name.split("/")[0] for name in shown)
    figure.legend(
        handles=[Patch(color=COLOURS[key], label=frameworks[key]) for key in used],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
    )
    figure.suptitle("Training step, milliseconds (median)", fontsize=11, color=INK)
    with matplotlib.rc_context({"svg.hashsalt": "benchmarks"}):
        figure.savefig(path, dpi=140, metadata={"Date": None} if path.suffix == ".svg" else None)


def write(path, docs=DOCS, readme=README):
    """Writes the tables into the documents and draws the chart beside the first of them.

    Args:
        path: JSON of the results.
        docs: Markdown file with the marks of "results".
        readme: Markdown file that may have the marks of "summary", or None.
    """
    results = json.loads(Path(path).read_text(encoding="utf-8"))
    if not put(docs, "results", render(results)):
        raise SystemExit(f"{docs} has no marks to write the results between")
    entries = [e for e in map(Entry, results["results"]) if not e.skipped]
    if steps := [e for e in entries if e.section == "train"]:
        chart(steps, SHOWN, docs.with_name(CHART))
        if readme is not None and readme.is_file():
            put(readme, "summary", summary(results))
    on_gpu = [e for e in entries if e.section == "accelerator" and e.case["mode"] == "train"]
    if on_gpu:
        chart(on_gpu, SHOWN_ON_GPU, docs.with_name(GPU_CHART))
    print(f"The tables are in {docs}.")


def main():
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.report", description=__doc__)
    parser.add_argument("results", type=Path, help="JSON that python -m benchmarks has written")
    parser.add_argument("--docs", type=Path, default=DOCS, help="document to write into")
    parser.add_argument("--readme", type=Path, default=README, help="document for the summary")
    given = parser.parse_args()
    write(given.results, given.docs, given.readme)


if __name__ == "__main__":
    main()
