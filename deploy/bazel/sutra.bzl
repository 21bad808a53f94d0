"""Every C target of the project is declared through these macros: one list of flags, one place to change it."""

# _DEFAULT_SOURCE: POSIX plus the few glibc calls we use (explicit_bzero, sync_file_range …) under -std=c11.
WARNINGS = [
    "-std=c11",
    "-D_DEFAULT_SOURCE",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
    "-Wvla",
    "-Wundef",
    "-Werror",
    # Bazel's optimised mode switches assertions off; ours stay on in release.
    "-UNDEBUG",
]

# Generated code and system headers are not ours to warn about.
RELAXED = ["-std=c11", "-D_DEFAULT_SOURCE", "-w"]

# Criterion's assertion macros convert signs and redeclare names inside themselves.
TEST_RELAXED = ["-Wno-conversion", "-Wno-shadow", "-Wno-sign-conversion", "-Wno-missing-prototypes"]

def sutra_library(name, copts = [], **kwargs):
    native.cc_library(name = name, copts = WARNINGS + copts, linkstatic = True, **kwargs)

def sutra_binary(name, copts = [], **kwargs):
    native.cc_binary(name = name, copts = WARNINGS + copts, **kwargs)

# libcriterion finds tests through sections that nothing else refers to; --gc-sections would drop them all.
TEST_LINKOPTS = ["-Wl,--no-gc-sections"]

def sutra_test(name, deps = [], copts = [], linkopts = [], size = "small", **kwargs):
    """A Criterion suite: one process per test, seeds printed on failure."""
    native.cc_test(
        name = name,
        copts = WARNINGS + TEST_RELAXED + copts,
        linkopts = TEST_LINKOPTS + linkopts,
        size = size,
        deps = deps + ["//src/third_party:criterion"],
        **kwargs
    )
