"""Who may depend on whom: the arrows of the architecture, for `visibility`.

    router  shard  apps            programs: anything below, never each other
    cluster  client                the public verbs; the typed client
    serve                          what the servers share
    rpc    store  vector  embed    libraries; none knows another
    ids config log metrics auth    small services; rpc knows auth
    base                           libc only
"""

PROGRAMS = ["//router:__pkg__", "//shard:__pkg__", "//src/apps:__subpackages__"]

TESTS = ["//tests:__subpackages__", "//bench:__subpackages__"]

CLUSTER = ["//src/cluster:__pkg__"] + PROGRAMS + TESTS

SERVE = ["//src/serve:__pkg__"] + CLUSTER

LIBRARIES = [
    "//src/embed:__pkg__",
    "//src/rpc:__pkg__",
    "//src/store:__pkg__",
] + SERVE
