# Shared by deploy/demo and tests/run, which source it: where Bazel's server is, and how not to leave one behind.

# Bazel's own rule: <user root>/<md5 of the workspace's path>.
bazel_server_pid() {
    local base=${XDG_CACHE_HOME:-$HOME/.cache}/bazel/_bazel_$(id -un)/$(printf %s "$root" | md5sum | cut -d' ' -f1)
    local pid
    pid=$(cat "$base/server/server.pid.txt" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

# Call before the first bazel command.
bazel_remember_server() {
    bazel_server_before=$(bazel_server_pid || true)
}

# Stops the server unless it was there before; a developer's warm server stays.
bazel_leave_no_server() {
    [ -n "${bazel_server_before-unset}" ] || ! bazel_server_pid >/dev/null || bazel shutdown >/dev/null 2>&1 || true
}
