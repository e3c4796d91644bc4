#!/bin/bash
# A SLURM of this one machine, for the tests beside this file: Debian or Ubuntu, as root.
#
#     sudo tests/slurm/install.sh
#
# Works in a container: no systemd, no cgroups, no accounting database. It replaces
# /etc/slurm/slurm.conf: never run it on a machine that belongs to a real cluster.
set -euo pipefail

CONF=/etc/slurm/slurm.conf
STATE=/var/spool/mol-slurm
MARK="# written by tests/slurm/install.sh of MOL"

if [ "$(id -u)" != 0 ]; then
    echo "install.sh: must be root (it installs packages and starts daemons)" >&2
    exit 3
fi
if [ -e "$CONF" ] && ! grep -q "^$MARK" "$CONF"; then
    echo "install.sh: $CONF is of another SLURM; it is left alone" >&2
    exit 3
fi

if ! command -v slurmctld slurmd munged >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends slurm-wlm munge
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

HOST=$(hostname -s)
MEMORY=$(awk '/MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
install -d "$STATE/ctld" "$STATE/d"
cat > "$CONF" <<END
$MARK
ClusterName=mol-test
SlurmctldHost=$HOST(127.0.0.1)
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
SlurmdSpoolDir=$STATE/d
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/slurmd.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
# Four one-CPU jobs at once whatever the machine has: the tests wait more than they compute.
SlurmdParameters=config_overrides
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=4 RealMemory=$MEMORY State=UNKNOWN
PartitionName=test Nodes=$HOST Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
END

for daemon in slurmctld slurmd; do
    pid=$(cat "/run/$daemon.pid" 2>/dev/null || true)
    if [ -n "$pid" ] && kill "$pid" 2>/dev/null; then
        while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
    fi
    "$daemon"
done

for _ in $(seq 60); do
    if [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then
        sinfo
        exit 0
    fi
    sleep 0.5
done
echo "install.sh: the node is not idle after 30 s; see $STATE/*.log" >&2
sinfo >&2 || true
exit 1
