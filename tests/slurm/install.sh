#!/bin/bash
# A SLURM on this one machine, for the tests beside this file: Debian or Ubuntu, as root.
#
#     sudo tests/slurm/install.sh
#
# Two nodes, each with a host name and a network of its own, so that jobs reach the submit host
# over a network and not over loopback; they share its disk. One node on loopback where the
# machine does not permit network namespaces.
# Works in a container: no systemd, no cgroups, no accounting database. It replaces
# /etc/slurm/slurm.conf: never run it on a machine that belongs to a real cluster.
set -euo pipefail

CONF=/etc/slurm/slurm.conf
STATE=/var/spool/mol-slurm
BRIDGE=mol-bridge
NETWORK=10.213.77
MARK="# written by tests/slurm/install.sh of MOL"

if [ "$(id -u)" != 0 ]; then
    echo "install.sh: must be root (it installs packages and starts daemons)" >&2
    exit 3
fi
if [ -e "$CONF" ] && ! grep -q "^$MARK" "$CONF"; then
    echo "install.sh: $CONF is of another SLURM; it is left alone" >&2
    exit 3
fi

if ! type slurmctld slurmd munged ip &>/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends slurm-wlm munge iproute2
fi

# munge: the users of the cluster prove to each other who they are.
install -d -o munge -g munge -m 0755 /run/munge
if [ ! -s /etc/munge/munge.key ]; then
    (umask 077 && head -c 1024 /dev/urandom > /etc/munge/munge.key)
    chown munge:munge /etc/munge/munge.key
fi
if ! munge -n >/dev/null 2>&1; then
    setpriv --reuid munge --regid munge --clear-groups munged
fi

# Of an earlier run.
{ cat /run/slurmctld.pid "$STATE"/*.pid 2>/dev/null || true; } | while read -r pid; do
    kill "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
done
for node in $(ip netns list 2>/dev/null | grep -o '^mol-node[12]'); do ip netns delete "$node"; done
# A deleted namespace lives on with its last process, and so would its cable.
for link in mol-cable-1 mol-cable-2 "$BRIDGE"; do ip link delete "$link" 2>/dev/null || true; done

# A network card `mol0` in a namespace, joined to the bridge by a cable.
add_node() {
    local name=$1 address=$2 cable=mol-cable-${1: -1}
    ip netns add "$name" \
        && ip link add "$cable" type veth peer name mol0 netns "$name" \
        && ip link set "$cable" master "$BRIDGE" up \
        && ip -n "$name" address add "$address/24" dev mol0 \
        && ip -n "$name" link set mol0 up \
        && ip -n "$name" link set lo up
}

add_network() {
    ip link add "$BRIDGE" type bridge && ip address add "$NETWORK.1/24" dev "$BRIDGE" \
        && ip link set "$BRIDGE" up && add_node mol-node1 "$NETWORK.11" \
        && add_node mol-node2 "$NETWORK.12" || return
    printf '127.0.0.1 localhost\n%s mol-node1\n%s mol-node2\n' "$NETWORK.11" "$NETWORK.12" \
        > "$STATE/hosts"
}

HOST=$(hostname -s)
MEMORY=$(awk '/MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
install -d "$STATE/ctld"
# Four one-CPU jobs at once whatever the machine has: the tests wait more than they compute.
if add_network; then
    CONTROLLER=$NETWORK.1
    NODES="NodeName=mol-node[1-2] NodeAddr=$NETWORK.[11-12] CPUs=2 RealMemory=$((MEMORY / 2))"
    STARTS=("in_node mol-node1" "in_node mol-node2")
else
    echo "install.sh: no network namespaces here; one node on loopback" >&2
    ip link delete "$BRIDGE" 2>/dev/null || true  # by it the tests know that there are two nodes
    CONTROLLER=127.0.0.1
    NODES="NodeName=$HOST NodeAddr=127.0.0.1 CPUs=4 RealMemory=$MEMORY"
    STARTS=("slurmd")
fi

# shellcheck disable=SC2329  # called through STARTS
# Not by `ip netns exec`: it mounts another /sys, without the cgroups that slurmd looks for.
in_node() {
    install -d "$STATE/$1"
    nsenter --net="/run/netns/$1" unshare --uts --mount sh -c \
        "mount --bind '$STATE/hosts' /etc/hosts && hostname $1 && slurmd" || failed
}

failed() {
    echo "install.sh: the nodes do not start; see $STATE/*.log" >&2
    sinfo >&2 || true
    exit 1
}

cat > "$CONF" <<END
$MARK
ClusterName=mol-test
SlurmctldHost=$HOST($CONTROLLER)
SlurmUser=root
AuthType=auth/munge
# No cgroups and no accounting: they are not to be had in a container.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=5,sched_interval=5
KillWait=10
MinJobAge=600
JobRequeue=1
ReturnToService=2
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/%n
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/%n.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=$STATE/%n.pid
SlurmdParameters=config_overrides
$NODES State=UNKNOWN
# LLN: jobs go where fewest run, so that two are on two nodes.
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO LLN=YES
END

slurmctld
for start in "${STARTS[@]}"; do $start; done

for _ in $(seq 60); do
    if [ "$(sinfo --noheader --format=%T,%D 2>/dev/null)" = "idle,${#STARTS[@]}" ]; then
        sinfo
        exit 0
    fi
    sleep 0.5
done
failed
