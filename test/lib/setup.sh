# setup.sh: what the tests, the demo and the benchmarks share.  To be sourced.
#
#   setup_begin "$0" "$@"   install what is missing, copy the tree to a work directory, go on there unprivileged
#   setup_build CHECK=1 …   build the copy and install it into a private PostgreSQL beside it
#   server_start NAME …     make a server in the work directory, with these lines in its postgresql.conf
#
# Nothing is written to the caller's tree or to the system's PostgreSQL, so runs do not disturb each other, a build with
# assertions never meets one without, and everything goes when the script ends.  PostgreSQL refuses to run as root: a
# root caller becomes the user postgres.  The server listens on a socket in the work directory only; that is why its
# port is free and nobody else gets in.

set -euo pipefail
unset PGHOST PGPORT PGDATABASE PGUSER PGOPTIONS PGSERVICE PGTZ CDPATH
# PostgreSQL's test library takes LC_ALL away.
export LANG=C.UTF-8 LC_ALL=C.UTF-8

SF_TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
SF_KEEP=                       # set by --keep: leave the server and the work directory

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# ---- packages ----

as_root()
{
	if [ "$EUID" -eq 0 ]; then
		"$@"
	else
		command -v sudo >/dev/null || die "packages are missing, and there is neither root nor sudo to install them: $*"
		sudo "$@"
	fi
}

postgres_present()
{
	[ -x "$PG_CONFIG" ] && [ -x "$("$PG_CONFIG" --bindir)/initdb" ] && [ -e "$("$PG_CONFIG" --pgxs)" ]
}

# Debian packages that are missing, by what they bring, so that PostgreSQL from elsewhere does as well.
missing_packages()
{
	postgres_present || echo postgresql-15 postgresql-server-dev-15
	command -v make >/dev/null || echo make
	{ command -v gcc >/dev/null && [ -e /usr/include/stdio.h ]; } || echo gcc libc6-dev
	{ command -v prove && perl -MTest::More -e 1; } >/dev/null 2>&1 || echo perl
	perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
	command -v zstd >/dev/null || echo zstd
	[ -e /usr/include/postgresql/libpq-fe.h ] || [ -e "$("$PG_CONFIG" --includedir 2>/dev/null)/libpq-fe.h" ] ||
		echo libpq-dev
	command -v clang-format >/dev/null || echo clang-format
	missing_extensions
}

# Extensions of others that the script needs (SF_EXTENSIONS), where PostgreSQL is Debian's and so can have them from there.
missing_extensions()
{
	local version extension

	[[ $PG_CONFIG =~ ^/usr/lib/postgresql/([0-9]+)/ ]] || return 0
	version=${BASH_REMATCH[1]}
	for extension in "${SF_EXTENSIONS[@]}"; do
		[ -e "/usr/share/postgresql/$version/extension/$extension.control" ] || echo "postgresql-$version-$extension"
	done
}

apt_install()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# PostgreSQL's package would make and start a server of its own, which nobody asked for.
without_main_cluster()
{
	local conf=/etc/postgresql-common/createcluster.conf saved

	apt_install postgresql-common
	saved=$(mktemp)
	cat $conf >"$saved"
	echo 'create_main_cluster = false' | as_root tee -a $conf >/dev/null
	"$@"
	as_root cp "$saved" $conf
	rm -f "$saved"
}

install_packages()
{
	local packages log

	packages=$(missing_packages)
	[ -n "$packages" ] || return 0
	[ -x "$PG_CONFIG" ] || [ "$PG_CONFIG" = /usr/lib/postgresql/15/bin/pg_config ] || die "there is no $PG_CONFIG"
	command -v apt-get >/dev/null || die "please install:" $packages
	say "Installing $(echo $packages)"
	log=$(mktemp)
	if ! {
		as_root apt-get update -q
		case $packages in
			*postgresql-15*) without_main_cluster apt_install $packages ;;
			*) apt_install $packages ;;
		esac
	} >"$log" 2>&1; then
		tail -30 "$log" >&2
		die "could not install what is missing"
	fi
	rm -f "$log"
	packages=$(missing_packages)
	[ -z "$packages" ] || die "still missing after the installation:" $packages
}

# ---- the work directory ----

# Copies the tree and the files in SF_HAND_OVER, and starts the script again there, as a user PostgreSQL will run as.
setup_begin()
{
	local script=$1 user work
	shift

	if [ -n "${SF_WORK:-}" ]; then
		trap work_end EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM HUP
		cd "$SF_WORK"
		return
	fi
	install_packages

	work=$(mktemp -d "${TMPDIR:-/tmp}/streamfuse.XXXXXX")
	mkdir "$work/src" "$work/data"
	tar -C "$SF_TREE" --exclude=.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' -cf - . | tar -C "$work/src" -xf -
	rm -rf "$work"/src/{results,output_iso,tmp_check,test/tmp_check}
	[ ${#SF_HAND_OVER[@]} -eq 0 ] || cp -L "${SF_HAND_OVER[@]}" "$work/data/"
	script=$(cd "$(dirname "$script")" && pwd)/${script##*/}
	script=$work/src${script#"$SF_TREE"}
	export SF_WORK=$work SF_CALLER=$EUID HOME=$work

	[ "$EUID" -eq 0 ] || exec bash "$script" "$@"
	user=postgres
	id "$user" >/dev/null 2>&1 || user=nobody
	chown -R "$user" "$work"
	cd "$work"
	exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups bash "$script" "$@"
}
SF_HAND_OVER=()
SF_EXTENSIONS=()

work_end()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP
	set +e
	if [ -n "$SF_KEEP" ]; then
		exit "$status"
	fi
	for pid in $(jobs -p); do
		kill "$pid" 2>/dev/null
	done
	find "$SF_WORK" -name postmaster.pid -printf '%h\n' | while read -r data; do
		"$SF_BIN/pg_ctl" -D "$data" stop -m immediate >/dev/null 2>&1
	done
	cd /
	rm -rf "$SF_WORK"
	exit "$status"
}

# ---- build ----

# A PostgreSQL of our own that shares all files with the installed one but has room for the extension: PostgreSQL finds
# its parts relative to its binaries, so the paths are kept below the work directory.  Sets SF_BIN, SF_PGXS, PG_CONFIG,
# and for clients SF_INCLUDE and SF_LIB.
private_postgres()
{
	local root=$SF_WORK/pg bin lib share include

	bin=$("$PG_CONFIG" --bindir)
	lib=$("$PG_CONFIG" --pkglibdir)
	share=$("$PG_CONFIG" --sharedir)
	include=$("$PG_CONFIG" --includedir)
	SF_INCLUDE=$include
	SF_LIB=$("$PG_CONFIG" --libdir)
	export SF_INCLUDE SF_LIB
	mkdir -p "$root$bin" "$root$lib" "$root$share/extension" "$root${include%/*}"
	cp -L "$bin"/* "$root$bin/"
	ln -s "$lib"/* "$root$lib/"
	ln -s "$include" "$root$include"
	find "$share" -mindepth 1 -maxdepth 1 ! -name extension -exec ln -s -t "$root$share" {} +
	ln -s "$share"/extension/* "$root$share/extension/"
	rm -f "$root$lib"/streamfuse.so "$root$share"/extension/streamfuse*

	PG_CONFIG=$root$bin/pg_config
	SF_BIN=$root$bin
	SF_PGXS=$root$lib/pgxs/src
	PATH=$SF_BIN:$PATH
}

setup_build()
{
	local log=$SF_WORK/build.log

	private_postgres
	# LLVM's bitcode would only serve to inline our functions into compiled expressions.
	if ! make -s -j"$(nproc)" -C "$SF_WORK/src" with_llvm=no PG_CONFIG="$PG_CONFIG" "$@" clean >"$log" 2>&1 ||
		! make -s -j"$(nproc)" -C "$SF_WORK/src" with_llvm=no PG_CONFIG="$PG_CONFIG" "$@" all >"$log" 2>&1 ||
		! make -s -C "$SF_WORK/src" with_llvm=no PG_CONFIG="$PG_CONFIG" "$@" install >>"$log" 2>&1; then
		cat "$log" >&2
		die "the build failed"
	fi
}

# ---- servers ----

# server_init NAME [LINE…]: a new data directory; PGHOST leads to its server from then on.
server_init()
{
	local data=$SF_WORK/server_$1
	shift

	initdb -D "$data" -U postgres -A trust -N -E UTF8 --locale=C.UTF-8 >"$data.log" 2>&1 || { cat "$data.log" >&2; return 1; }
	cat >>"$data/postgresql.conf" <<-END
		shared_preload_libraries = 'streamfuse'
		listen_addresses = ''
		unix_socket_directories = '$data'
		log_line_prefix = '%m [%p] %b %q%d '
	END
	[ $# -eq 0 ] || printf '%s\n' "$@" >>"$data/postgresql.conf"
	export PGHOST=$data PGUSER=postgres PGDATABASE=postgres PGDATA=$data
}

# server_start NAME [LINE…]: a new server.  Its log is $SF_WORK/server_NAME.log.
server_start()
{
	server_init "$@" && server_restart
}

server_restart()
{
	pg_ctl -D "$PGDATA" -l "$PGDATA.log" -w -t 120 start >/dev/null 2>&1 || { tail -30 "$PGDATA.log" >&2; return 1; }
}

server_stop()
{
	pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
}

# kill -9 for every process of the server at once, as a crash of the machine would.
server_kill()
{
	local pid children

	pid=$(head -1 "$PGDATA/postmaster.pid")
	children=$(awk -v parent="$pid" '$4 == parent { print $1 }' /proc/[0-9]*/stat 2>/dev/null || true)
	kill -KILL "$pid" $children 2>/dev/null || true
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.02
	done
}

# What must never be in a server's log.
server_crashes()
{
	grep -E 'TRAP:|PANIC:|terminated by signal|FATAL: .*(could not|corrupt)' "$PGDATA.log"
}
