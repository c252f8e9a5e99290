# A cgroup of its own for each host, in every hierarchy. Without it the hosts' units share one tree: their
# systemds stop each other's processes, and starts fail with 219/CGROUP.

cgroup_hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts; }

# Puts the calling process, and with it all that it will start, into the host's cgroups.
cgroups_enter() {
    local host=$1 hierarchy place above
    for hierarchy in $(cgroup_hierarchies); do
        place=$hierarchy
        for above in unship-testbed "$id" "$host"; do
            place=$place/$above
            mkdir -p "$place"
            if [[ -e $place/cpuset.cpus && -z $(<"$place/cpuset.cpus") && -e ${place%/*}/cpuset.mems ]]; then
                cat "${place%/*}/cpuset.cpus" >"$place/cpuset.cpus"
                cat "${place%/*}/cpuset.mems" >"$place/cpuset.mems"
            fi
        done
        echo "$BASHPID" >"$place/cgroup.procs"
    done
}

# Fails unless the process is inside the host's cgroup in every hierarchy.
cgroups_assert() {
    local host=$1 pid=$2 outside
    outside=$(awk -v place="/unship-testbed/$id/$host" \
        '{path = $0; sub(/^[0-9]*:[^:]*:/, "", path)} index(path "/", place "/") != 1' "/proc/$pid/cgroup")
    [[ -z $outside ]] || die "$host has no cgroup of its own in: ${outside//$'\n'/, }; its units would be mixed up with others'"
}

cgroup_freeze() { # HOST 1|0
    local freezer=/sys/fs/cgroup/freezer/unship-testbed/$id/$1 unified=/sys/fs/cgroup/unship-testbed/$id/$1 wanted
    if [[ -e $freezer/freezer.state ]]; then
        wanted=$([[ $2 == 1 ]] && echo FROZEN || echo THAWED)
        for _ in {1..50}; do
            echo "$wanted" >"$freezer/freezer.state"
            [[ $(<"$freezer/freezer.state") != "$wanted" ]] || return 0
            sleep 0.02
        done
        die "$1 does not become $wanted"
    elif [[ -e $unified/cgroup.freeze ]]; then
        echo "$2" >"$unified/cgroup.freeze"
    elif [[ $2 == 1 ]]; then
        die "this machine has no freezer"
    fi
}

# Every process of one host, or of all: SIGKILL until none is left, then the empty groups are removed.
cgroups_end() {
    local host=${1:-} hierarchy place pids
    for host in ${host:-$(cd /sys/fs/cgroup/systemd/unship-testbed/"$id" 2>/dev/null && ls -d -- */ || ls "$fleet" 2>/dev/null || true)}; do
        host=${host%/}
        cgroup_freeze "$host" 0
        for _ in {1..100}; do
            pids=$(for hierarchy in $(cgroup_hierarchies); do
                place=$hierarchy/unship-testbed/$id/$host
                [[ ! -d $place ]] || find "$place" -name cgroup.procs -exec cat {} + 2>/dev/null || true
            done | sort -u)
            [[ -n $pids ]] || break
            # shellcheck disable=SC2086
            kill -KILL $pids 2>/dev/null || true
            sleep 0.05
        done
        [[ -z $pids ]] || die "processes of $host do not end: $pids"
        for hierarchy in $(cgroup_hierarchies); do
            place=$hierarchy/unship-testbed/$id/$host
            [[ ! -d $place ]] || find "$place" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
    done
    [[ -z ${1:-} ]] || return 0
    for hierarchy in $(cgroup_hierarchies); do
        rmdir "$hierarchy/unship-testbed/$id" 2>/dev/null || true
    done
}
