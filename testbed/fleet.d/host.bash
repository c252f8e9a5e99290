# The hosts themselves: their files, keys, boots, and the database on db-01.

hosts() { cut -d' ' -f1 "$fleet/hosts"; }

hosts_write() {
    local index number
    number=$(fleet_number)
    {
        echo "db-01 10.77.$number.10"
        for ((index = 1; index <= $1; index++)); do printf 'web-%02d 10.77.%d.%d\n' "$index" "$number" $((10 + index)); done
    } >"$fleet/hosts"
    {
        echo '[web]'
        awk '$1 ~ /^web-/ {print $1 " ansible_host=" $2}' "$fleet/hosts"
        echo '[db]'
        awk '$1 ~ /^db-/ {print $1 " ansible_host=" $2}' "$fleet/hosts"
        printf '[all:vars]\nansible_user=deploy\nansible_ssh_private_key_file=%s\n' "$fleet/id"
        printf 'ansible_ssh_common_args=-F %s\nansible_python_interpreter=/usr/bin/python3\n' "$fleet/ssh_config"
    } >"$fleet/production"
    {
        awk '{print "Host " $1 "\n    HostName " $2}' "$fleet/hosts"
        printf 'Host *\n    User deploy\n    IdentityFile %s\n    IdentitiesOnly yes\n' "$fleet/id"
        printf '    UserKnownHostsFile %s\n    GlobalKnownHostsFile /dev/null\n' "$fleet/known_hosts"
        printf '    StrictHostKeyChecking yes\n    PasswordAuthentication no\n    ForwardX11 no\n'
    } >"$fleet/ssh_config"
    local program
    for program in ssh scp sftp; do
        printf '#!/bin/sh\nexec /usr/bin/%s -F %s "$@"\n' "$program" "$fleet/ssh_config" >"$fleet/bin/$program"
        chmod +x "$fleet/bin/$program"
    done
}

keys_make() {
    ssh-keygen -q -t ed25519 -N '' -C "testbed $id" -f "$fleet/id"
    : >"$fleet/known_hosts"
    (umask 077 && for role in shithub unship; do
        od -An -N18 -tx1 /dev/urandom | tr -d ' \n' >"$fleet/$role.password"
        printf 'postgres://%s:%s@10.77.%s.10/%s' "$role" "$(<"$fleet/$role.password")" "$(fleet_number)" "$role" >"$fleet/$role.url"
    done)
}

# A file system of a size of its own: a full disk must be one.
sized_file_system() { # IMAGE MEGABYTES POINT
    truncate -s "$2M" "$1"
    mkfs.ext4 -q -F -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$1"
    mkdir -p "$3"
    mount -o loop "$1" "$3"
    rmdir "$3/lost+found"
}

host_make() {
    local host=$1 folder=$fleet/$1 root=$fleet/$1/root user
    mkdir -p "$folder/upper" "$folder/work" "$root"
    network_of_host "$host"
    mount -t overlay overlay -o "lowerdir=$(rootfs_path),upperdir=$folder/upper,workdir=$folder/work" "$root"
    echo "$host" >"$root/etc/hostname"
    systemd-id128 new >"$root/etc/machine-id"
    { echo '127.0.0.1 localhost' && awk '{print $2 " " $1}' "$fleet/hosts"; } >"$root/etc/hosts"

    ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$root/etc/ssh/ssh_host_ed25519_key"
    echo "$host,$(host_address "$host") $(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" >>"$fleet/known_hosts"
    for user in root home/deploy; do
        install -d -m 700 "$root/$user/.ssh"
        install -m 600 "$fleet/id.pub" "$root/$user/.ssh/authorized_keys"
    done
    chroot "$root" chown -R deploy:deploy /home/deploy/.ssh
    install -m 440 "$here/fleet.d/sudoers" "$root/etc/sudoers.d/testbed"
    install -d -m 755 "$root/etc/shithub"
    install -m 640 "$fleet/shithub.url" "$root/etc/shithub/database-url"
    chroot "$root" chown root:shithub /etc/shithub/database-url

    sized_file_system "$folder/opt.img" 1024 "$root/opt"
    [[ $host != db-* ]] || database_files "$folder" "$root"
}

# Boots a host in the background. Who it is for stays with it: a reboot is nspawn ending with 133.
host_start() {
    local host=$1
    UNSHIP_TESTBED=$id setsid "$here/fleet" _host "$host" </dev/null >>"$fleet/$host/boot.log" 2>&1 9>&- &
}

host_supervise() {
    local host=$1 status
    cgroups_enter "$host"
    while :; do
        echo "== boot $(date -u +%FT%TZ)"
        status=0
        systemd-nspawn --quiet --boot --register=no --keep-unit --settings=no --link-journal=no --resolv-conf=off \
            --timezone=off --machine="$host" --directory="$fleet/$host/root" \
            --network-namespace-path="/run/netns/$(host_netns "$host")" || status=$?
        [[ $status == 133 ]] || exit "$status"
    done
}

# The process that is number 1 inside the host, if it runs. A tree that changes while it is read may be read past
# it: looked at again before that is believed.
host_leader() {
    local place pid places=()
    for place in "/sys/fs/cgroup/systemd/unship-testbed/$id/$1" "/sys/fs/cgroup/unship-testbed/$id/$1"; do
        [[ ! -d $place ]] || places+=("$place")
    done
    for _ in {1..5}; do
        [[ ${#places[@]} != 0 ]] || return 0
        for pid in $(find "${places[@]}" -noleaf -name cgroup.procs -exec cat {} + 2>/dev/null); do
            if [[ $(awk '/^NSpid:/ {print $NF " " NF}' "/proc/$pid/status" 2>/dev/null) == "1 3" ]]; then
                echo "$pid"
                return
            fi
        done
        sleep 0.1
    done
}

host_state() {
    [[ -n $(host_leader "$1") ]] && echo up || echo down
}

# Runs a command inside the host's namespaces, as root: it works while the network is cut or sshd is dead.
host_at() {
    local host=$1 leader
    shift
    leader=$(host_leader "$host")
    [[ -n $leader ]] || die "$host does not run"
    exec nsenter --target "$leader" --mount --uts --ipc --net --pid --root -- \
        env -i -C / PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}

host_in() {
    local host=$1
    shift
    exec ip netns exec "$(host_netns "$host")" "$@"
}

# Waits until the hosts have booted and their sshd lets the operator in.
host_wait() {
    local host waits=() pid
    for host in "$@"; do
        host_wait_one "$host" 9>&- &
        waits+=($!)
    done
    for pid in "${waits[@]}"; do wait "$pid" || die "a host did not come up"; done
    for host in "$@"; do cgroups_assert "$host" "$(host_leader "$host")"; done
}

host_wait_one() {
    local host=$1 until=$((SECONDS + 120)) state
    while ((SECONDS < until)); do
        state=$(timeout 100 ssh -n -F "$fleet/ssh_config" -o ConnectTimeout=2 -o BatchMode=yes -o LogLevel=ERROR "root@$host" \
            systemctl is-system-running --wait 2>"$fleet/$host/ssh.log" || true)
        case $state in
        running) return 0 ;;
        degraded)
            ssh -n -F "$fleet/ssh_config" "root@$host" systemctl --failed --no-legend --plain >&2
            say "$host has booted with failed units"
            return 1
            ;;
        esac
        sleep 0.1
    done
    say "$host does not answer: $(tail -n 1 "$fleet/$host/ssh.log"); see $fleet/$host/boot.log"
    return 1
}

database_files() {
    local folder=$1 root=$2 version
    version=$(ls "$root/etc/postgresql")
    mv "$root/var/lib/postgresql" "$root/var/lib/postgresql.made"
    sized_file_system "$folder/postgresql.img" 1024 "$root/var/lib/postgresql"
    cp -a "$root/var/lib/postgresql.made/." "$root/var/lib/postgresql/"
    rm -rf "$root/var/lib/postgresql.made"
    chroot "$root" chown postgres:postgres /var/lib/postgresql
    echo "host all all 10.77.$(fleet_number).0/24 scram-sha-256" >>"$root/etc/postgresql/$version/main/pg_hba.conf"
    printf "listen_addresses = '*'\nmax_connections = 200\n" >>"$root/etc/postgresql/$version/main/postgresql.conf"
    chroot "$root" systemctl enable postgresql.service >/dev/null 2>&1
}

database_make() {
    local role
    for _ in {1..200}; do
        ! (host_at db-01 pg_isready -q) || break
        sleep 0.1
    done
    for role in shithub unship; do
        (host_at db-01 runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 -v role="$role" -v word="$(<"$fleet/$role.password")") <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'word';
CREATE DATABASE :"role" OWNER :"role" TEMPLATE template0;
SQL
    done
    (host_at db-01 runuser -u postgres -- psql -q -c 'ALTER ROLE unship CREATEDB')
}
