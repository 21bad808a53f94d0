# Shared by deploy/demo and tests/run, which source it: how not to leave a Bazel server behind.

# Bazel's own rule: <user root>/<md5 of the workspace's path>.
bazel_server_runs() {
    local base=${XDG_CACHE_HOME:-$HOME/.cache}/bazel/_bazel_$(id -un)/$(printf %s "$root" | md5sum | cut -d' ' -f1)
    kill -0 "$(cat "$base/server/server.pid.txt" 2>/dev/null || echo none)" 2>/dev/null
}
