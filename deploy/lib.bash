# Shared by deploy/demo, deploy/cluster and tests/run, which source it and set $root: where Bazel keeps this workspace, and
# processes that end with their script. The functions for processes need $folder, and fail() for what went wrong.

# Bazel's own rule: <user root>/<md5 of the workspace's path>.
bazel_output_base=${XDG_CACHE_HOME:-$HOME/.cache}/bazel/_bazel_$(id -un)/$(printf %s "$root" | md5sum | cut -d' ' -f1)

bazel_server_runs() {
    kill -0 "$(cat "$bazel_output_base/server/server.pid.txt" 2>/dev/null || echo none)" 2>/dev/null
}

readonly READY_SECONDS=60 STOP_SECONDS=20

# Runs in the background and waits, because a waiting shell can be interrupted at once.
run() {
    "$@" &
    wait $!
}

# SIGTERM to all that still run, the youngest first, and SIGKILL to what does not end.
stop_processes() {
    local deadline=$((SECONDS + STOP_SECONDS)) pid
    for pid in $(jobs -p | tac); do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in $(jobs -p | tac); do
        while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
}

# A developer's warm server is used (server_before=yes, which bazel_server_runs tells); without one Bazel runs in one process
# that ends with the build.
build_programs() {
    local batch=(--batch)
    [ "$server_before" = no ] || batch=()
    run bazel "${batch[@]}" build --noshow_progress --ui_event_filters=-info,-debug //:sutra_programs >&2 ||
        fail "the build failed"
}

port_is_free() {
    ! (exec 4<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# start NAME PROGRAM ARGUMENTS…: returns when the program says that it is ready; its address is then in $address.
start() {
    local name=$1 deadline=$((SECONDS + READY_SECONDS)) line= pid
    shift
    "$@" >"$folder/$name.out" 2>"$folder/$name.log" &
    pid=$!
    until [[ $line == *" ready on "* ]]; do
        if ! kill -0 "$pid" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            cat "$folder/$name.log" >&2
            fail "$name did not start"
        fi
        sleep 0.05
        read -r line <"$folder/$name.out" || true
    done
    address=${line##* ready on }
}

# Of @1 shards.
write_topology() {
    local i separator=
    printf '{"epoch": 1, "shards": ['
    for ((i = 0; i < $1; i++)); do
        printf '%s{"address": "unix:%s/shard%d"}' "$separator" "$folder" "$i"
        separator=', '
    done
    echo ']}'
}

# start_cluster SHARDS OPTION…: an embedder, shards, and a router on port 7400 if that is free, all with the same further
# options. The router's address is then in $address.
start_cluster() {
    local i port=0 shards=$1 cluster
    shift
    write_topology "$shards" >"$folder/topology.json"
    cluster=(--topology "$folder/topology.json" --embedder "unix:$folder/embed" "$@")
    start embedder bazel-bin/src/apps/embed/sutra-embed --listen "unix:$folder/embed" "$@"
    for ((i = 0; i < shards; i++)); do
        start "shard$i" bazel-bin/shard/sutra-shard --data "$folder/data$i" --listen "unix:$folder/shard$i" \
            --shard "$i" "${cluster[@]}"
    done
    ! port_is_free 7400 || port=7400
    start router bazel-bin/router/sutra-router --listen "127.0.0.1:$port" "${cluster[@]}"
}
