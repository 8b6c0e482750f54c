#!/bin/bash
# Hosts on one machine: network namespaces on a bridge, each with its own name and addresses; files are shared, as on a cluster.
#
#   hosts.sh up DIR PREFIX N         hosts PREFIX1 … PREFIXN; the bridge lies in PREFIXsw, out of sight of the machine's own network
#   hosts.sh on DIR HOST PROGRAM …   run it there
#   hosts.sh cut PREFIX K            take the cable out of host K
#   hosts.sh kill PREFIX K           end every process of host K, as a power cut does
#   hosts.sh down DIR PREFIX N
#
# Called by mpirun in place of ssh (the first word is none of these): [-x] HOST COMMAND; DIR comes from WICK_TEST_HOSTS.
set -eu

on() { # not `ip netns exec`: that mounts /sys anew and hides the cgroups
  local dir=$1 host=$2
  shift 2
  exec nsenter --net="/var/run/netns/$host" unshare --uts --mount --propagation slave \
    sh -c 'mount --bind "$0" /etc/hosts; hostname "$1"; shift; exec "$@"' "$dir/hosts" "$host" "$@"
}

case "$1" in
up)
  dir=$2 p=$3 n=$4
  ip netns add "${p}sw"
  ip -n "${p}sw" link set lo up
  ip -n "${p}sw" link add br0 type bridge
  ip -n "${p}sw" link set br0 up
  echo 127.0.0.1 localhost >"$dir/hosts"
  for i in $(seq "$n"); do
    ip netns add "$p$i"
    ip -n "$p$i" link set lo up
    ip -n "$p$i" link add eth0 type veth peer name "p$i" netns "${p}sw"
    ip -n "${p}sw" link set "p$i" master br0 up
    ip -n "$p$i" addr add "10.77.0.$i/24" dev eth0
    ip -n "$p$i" link set eth0 up
    echo "10.77.0.$i $p$i" >>"$dir/hosts"
  done
  on "$dir" "${p}1" true
  ;;
on) shift; on "$@" ;;
cut) ip -n "${2}sw" link set "p$3" down ;;
kill) kill -9 $(ip netns pids "$2$3") 2>/dev/null || true ;;
down)
  for i in $(seq "$4"); do ip netns delete "$3$i" 2>/dev/null || true; done
  ip netns delete "${3}sw" 2>/dev/null || true
  ;;
*)
  while [ "${1#-}" != "$1" ]; do shift; done
  host=$1
  shift
  on "$WICK_TEST_HOSTS" "$host" sh -c "$*"
  ;;
esac
