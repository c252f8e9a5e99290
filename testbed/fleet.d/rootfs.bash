# The root file system that all hosts of all fleets share, read-only, below their own layer. Made once per
# recipe, under a lock, and put in place by a rename.

rootfs_packages=systemd,systemd-sysv,dbus,openssh-server,sudo,iproute2,procps,ca-certificates,curl,git,python3,postgresql

rootfs_path() {
    echo "$base/rootfs-$(sha256sum "$here/fleet.d/rootfs.bash" | cut -c1-12)"
}

# The suite of this machine where it is Debian: what is built here must find its libc there.
rootfs_suite() {
    # shellcheck disable=SC1091
    (. /etc/os-release && [[ $ID == debian ]] && echo "${VERSION_CODENAME:-bookworm}" || echo bookworm)
}

rootfs_make() {
    local place making
    place=$(rootfs_path)
    [[ ! -d $place ]] || return 0
    mkdir -p "$base"
    exec 8>"$base/.rootfs.lock"
    flock -w 900 8 || die "another fleet has been making the root file system for 15 minutes"
    if [[ ! -d $place ]]; then
        making=$place.making
        unmount_below "$making"
        rm -rf --one-file-system "$making"
        say "makes the root file system (once, about half a minute)"
        mmdebstrap --variant=minbase --include="$rootfs_packages" \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' \
            --essential-hook='mkdir -p "$1/etc/postgresql-common"' \
            --essential-hook='echo "initdb_options = '"'--encoding=UTF8 --locale=C.UTF-8'"'" >"$1/etc/postgresql-common/createcluster.conf"' \
            --customize-hook="$here/fleet.d/customize \"\$1\"" \
            "$(rootfs_suite)" "$making" >"$base/rootfs.log" 2>&1 8>&- 9>&- ||
            die "mmdebstrap failed: $base/rootfs.log"
        mv "$making" "$place"
    fi
    exec 8>&-
}

# Unmounts all below a folder, the innermost first.
unmount_below() {
    local point
    while read -r point; do
        umount "$point" 2>/dev/null || umount -l "$point"
    done < <(awk -v below="$1/" 'index($5 "/", below) == 1 {print $5}' /proc/self/mountinfo | sort -r)
}
