#!/usr/bin/env python3
"""Texts per second: our encoder beside ONNX Runtime with the same model, texts and threads.

    bench/rivals/embed.py [--quick]        prints rows of JSON; needs numpy, onnx, onnxruntime, sympy and tokenizers

The texts are WordNet's synsets as `sutra import` stores them, evenly picked. Both sides start from text: tokenizing is
part of every time (EMBED_BENCH is the path of our program; default: bazel-bin/bench/embed_bench). Rounds alternate,
ours first; a rate is the median of its rounds.

ONNX Runtime is at its best: its graph comes from minilm_onnx.py, goes through onnxruntime's BERT optimizer (fused
attention, GELU with bias, layer norm with residual), runs with all of its own optimizations, on texts sorted by length
so that next to nothing is padded, in the batch size that was fastest in a trial run. In int8 its weights are quantized
by quantize_dynamic, per channel; that is its path of reduced precision on CPUs, beside our bfloat16.

sentence-transformers is not measured: it needs PyTorch, whose wheel on PyPI brings CUDA's libraries along.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).parent))
import minilm_onnx

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = Path(os.environ.get("SUTRA_MODEL") or Path.home() / ".cache/sutra/all-MiniLM-L6-v2")
WORDNET = Path("/usr/share/wordnet")
BATCH_SIZES = (4, 8, 16, 32, 64, 128)
THREADS = (1, 2)
MAX_TOKENS = 256


def synset_text(line):
    """wndb(5) to "lemma, lemma — definition", examples left out."""
    head, gloss = line.split(" | ", 1)
    words = head.split()
    lemmas = [words[4 + 2 * i] for i in range(int(words[3], 16))]
    lemmas = [lemma[: lemma.index("(")] if lemma.endswith(")") and "(" in lemma[1:] else lemma for lemma in lemmas]
    return ", ".join(lemma.replace("_", " ") for lemma in lemmas) + " — " + gloss.strip().split('; "')[0]


def wordnet_texts(n):
    texts = []
    for part in ("noun", "verb", "adj", "adv"):
        with open(WORDNET / f"data.{part}", encoding="utf-8") as file:
            texts += [synset_text(line) for line in file if not line.startswith(" ")]
    return texts[:: max(1, len(texts) // n)][:n]


class Ours:
    def __init__(self, texts, folder):
        self.program = os.environ.get("EMBED_BENCH") or str(ROOT / "bazel-bin/bench/embed_bench")
        self.texts = folder / "texts.txt"
        self.vectors = folder / "vectors.f32"
        self.texts.write_text("".join(text + "\n" for text in texts), encoding="utf-8")

    def measure(self, threads, precision):
        """One round: {name: measurement}."""
        command = [self.program, "--texts", self.texts, "--threads", str(threads), "--precision", precision, "--rounds",
                   "1", "--model", MODEL, "--output", self.vectors]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        return {measurement["name"]: measurement for measurement in map(json.loads, lines)}

    def rows(self):
        return numpy.fromfile(self.vectors, numpy.float32).reshape(-1, minilm_onnx.FEATURES)


def write_models(folder):
    """{precision: path} of the optimized graphs."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    plain, fused, int8 = (str(folder / name) for name in ("plain.onnx", "fused.onnx", "int8.onnx"))
    onnx.save(minilm_onnx.build(MODEL / "model.safetensors"), plain)
    optimized = optimizer.optimize_model(plain, model_type="bert", num_heads=minilm_onnx.HEADS,
                                         hidden_size=minilm_onnx.FEATURES, opt_level=0)
    fusions = optimized.get_fused_operator_statistics()
    assert fusions["Attention"] == minilm_onnx.LAYERS and fusions["BiasGelu"] == minilm_onnx.LAYERS, fusions
    optimized.save_model_to_file(fused)
    # The fused operators have no shape inference: what they give has to be said.
    quantize_dynamic(fused, int8, per_channel=True, weight_type=QuantType.QInt8,
                     op_types_to_quantize=["MatMul", "Attention"],
                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    return {"float32": fused, "int8": int8}


class OnnxRuntime:
    def __init__(self, path, threads, texts):
        import onnxruntime
        from tokenizers import BertWordPieceTokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.tokenizer = BertWordPieceTokenizer(str(MODEL / "vocab.txt"), lowercase=True)
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.texts = texts
        self.batch_size = max(BATCH_SIZES, key=self.trial)

    def trial(self, batch_size):
        self.batch_size = batch_size
        texts, self.texts = self.texts, self.texts[::4]
        rate = max(self.measure() for _ in range(2))
        self.texts = texts
        return rate

    def embed(self, ids):
        length = max(map(len, ids))
        tokens = numpy.zeros((len(ids), length), numpy.int64)
        mask = numpy.zeros_like(tokens)
        for row, text in enumerate(ids):
            tokens[row, : len(text)] = text
            mask[row, : len(text)] = 1
        return self.session.run(None, {"input_ids": tokens, "attention_mask": mask,
                                       "token_type_ids": numpy.zeros_like(tokens)})[0]

    def measure(self):
        """Texts per second; the vectors are in self.rows."""
        start = time.perf_counter()
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(self.texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
        self.rows = numpy.empty((len(ids), minilm_onnx.FEATURES), numpy.float32)
        for i in range(0, len(order), self.batch_size):
            batch = order[i : i + self.batch_size]
            self.rows[batch] = self.embed([ids[j] for j in batch])
        return len(ids) / (time.perf_counter() - start)

    def single(self):
        """Milliseconds per text, one at a time."""
        texts = self.texts[:200]
        start = time.perf_counter()
        for text in texts:
            self.embed([self.tokenizer.encode(text).ids])
        return (time.perf_counter() - start) * 1e3 / len(texts)


def cosines(a, b):
    return (a * b).sum(1) / numpy.linalg.norm(a, axis=1) / numpy.linalg.norm(b, axis=1)


def compare(ours, rival, name, precision, threads, rounds, reference, data, report):
    """Alternates one precision of ours with one of the rival's."""
    runs, rates, singles = [], [], []
    for _ in range(rounds):
        runs.append(ours.measure(threads, precision))
        rates.append(rival.measure())
        singles.append(rival.single())
    batches = [run["batches"] for run in runs]
    label = f"embed {precision}"
    report(f"{label}, batches", statistics.median(b["texts_per_s"] for b in batches), "texts/s", rival=name,
           rival_value=statistics.median(rates), threads=threads, data=f"{data}, rival's batch {rival.batch_size}")
    if threads == 1:
        report(f"{label}, one text", statistics.median(run["one by one"]["ms_per_text"] for run in runs), "ms",
               rival=name, rival_value=statistics.median(singles), data=data)
        report(f"{label}, share of sgemm's rate", statistics.median(b["share"] for b in batches), "1", data=data)
        report(f"{label}, lowest cosine to ONNX Runtime float32", float(cosines(ours.rows(), reference).min()), "1",
               rival=name, rival_value=float(cosines(rival.rows, reference).min()), data=data)


def run(quick, report):
    """Measures everything; @report is called once per row."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    texts = wordnet_texts(500 if quick else 2000)
    rounds = 3 if quick else 5
    data = f"{len(texts)} WordNet synsets"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = Ours(texts, folder)
        models = write_models(folder)
        reference = None
        for threads in THREADS:
            exact = OnnxRuntime(models["float32"], threads, texts)
            if reference is None:
                exact.measure()
                reference = exact.rows
            compare(ours, exact, "ONNX Runtime float32", "float32", threads, rounds, reference, data, report)
            quantized = OnnxRuntime(models["int8"], threads, texts)
            compare(ours, quantized, "ONNX Runtime int8", "bfloat16", threads, rounds, reference, data, report)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer texts and rounds")
    rows = []

    def report(name, value, unit, rival=None, rival_value=None, recall=None, threads=1, data=None):
        ratio = value / rival_value if rival_value else None
        rows.append({"name": name, "value": value, "unit": unit, "rival": rival, "rival_value": rival_value,
                     "ratio": ratio, "recall": recall, "threads": threads, "data": data})

    run(parser.parse_args().quick, report)
    print(json.dumps(rows, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
