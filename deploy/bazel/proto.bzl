"""protoc-c as a rule: C message types, and one descriptor set for reflection."""

load("//deploy/bazel:sutra.bzl", "RELAXED")

def proto_c_library(name, srcs, **kwargs):
    """Compiles @srcs (paths below proto/) to one cc_library of protobuf-c types."""
    outs = []
    for src in srcs:
        stem = src[:-len(".proto")]
        outs += [stem + ".pb-c.c", stem + ".pb-c.h"]
    native.genrule(
        name = name + "_c",
        srcs = srcs + ["//proto:all_protos"],
        outs = outs,
        cmd = "protoc-c -Iproto -I/usr/include --c_out=$(RULEDIR) " +
              " ".join(["$(location %s)" % src for src in srcs]),
        message = "Compiling protos of",
    )
    native.cc_library(
        name = name,
        srcs = [out for out in outs if out.endswith(".c")],
        hdrs = [out for out in outs if out.endswith(".h")],
        copts = RELAXED,
        includes = ["."],
        linkstatic = True,
        deps = ["//src/third_party:protobuf_c"] + kwargs.pop("deps", []),
        **kwargs
    )

def descriptor_set(name, srcs, **kwargs):
    """One FileDescriptorSet with everything @srcs import; reflection and the streaming flags come from it."""
    native.genrule(
        name = name,
        srcs = srcs,
        outs = [name + ".pb"],
        cmd = "protoc -Iproto -I/usr/include --include_imports --include_source_info --descriptor_set_out=$@ " +
              " ".join(["$(location %s)" % src for src in srcs]),
        **kwargs
    )
