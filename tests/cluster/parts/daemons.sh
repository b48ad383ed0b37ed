# shellcheck shell=bash
# The daemons of a fake machine; used inside it, by init.sh and through "testcluster.sh daemon".
#
# A daemon that ends stays down, whatever ended it, until its mark /run/daemon/NAME.down is
# removed: a test that kills one must find it dead.

SOCKET=/run/mysqld/mysqld.sock

# become_daemon NAME: replaces the calling process.
become_daemon() {
  case $1 in
    munged)
      exec setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --num-threads=2 \
        --pid-file=/run/munge/munged.pid --seed-file=/run/munge/munged.seed \
        --log-file=/run/munge/munged.log ;;
    mariadb)
      # Writes reach the kernel with each commit, so a killed daemon loses nothing, but are not
      # flushed: the disk outlives a fake power cut.
      exec mariadbd --no-defaults --user=mysql --datadir=/run/state/mariadb --socket="$SOCKET" \
        --pid-file=/run/mysqld/mysqld.pid --skip-networking --skip-name-resolve \
        --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
        --innodb-flush-log-at-trx-commit=2 --innodb-lock-wait-timeout=900 \
        --performance-schema=off ;;
    slurmdbd | slurmctld | slurmd) exec "$1" -D ;;
    *) die "there is no daemon '$1' (munged mariadb slurmdbd slurmctld slurmd)" ;;
  esac
}

is_listening() { [[ -n $(ss -Hltn "sport = :$1") ]]; }

answers() {
  case $1 in
    munged) munge -n >/dev/null 2>&1 ;;
    mariadb) mariadb-admin --no-defaults -S "$SOCKET" ping >/dev/null 2>&1 ;;
    slurmdbd) is_listening 6819 ;;
    # A bare connection to its port would keep slurmctld busy for seconds.
    slurmctld) timeout 20 scontrol ping 2>/dev/null | grep -q 'is UP' ;;
    slurmd) is_listening 6818 ;;
  esac
}

is_down() { [[ -e /run/daemon/$1.down ]]; }
is_allowed() { ! is_down "$1"; }

# keep_daemon NAME: the loop that starts a daemon each time its mark goes away.
keep_daemon() {
  set +e
  while :; do
    until is_allowed "$1"; do sleep 0.1; done
    become_daemon "$1" >>"/run/log/$1.$HOSTNAME.out" 2>&1 &
    echo $! >"/run/daemon/$1.pid"
    wait $!
    echo "$(date +%FT%T) $1 ended: $?" >>"/run/log/$1.$HOSTNAME.out"
    : >"/run/daemon/$1.down"
  done
}

wait_for_daemon() {
  wait_until 300 "an answer from $1 on $HOSTNAME" "the log of $1 in the cluster's log folder" answers "$1"
}

boot_daemon() {
  keep_daemon "$1" &
  wait_for_daemon "$1"
}

# end_daemon SIGNAL NAME
end_daemon() {
  [[ -e /run/daemon/$2.pid ]] && is_allowed "$2" || return 0
  # Its keeper waits for it, so until the mark is there this id is nobody else's.
  kill "-$1" "$(<"/run/daemon/$2.pid")"
  wait_until 300 "the end of $2 on $HOSTNAME" "the log of $2 in the cluster's log folder" is_down "$2"
}

daemon_command() {
  case $1 in
    stop) end_daemon TERM "$2" ;;
    kill) end_daemon KILL "$2" ;;
    start)
      rm -f "/run/daemon/$2.down"
      wait_for_daemon "$2" ;;
    status) if is_down "$2"; then echo down; else echo up; fi ;;
    *) die "daemon: '$1' is none of stop, kill, start, status" ;;
  esac
}
