# Shared by deploy/demo and tests/run, which source it and set $root: where Bazel keeps this workspace.

# Bazel's own rule: <user root>/<md5 of the workspace's path>.
bazel_output_base=${XDG_CACHE_HOME:-$HOME/.cache}/bazel/_bazel_$(id -un)/$(printf %s "$root" | md5sum | cut -d' ' -f1)

bazel_server_runs() {
    kill -0 "$(cat "$bazel_output_base/server/server.pid.txt" 2>/dev/null || echo none)" 2>/dev/null
}
