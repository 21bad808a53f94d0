"""all-MiniLM-L6-v2 as an ONNX graph, written from the safetensors file that deploy/fetch-model keeps.

The graph has the shape that torch exports of BERT have, with mean pooling and scaling to length one behind it, so that
ONNX Runtime's own optimizer recognises attention, GELU and layer norm and fuses them.
"""

import json
import struct

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, FEATURES = 6, 12, 384
OPSET = 17  # the first with LayerNormalization


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start = file.tell()
        tensors = {}
        for name, entry in header.items():
            if entry.get("dtype") != "F32":
                continue
            file.seek(start + entry["data_offsets"][0])
            size = entry["data_offsets"][1] - entry["data_offsets"][0]
            tensors[name] = numpy.frombuffer(file.read(size), numpy.float32).reshape(entry["shape"])
        return tensors


class Graph:
    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.initializers = []

    def constant(self, name, array):
        if not any(tensor.name == name for tensor in self.initializers):
            self.initializers.append(numpy_helper.from_array(numpy.array(array, order="C"), name))
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name])

    def op(self, kind, *inputs, output=None, **attributes):
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def linear(self, x, name):
        matrix = self.constant(name + ".weight.T", self.weights[name + ".weight"].T)
        return self.op("Add", self.op("MatMul", x, matrix), self.weight(name + ".bias"))

    def norm(self, x, name):
        return self.op("LayerNormalization", x, self.weight(name + ".weight"), self.weight(name + ".bias"), axis=-1,
                       epsilon=1e-12)

    def floats(self, name, *values):
        return self.constant(name, numpy.array(values[0] if len(values) == 1 else values, numpy.float32))

    def ints(self, name, *values):
        return self.constant(name, numpy.array(values, numpy.int64))


def attention(g, x, mask, prefix):
    def heads(name, order):
        split = g.op("Reshape", g.linear(x, prefix + "self." + name), g.ints("split", 0, 0, HEADS, FEATURES // HEADS))
        return g.op("Transpose", split, perm=order)

    scores = g.op("MatMul", heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]))
    scaled = g.op("Div", scores, g.floats("sqrt_head", (FEATURES // HEADS) ** 0.5))
    weights = g.op("Softmax", g.op("Add", scaled, mask), axis=-1)
    context = g.op("Transpose", g.op("MatMul", weights, heads("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    joined = g.op("Reshape", context, g.ints("join", 0, 0, FEATURES))
    return g.op("Add", g.linear(joined, prefix + "output.dense"), x)


def gelu(g, x):
    erf = g.op("Erf", g.op("Div", x, g.floats("sqrt_two", 2**0.5)))
    return g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.floats("one", 1.0))), g.floats("half", 0.5))


def layer(g, x, mask, prefix):
    x = g.norm(attention(g, x, mask, prefix + "attention."), prefix + "attention.output.LayerNorm")
    wide = gelu(g, g.linear(x, prefix + "intermediate.dense"))
    return g.norm(g.op("Add", g.linear(wide, prefix + "output.dense"), x), prefix + "output.LayerNorm")


def embeddings(g):
    words = g.op("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = g.op("Gather", g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    length = g.op("Gather", g.op("Shape", "input_ids"), g.constant("second", numpy.array(1, numpy.int64)), axis=0)
    end = g.op("Unsqueeze", length, g.ints("first_axis", 0))
    all_positions = g.constant("position_ids", numpy.arange(512, dtype=numpy.int64)[None])
    ids = g.op("Slice", all_positions, g.ints("slice_from", 0), end, g.ints("slice_axis", 1), g.ints("slice_step", 1))
    positions = g.op("Gather", g.weight("embeddings.position_embeddings.weight"), ids)
    return g.norm(g.op("Add", g.op("Add", words, types), positions), "embeddings.LayerNorm")


def score_mask(g):
    wide = g.op("Unsqueeze", g.op("Unsqueeze", "attention_mask", g.ints("axis_1", 1)), g.ints("axis_2", 2))
    present = g.op("Cast", wide, to=TensorProto.FLOAT)
    return g.op("Mul", g.op("Sub", g.floats("one", 1.0), present), g.floats("lowest", -10000.0))


def pool(g, x):
    present = g.op("Cast", g.op("Unsqueeze", "attention_mask", g.ints("last_axis", -1)), to=TensorProto.FLOAT)
    total = g.op("ReduceSum", g.op("Mul", x, present), g.ints("axis_1", 1), keepdims=0)
    length = g.op("ReduceL2", total, axes=[1], keepdims=1)
    g.op("Div", total, length, output="embedding")


def build(safetensors_path):
    g = Graph(read_safetensors(safetensors_path))
    x, mask = embeddings(g), score_mask(g)
    for i in range(LAYERS):
        x = layer(g, x, mask, f"encoder.layer.{i}.")
    pool(g, x)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", FEATURES])]
    graph = helper.make_graph(g.nodes, "all-MiniLM-L6-v2", inputs, outputs, g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model
