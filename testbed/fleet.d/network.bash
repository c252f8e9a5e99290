# One bridge and one /24 a fleet. Nothing routes out of it: its packets never leave this machine.

# The fleet's number names its bridge (ubN), its links (ubNhI), its namespaces (ubN-HOST) and its net 10.77.N.0/24.
fleet_number() { cat "$fleet/number"; }
host_link() { echo "ub$(fleet_number)h$(host_index "$1")"; }
host_netns() { echo "ub$(fleet_number)-$1"; }
host_index() { awk -v host="$1" '$1 == host {split($2, part, "."); print part[4] - 10}' "$fleet/hosts"; }
host_address() { awk -v host="$1" '$1 == host {print $2}' "$fleet/hosts"; }

network_make() {
    local number
    exec 8>"$base/.number.lock"
    flock -w 60 8
    for number in {1..250}; do
        ! grep -qsx "$number" "$base"/fleets/*/number && ! ip link show "ub$number" >/dev/null 2>&1 && break
    done
    echo "$number" >"$fleet/number"
    ip link add "ub$number" type bridge
    exec 8>&-
    ip addr add "10.77.$number.1/24" dev "ub$number"
    ip link set "ub$number" up
    # Every host's systemd watches files as root; the usual 128 are used up by a few hosts.
    [[ $(sysctl -n fs.inotify.max_user_instances) -ge 4096 ]] || sysctl -qw fs.inotify.max_user_instances=4096
}

network_of_host() {
    local host=$1 link netns
    link=$(host_link "$host")
    netns=$(host_netns "$host")
    ip netns add "$netns"
    ip link add "$link" type veth peer name host0 netns "$netns"
    ip link set "$link" master "ub$(fleet_number)" up
    ip -n "$netns" addr add "$(host_address "$host")/24" dev host0
    ip -n "$netns" link set host0 up
    ip -n "$netns" link set lo up
}

network_remove() {
    [[ -f $fleet/number ]] || return 0
    local number netns link
    number=$(fleet_number)
    [[ $number =~ ^[0-9]+$ ]] || die "$fleet/number is not a number"
    while read -r netns; do ip netns del "$netns"; done < <(ip netns list | awk '{print $1}' | grep "^ub$number-" || true)
    while read -r link; do
        ip link del "$link" 2>/dev/null || true
    done < <(ip -o link show | sed -n "s/^[0-9]*: \(ub$number\(h[0-9]*d\{0,1\}\)\{0,1\}\)[@:].*/\1/p")
}
