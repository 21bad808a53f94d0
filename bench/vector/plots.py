"""Pictures of what bench/run vector found."""

from bench.figures import COLOURS, plt, save

LOWEST_RECALL = 0.8


def _frontier(points):
    """Those that no other beats in both recall and rate."""
    best, kept = 0, []
    for point in sorted(points, key=lambda each: -each.recall):
        if point.rate > best:
            best = point.rate
            kept.append(point)
    return kept


def recall_and_rate(sweeps, name):
    """One picture of all data sets, side by side."""
    figure, axes = plt.subplots(1, len(sweeps), figsize=(5.5 * len(sweeps), 4.6), squeeze=False)
    names = sorted({contender for curves in sweeps.values() for contender in curves}, key=lambda each: (not each.startswith("Sutra"), each))
    for axis, (data, curves) in zip(axes[0], sweeps.items()):
        for contender, points in curves.items():
            kept = [point for point in _frontier(points) if point.recall >= LOWEST_RECALL]
            mine = contender.startswith("Sutra")
            axis.plot([p.recall for p in kept], [p.rate for p in kept], marker="o", ms=3, lw=2 if mine else 1,
                      ls="-" if mine else "--", label=contender, color=COLOURS[names.index(contender) % 10])
        axis.set(yscale="log", xlabel="recall@10", title=data, xlim=(LOWEST_RECALL, 1.005))
    axes[0][0].set_ylabel("queries per second, one at a time")
    axes[0][0].legend(fontsize=7, loc="lower left")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    save(figure, name, "one thread")


def bytes_and_recall(points, data, name):
    figure, axis = plt.subplots(figsize=(6.5, 4.2))
    for i, (label, size, recall) in enumerate(points):
        axis.plot(size, recall, "o" if label.startswith("Sutra") else "s", color=COLOURS[i % 10], label=f"{label}: {size} bytes, {recall:.3f}")
    axis.set(xscale="log", xlabel="bytes per vector", ylabel="recall@10, everything scanned", title=data, xlim=(40, 1000))
    axis.set_xticks(ticks := [48, 100, 200, 500, 1000], [str(tick) for tick in ticks])
    axis.legend(fontsize=7, loc="center right")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    save(figure, name, "one thread")


def scan_and_memory(rows, name):
    """Nanoseconds per code of each kernel beside what a plain read of the same bytes takes."""
    prefix = "scan kernel "
    bars = [(row, *row.name.removeprefix(prefix).split(", ", 1)) for row in rows if row.name.startswith(prefix) and row.rival == "plain read"]
    places = list(dict.fromkeys(place for _, _, place in bars))
    kernels = list(dict.fromkeys(kernel for _, kernel, _ in bars))
    figure, axis = plt.subplots(figsize=(7, 4.2))
    width = 0.8 / (len(kernels) + 1)
    for i, kernel in enumerate(kernels):
        values = [row.value for row, each, _ in bars if each == kernel]
        axis.bar([x + i * width for x in range(len(places))], values, width, label=kernel, color=COLOURS[i])
    reads = [next(row.rival_value for row, _, where in bars if where == place) for place in places]
    axis.bar([x + len(kernels) * width for x in range(len(places))], reads, width, label="plain read", color="0.6")
    axis.set(yscale="log", ylabel="ns per code of 48 bytes", title="scan of random codes")
    axis.set_xticks([x + 0.4 - width / 2 for x in range(len(places))], places)
    axis.legend(fontsize=7)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    save(figure, name, "one thread")
