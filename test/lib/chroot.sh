# chroot.sh: what the scripts share that make bare machines by debootstrap.  To be sourced.

# The first archive of a release that apt is set up with: its address.
mirror()
{
	{
		cat /etc/apt/sources.list.d/*.sources | awk -v RS= -v release="$1" '
			/(^|\n)Types: *deb( |\n)/ && $0 ~ "(^|\n)Suites:[^\n]* " release "( |\n|$)" && !/(^|\n)Enabled: *no/ {
				match($0, /URIs: *[^ \n]+/)
				print substr($0, RSTART + 5, RLENGTH - 5)
			}'
		sed -nE "s/^deb +(\\[[^]]*\\] +)?([^ ]+) +$1 .*/\\2/p" /etc/apt/sources.list /etc/apt/sources.list.d/*.list
	} 2>/dev/null | awk 'NR == 1 { print $1 }'
}

# copy_apt_settings ROOT ITEM…: what apt needs to know to reach the archives from inside as this machine does, and items of
# /etc/apt beside that.
copy_apt_settings()
{
	local root=$1 item
	shift

	for item in keyrings trusted.gpg trusted.gpg.d auth.conf auth.conf.d apt.conf apt.conf.d "$@"; do
		[ ! -e "/etc/apt/$item" ] || cp -rL "/etc/apt/$item" "$root/etc/apt/"
	done
	[ ! -d /usr/share/keyrings ] || cp -rn /usr/share/keyrings "$root/usr/share/"
	for item in resolv.conf hosts; do
		[ ! -e "/etc/$item" ] || cp -L "/etc/$item" "$root/etc/$item"
	done
	[ ! -d /etc/ssl/certs ] || cp -rLn /etc/ssl/certs "$root/etc/ssl/" 2>/dev/null || true
}

# in_machine ROOT COMMAND…: runs a command inside, with /proc and /dev there, and nothing of the caller's environment.
in_machine()
{
	local root=$1 status=0
	shift

	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	mount --make-rslave "$root/dev"
	env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb $(env | grep -iE '^(https?|no)_proxy=' || true) \
		chroot "$root" "$@" </dev/null || status=1
	umount -R "$root/dev" "$root/proc"
	return $status
}
