"""Pictures of rows, as SVG with text as text, so that they are small and can be searched."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from bench.report import RESULTS, commit, machine

plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "sutra", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
                     "axes.spines.top": False, "axes.spines.right": False})
COLOURS = plt.get_cmap("tab10").colors
PLACES = ("one shard", "router, four shards")


def save(figure, name, how):
    figure.text(0.01, 0.01, f"{machine()}; {how}; commit {commit()}", fontsize=7, color="0.4")
    RESULTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def rates(rows, name, title):
    """Rates over gRPC: for each question a bar per place where it was asked, named behind it, and one of the rival."""
    values, units = {}, {}
    for row in rows:
        question, place = next(((row.name.removesuffix(f", {place}"), place) for place in PLACES if row.name.endswith(f", {place}")), (None, None))
        if question is None or not row.unit.endswith("/s"):
            continue
        values.setdefault(question, {})[f"Sutra, {place}"] = row.value
        units[question] = row.unit
        if row.rival is not None:
            values[question][row.rival.split(" ")[0]] = row.rival_value
    sides = sorted({side for each in values.values() for side in each}, key=lambda side: (not side.startswith("Sutra"), side))
    figure, axis = plt.subplots(figsize=(8, 0.6 + 0.32 * sum(map(len, values.values()))))
    width, at, ticks = 0.8, 0, []
    for question, each in values.items():
        for j, side in enumerate(side for side in sides if side in each):
            bar = axis.barh(at + j, each[side], width, color=COLOURS[sides.index(side)], label=side)
            axis.bar_label(bar, [f"{each[side]:,.0f}"], padding=2, fontsize=7)
        ticks.append((at + (len(each) - 1) / 2, f"{question}\n{units[question]}"))
        at += len(each) + 0.6
    axis.set(xscale="log", title=title)
    axis.set_yticks(*zip(*ticks), fontsize=7)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    handles = dict(zip(*reversed(axis.get_legend_handles_labels())))
    axis.legend(handles.values(), handles, fontsize=7, loc="lower right")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    save(figure, name, "client and servers on the same cores")
