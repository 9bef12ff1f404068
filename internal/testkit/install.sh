#!/usr/bin/env bash
# Installs what the tests and the demonstration need on Debian 12: PostgreSQL 15,
# Samba as a domain controller, the clients of both, a balancer, npm, which has a build
# of a later PostgreSQL, and a C compiler for cgo.
# With the word bench as its argument, also what the benchmarks compare with.
# Says nothing and calls no apt where everything is there already.
set -euo pipefail
what=${1:-}

# Each line: the package, and what it brings. A component that came another way
# than by dpkg counts as well; the files are Debian's, on any architecture.
components() {
	cat <<-'END'
		postgresql-15         /usr/lib/postgresql/15/bin/postgres
		postgresql-client-15  /usr/lib/postgresql/15/bin/psql
		postgresql-15-pgaudit /usr/lib/postgresql/15/lib/pgaudit.so
		sqlsmith              /usr/bin/sqlsmith
		samba                 /usr/sbin/samba
		samba                 /usr/bin/samba-tool
		samba-dsdb-modules    /usr/lib/*/samba/ldb/samba_dsdb.so
		samba-ad-provision    /usr/share/samba/setup/provision.ldif
		samba-vfs-modules     /usr/lib/*/samba/vfs/acl_xattr.so
		ldb-tools             /usr/bin/ldbsearch
		krb5-user             /usr/bin/kinit
		npm                   /usr/bin/npm
		ldap-utils            /usr/bin/ldapmodify
		haproxy               /usr/sbin/haproxy
		rsyslog               /usr/sbin/rsyslogd
		rsyslog-gnutls        /usr/lib/*/rsyslog/lmnsd_gtls.so
		gcc                   /usr/bin/gcc
		libc6-dev             /usr/include/*/bits/libc-header-start.h
		ca-certificates       /etc/ssl/certs/ca-certificates.crt
	END
	[ "$what" = bench ] || return 0
	cat <<-'END'
		pgbouncer             /usr/sbin/pgbouncer
	END
}

# missing prints the packages that lack something, each once.
missing() {
	local package file
	while read -r package file; do
		compgen -G "$file" >/dev/null || echo "$package"
	done < <(components) | sort -u
}

say() { echo "install: $*" >&2; }

die() {
	say "$*"
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# no_services keeps the packages from starting what they bring: the tests start
# servers of their own. It is undone at the end.
no_services() {
	local policy=/usr/sbin/policy-rc.d
	[ ! -e "$policy" ] || return 0
	wrote_policy=$policy
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 0755 "$policy"
}

# known reports whether apt can name a version of each package.
known() {
	local package
	for package in "$@"; do
		LC_ALL=C apt-cache policy "$package" | grep 'Candidate: [^(]' >/dev/null || return 1
	done
}

# apt_get keeps apt's talk for when it fails.
apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" \
		>"$log" 2>&1 </dev/null && return
	cat "$log" >&2
	return 1
}

wrote_policy=
log=
clean_up() {
	[ -z "$log" ] || rm -f "$log"
	[ -z "$wrote_policy" ] || as_root rm -f "$wrote_policy"
}
trap clean_up EXIT

get() {
	apt_get install -y --no-install-recommends "$@"
}

main() {
	local packages
	mapfile -t packages < <(missing)
	[ ${#packages[@]} -gt 0 ] || return 0
	say "missing: ${packages[*]}"
	command -v apt-get >/dev/null || die "there is no apt-get: install these, or what they are called here, by hand"
	[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "neither root nor sudo: run this as root"

	log=$(mktemp)
	no_services
	local fresh=
	if ! known "${packages[@]}"; then
		say "fetching the lists of packages"
		apt_get update || die "apt-get update failed, see above"
		fresh=1
	fi
	say "installing"
	if ! get "${packages[@]}"; then
		[ -z "$fresh" ] || die "apt-get failed, see above; missing: $(missing | paste -sd' ')"
		say "fetching the lists of packages, those at hand may be too old"
		apt_get update || die "apt-get update failed, see above"
		get "${packages[@]}" || die "apt-get failed, see above; missing: $(missing | paste -sd' ')"
	fi

	mapfile -t packages < <(missing)
	[ ${#packages[@]} -eq 0 ] || die "still missing after the installation: ${packages[*]}"
	say "everything is there"
}

main "$@"
