"""How much recall 48 bytes keep, and what refinement adds; every search here is exhaustive."""

from bench.vector import ours, rivals

FACTORIES = (("PQ48x8np", 48), ("OPQ48_384,PQ48x8np", 48), ("PQ96x4fs", 48), ("OPQ96_384,PQ96x4fs", 48), ("RR384,RaBitQ", 56))
SLOW = "OPQ96_384,PQ96x4fs"  # a minute and a half of training
TRAINED_ON = 32768
REFINED = (20, 50, 100, 200, 400)


def run(world):
    """Points of bytes per vector and recall, for the plot."""
    data, rounds = world.wordnet, 4 if world.quick else 12
    factories = [each for each in FACTORIES if not (world.quick and each[0] == SLOW)]
    step = world.steps(2 + len(factories))
    step("training")
    segment = world.engine(data, with_cells=False).segment()
    mine = _recall(data, segment)
    points = [("Sutra, code", ours.CODE_BYTES, mine)]
    for factory, size in factories:
        step(f"Faiss {factory}")
        rival = rivals.faiss_codes(data, factory, TRAINED_ON, rounds)
        theirs = data.recall(rival.found(data.queries))
        points.append((rival.name, size, theirs))
        world.report.add("recall@10 by code alone", mine, "recall", rival=f"{rival.name}, {size} bytes", rival_value=theirs,
                         recall=mine, data=str(data), note=f"ours {ours.CODE_BYTES} bytes; rival trained on {TRAINED_ON:,} rows, OPQ in {rounds} rounds")
    step("refinement")
    for kind in ours.FORMATS:
        segment = world.engine(data, with_cells=False).segment(kind)
        for r in REFINED:
            recall = _recall(data, segment, r)
            world.report.add(f"recall@10, {kind} rows of the best {r}", recall, "recall", recall=recall, data=str(data),
                             note=f"{ours.CODE_BYTES} + {ours.ROW_BYTES[kind]} bytes per vector")
        points.append((f"Sutra, code + {kind}", ours.CODE_BYTES + ours.ROW_BYTES[kind], _recall(data, segment, 100)))
    return points


def _recall(data, segment, r=None):
    searcher = ours.Searcher(segment, data.queries, r)
    found = data.recall(searcher.found())
    searcher.free()
    return found
