# What can go wrong with a host, on purpose. A marker in the host's folder says which faults are on.

fault_on() { : >"$fleet/$1/fault.$2"; }
fault_off() { rm -f "$fleet/$1/fault.$2"; }
faults_of() { (cd "$fleet/$1" && for f in fault.*; do [[ ! -e $f ]] || printf '%s ' "${f#fault.}"; done); }

fault_cut() {
    local netns
    netns=$(host_netns "$1")
    ip netns exec "$netns" nft delete table inet testbed 2>/dev/null || true
    if [[ ${2:-} == --rst ]]; then
        # Each end learns of it with the next segment that it sends, or that it gets.
        ip netns exec "$netns" nft -f - <<'NFT'
table inet testbed {
    chain in { type filter hook input priority 0; iifname "lo" accept; meta l4proto tcp reject with tcp reset; drop; }
    chain out { type filter hook output priority 0; oifname "lo" accept; tcp flags & rst == rst accept; meta l4proto tcp reject with tcp reset; drop; }
}
NFT
    else
        ip netns exec "$netns" nft -f - <<'NFT'
table inet testbed {
    chain in { type filter hook input priority 0; iifname "lo" accept; drop; }
    chain out { type filter hook output priority 0; oifname "lo" accept; drop; }
}
NFT
    fi
    fault_on "$1" cut
}

# The kernel here may have no netem: a small relay between two links holds each packet back.
fault_slow() {
    local host=$1 ms=${2:-} link number
    [[ $ms =~ ^[0-9]{1,5}$ ]] || die "slow HOST MS: how many milliseconds?"
    link=$(host_link "$host")
    number=$(fleet_number)
    if [[ -f $fleet/$host/relay.pid ]]; then
        kill "$(<"$fleet/$host/relay.pid")" 2>/dev/null || true
        rm -f "$fleet/$host/relay.pid"
        ip link del "${link}d" 2>/dev/null || true
    fi
    if [[ $ms == 0 ]]; then
        ip link set "$link" master "ub$number"
        fault_off "$host" slow
        return
    fi
    ip link set "$link" nomaster
    ip link add "${link}d" type veth peer name "${link}dd"
    ip link set "${link}d" master "ub$number" up
    ip link set "${link}dd" up
    setsid python3 "$here/fleet.d/relay" "$link" "${link}dd" "$ms" </dev/null >>"$fleet/$host/relay.log" 2>&1 9>&- &
    echo $! >"$fleet/$host/relay.pid"
    fault_on "$host" slow
}

fault_heal() {
    ip netns exec "$(host_netns "$1")" nft delete table inet testbed 2>/dev/null || true
    fault_off "$1" cut
    [[ ! -f $fleet/$1/relay.pid ]] || fault_slow "$1" 0
}

fault_freeze() {
    cgroup_freeze "$1" 1
    fault_on "$1" freeze
}

fault_thaw() {
    cgroup_freeze "$1" 0
    fault_off "$1" freeze
}

disk_of() { [[ $1 == db-* ]] && echo "$fleet/$1/root/var/lib/postgresql" || echo "$fleet/$1/root/opt"; }

fault_fill_disk() {
    local disk free
    disk=$(disk_of "$1")
    free=$(df --output=avail -B 4096 "$disk" | tail -n 1)
    fallocate -l $((free * 4096)) "$disk/.filled" 2>/dev/null || true
    # The last blocks go one by one: metadata of the large file took some.
    dd if=/dev/zero of="$disk/.filled-rest" bs=4096 status=none 2>/dev/null || true
    sync -f "$disk"
    fault_on "$1" fill-disk
}

fault_free_disk() {
    rm -f "$(disk_of "$1")/.filled" "$(disk_of "$1")/.filled-rest"
    fault_off "$1" fill-disk
}

sshd_reload() { # sshd does not listen for a moment while it starts anew
    (host_at "$1" systemctl reload ssh)
    for _ in {1..100}; do
        sleep 0.05
        ! (: <"/dev/tcp/$(host_address "$1")/22") 2>/dev/null || return 0
    done
    die "sshd of $1 does not come back"
}

fault_rekey() {
    local key=$fleet/$1/root/etc/ssh/ssh_host_ed25519_key
    [[ -e $fleet/$1/recorded-key ]] || { cp -p "$key" "$fleet/$1/recorded-key" && cp -p "$key.pub" "$fleet/$1/recorded-key.pub"; }
    rm -f "$key" "$key.pub"
    ssh-keygen -q -t ed25519 -N '' -C "$1, another" -f "$key"
    sshd_reload "$1"
    fault_on "$1" rekey
}

fault_unrekey() {
    local key=$fleet/$1/root/etc/ssh/ssh_host_ed25519_key
    [[ -e $fleet/$1/recorded-key ]] || return 0
    mv "$fleet/$1/recorded-key" "$key"
    mv "$fleet/$1/recorded-key.pub" "$key.pub"
    sshd_reload "$1"
    fault_off "$1" rekey
}

fault_reboot() {
    local leader
    leader=$(host_leader "$1")
    (host_at "$1" systemctl start --no-block reboot.target)
    for _ in {1..1200}; do
        [[ -e /proc/$leader ]] || break
        sleep 0.1
    done
    [[ ! -e /proc/$leader ]] || die "$1 does not go down"
    [[ ${2:-} != --wait ]] || host_wait "$1"
}

fault_kill() {
    cgroups_end "$1"
    fault_on "$1" kill
}

fault_start() {
    [[ -z $(host_leader "$1") ]] || return 0
    host_start "$1"
    host_wait "$1"
    fault_off "$1" kill
}

host_mend() {
    [[ ! -e $fleet/$1/fault.freeze ]] || fault_thaw "$1"
    [[ ! -e $fleet/$1/fault.cut && ! -e $fleet/$1/fault.slow ]] || fault_heal "$1"
    [[ ! -e $fleet/$1/fault.fill-disk ]] || fault_free_disk "$1"
    fault_start "$1"
    [[ ! -e $fleet/$1/fault.rekey ]] || fault_unrekey "$1"
}
