"""One page: for each verb what a caller waits at each rate, at a shard and at a router, and where calls fail."""

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bench.figures import COLOURS, PLACES, save

COLUMNS = 3
SHOWN = (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"))
STYLES = dict(zip(PLACES, ("-", "--")))
FAILED = "tab:red"


def _short(number, _position=None):
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"


def _curves(axis, steps):
    for colour, (key, _) in zip(COLOURS, SHOWN):
        for place, style in STYLES.items():
            points = [(step.offered_rate, getattr(step, key)) for step in steps if step.place == place and getattr(step, key) is not None]
            axis.plot(*zip(*points), style, color=colour, marker=".", markersize=3, linewidth=1)


def _marks(axis, steps):
    """The rate that was too much, and what share of it failed."""
    for step in steps:
        value = step.p99_ms
        if not step.saturated or value is None:
            continue
        axis.plot(step.offered_rate, value, marker="x" if step.errors else "o", color=FAILED, markersize=5, fillstyle="none", linestyle="none")
        if step.errors:
            axis.annotate(f"{step.error_share:.0%} errors", (step.offered_rate, value), fontsize=6, color=FAILED, textcoords="offset points",
                          xytext=(-4, 4), ha="right")


def _verb(axis, verb, steps):
    _curves(axis, steps)
    _marks(axis, steps)
    axis.set(xscale="log", yscale="log")
    axis.set_title(verb, fontsize=9, loc="left")
    axis.set_xticks(sorted({step.offered_rate for step in steps}))
    axis.minorticks_off()
    axis.xaxis.set_major_formatter(FuncFormatter(_short))
    axis.yaxis.set_major_formatter(FuncFormatter(_short))
    axis.tick_params(labelsize=6)
    axis.margins(x=0.08, y=0.12)


def _legend(figure):
    lines = [Line2D([], [], color=colour, label=label) for colour, (_, label) in zip(COLOURS, SHOWN)]
    lines += [Line2D([], [], color="0.3", linestyle=style, label=place) for place, style in STYLES.items()]
    lines += [Line2D([], [], color=FAILED, marker=marker, fillstyle="none", linestyle="none", label=label)
              for marker, label in (("o", "answers fall behind"), ("x", "calls fail"))]
    figure.legend(handles=lines, ncol=len(lines), fontsize=7, loc="upper center", frameon=False, bbox_to_anchor=(0.5, 0.975))


def page(steps, name):
    verbs = sorted({step.verb for step in steps})
    rows = -(-len(verbs) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(9, 1.9 * rows + 0.9), squeeze=False)
    for axis, verb in zip(axes.flat, verbs):
        _verb(axis, verb, [step for step in steps if step.verb == verb])
    for axis in axes.flat[len(verbs) :]:
        axis.axis("off")
    figure.suptitle("Calls offered a second, and milliseconds until they are answered", fontsize=11, y=0.99)
    _legend(figure)
    figure.tight_layout(rect=(0, 0.015, 1, 0.96))
    save(figure, name, "ghz, router and shards on the same cores")
