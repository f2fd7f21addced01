#!/usr/bin/env bash
# A real Slurm on one machine, for tests: munged, slurmctld and slurmd of this user, with every file below one
# folder, on free loopback ports; nothing of the system's own configuration is read or changed.
#
#   single_node.sh start DIR   starts it and waits until the node is idle; then  . DIR/env
#   single_node.sh stop DIR    cancels what runs and stops the three daemons
#
# Needs root (slurmd starts jobs as their users) and the packages slurm-wlm and munge. The node claims 8 CPUs,
# whatever the machine has.
set -euo pipefail

die() {
  echo "single_node.sh: error: $*" >&2
  exit 1
}

usable_port() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { # the first free one from $1 on
  local port=$1
  while ! usable_port "$port"; do port=$((port + 1)); done
  echo "$port"
}

write_configuration() {
  local dir=$1 host control_port node_port
  host=$(hostname -s)
  control_port=$(free_port $((20000 + $$ % 10000)))
  node_port=$(free_port $((control_port + 1)))
  # cred_expire is also how long a requeued job waits before it starts again.
  cat >"$dir/slurm.conf" <<EOF
ClusterName=tandem_test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$control_port
SlurmdPort=$node_port
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=5
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=60 State=UP
EOF
  # From 23.11 on, a machine that lets nobody use its cgroups (a container) must say so here.
  if [[ $(slurmd -V | tr -dc '0-9.' | cut -d . -f 1) -ge 23 ]]; then echo "CgroupPlugin=disabled" >"$dir/cgroup.conf"; fi
  echo "export SLURM_CONF=$dir/slurm.conf" >"$dir/env"
}

start_munged() {
  local dir=$1
  (umask 077; dd if=/dev/urandom of="$dir/munge.key" bs=1024 count=1 status=none)
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" ||
    die "munged did not start; see $dir/munged.log"
}

wait_until_idle() {
  local dir=$1 i
  for ((i = 0; i < 100; i++)); do
    if [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]]; then return; fi
    sleep 0.2
  done
  die "the node is not idle after 20 s: $(sinfo --noheader --format='%T %E' 2>&1); see $dir/slurmctld.log, $dir/slurmd.log"
}

start() {
  local dir=$1 program
  [[ $EUID -eq 0 ]] || die "needs root"
  for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || die "there is no $program: install slurm-wlm and munge"
  done
  [[ ! -e $dir/env ]] || die "$dir is in use"
  mkdir -p "$dir/state" "$dir/spool"
  dir=$(cd "$dir" && pwd)
  chmod 755 "$dir"
  write_configuration "$dir"
  # shellcheck disable=SC1091
  source "$dir/env"
  start_munged "$dir"
  slurmctld || die "slurmctld did not start; see $dir/slurmctld.log"
  slurmd || die "slurmd did not start; see $dir/slurmd.log"
  wait_until_idle "$dir"
}

# Ends the process of a pid file and waits for its end; a daemon that is not there is no error.
end_daemon() {
  local file=$1 pid i
  pid=$(cat "$file" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for ((i = 0; i < 50; i++)); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

stop() {
  local dir=$1 i
  if [[ -e $dir/env ]]; then
    # shellcheck disable=SC1091
    source "$dir/env"
    timeout 10 scancel --user=root 2>/dev/null || true
    for ((i = 0; i < 50; i++)); do
      [[ -n $(timeout 5 squeue --noheader 2>/dev/null) ]] || break
      sleep 0.2
    done
  fi
  end_daemon "$dir/slurmd.pid"
  end_daemon "$dir/slurmctld.pid"
  end_daemon "$dir/munged.pid"
}

[[ $# -eq 2 ]] || die "usage: single_node.sh start|stop DIR"
case $1 in
  start) start "$2" ;;
  stop) stop "$(cd "$2" && pwd)" ;;
  *) die "unknown verb $1 (start or stop)" ;;
esac
