# Puts unship's agent on a host. Fixed text: all that differs comes on standard input, is checked, and is never
# part of a command line. POSIX sh with the programs of coreutils; run by a login shell or by sudo.
#
# in:  base                   "system" or "home"
# out: host ARCH|LIBC|FREE|HAVE    kind of machine, C library, free KiB, digests that are here
# in:  put DIGEST BYTES PROTOCOL   and then so many bytes; or
#      use DIGEST PROTOCOL         when it is here already
# out: done, or error WHY
set -u
umask 022
LC_ALL=C
export LC_ALL
fail() { echo "error $1"; exit 1; }
digest() {
	case $1 in *[!0-9a-f]* | "") fail "a digest that is none" ;; esac
	[ ${#1} -eq 64 ] || fail "a digest that is none"
}
number() {
	case $1 in *[!0-9]* | "") fail "a number that is none" ;; esac
	[ ${#1} -le 12 ] || fail "a number that is none"
}
read -r place || exit 1
case $place in
system) base=/usr/local/lib/unship ;;
home) base=$HOME/.local/lib/unship ;;
*) fail "no such place" ;;
esac
mkdir -p "$base" 2>/dev/null || fail "cannot make $base"
cd "$base" || fail "cannot go to $base"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=unknown
free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print $4 }')
have=
for one in */unship; do
	name=${one%/unship}
	case $name in *[!0-9a-f]*) continue ;; esac
	[ -x "$one" ] && have="$have $name"
done
echo "host $(uname -m)|$libc|$free|$have"

read -r what name rest || exit 0
digest "$name"
case $what in
put)
	bytes=${rest%% *}
	protocol=${rest#* }
	number "$bytes"
	number "$protocol"
	mkdir -p "$name" || fail "cannot make $base/$name"
	new=$name/new.$$
	trap 'rm -f "$new"' EXIT
	trap 'exit 1' HUP INT TERM
	head -c "$bytes" >"$new" || fail "cannot write $base/$new: is the disk full?"
	found=$(sha256sum "$new") || fail "cannot read $base/$new"
	[ "${found%% *}" = "$name" ] || fail "what came is not what was sent"
	chmod 755 "$new" || fail "cannot make $base/$new executable"
	sync "$new" 2>/dev/null || sync
	mv -f "$new" "$name/unship" || fail "cannot rename to $base/$name/unship"
	;;
use)
	protocol=$rest
	number "$protocol"
	[ -x "$name/unship" ] || fail "it is not here any more"
	found=$(sha256sum "$name/unship") || fail "cannot read $base/$name/unship"
	[ "${found%% *}" = "$name" ] || fail "$base/$name/unship was changed"
	;;
*) fail "no such order" ;;
esac
mkdir -p "protocol-$protocol" || fail "cannot make $base/protocol-$protocol"
ln -s "../$name/unship" "protocol-$protocol/new.$$" || fail "cannot make a link"
mv -f "protocol-$protocol/new.$$" "protocol-$protocol/unship" || fail "cannot rename a link"
# Away with what no protocol runs any more, but for what somebody may be about to use.
for one in */unship; do
	old=${one%/unship}
	case $old in *[!0-9a-f]* | "$name") continue ;; esac
	used=
	for link in protocol-*/unship; do
		case $(readlink "$link") in "../$old/unship") used=yes ;; esac
	done
	[ -n "$used" ] && continue
	[ -n "$(find "$old" -prune -mmin +60 2>/dev/null)" ] && rm -rf "./$old"
done
echo done
