#!/bin/sh
# Checks the launch files that `terang plan --emit` writes with the real thing: Kubernetes' JSON schemas
# (the PyPI package kubernetes-validate, installed into target/), and a slurmctld with 1,250 virtual nodes
# of 8 GPUs (Debian's slurm-wlm and munge; as root). A part whose tools are absent says loudly that it was
# skipped, and the whole then exits with 77.
#
#   tests/launch/run.sh [kubernetes|slurm]
#
# TERANG names the program to check; otherwise the example `plan` of the crate is built and used.
set -eu
cd "$(dirname "$0")/../.."
part=${1:-all}
work=$PWD/target/launch
mkdir -p "$work"
skipped=0

skip() {
    echo "SKIPPED $1: $2" >&2
    skipped=1
}

# One plan of a mixture with every part of a layout, one small dense one.
cat >"$work/grok.toml" <<'TOML'
gpu = "h100"
gpus = 10000
model = "grok-1"
tokens = "10T"
TOML
cat >"$work/small.toml" <<'TOML'
gpu = "h100"
gpus = 8
model = "nanochat-560m"
tokens = "11.2B"
TOML

emit() {
    if [ -n "${TERANG:-}" ]; then
        "$TERANG" plan --file "$work/$1.toml" --emit "$2"
    else
        cargo run --quiet --release -p terang-plan --example plan -- "$work/$1.toml" "$2"
    fi
}

kubernetes() {
    if ! command -v python3 >/dev/null; then
        skip kubernetes "no python3"
        return
    fi
    venv=$PWD/target/launch-venv
    if [ ! -x "$venv/bin/kubernetes-validate" ]; then
        python3 -m venv "$venv" && "$venv/bin/pip" install --quiet kubernetes-validate || {
            skip kubernetes "kubernetes-validate cannot be installed"
            return
        }
    fi
    for name in grok small; do
        emit "$name" kubernetes >"$work/$name.yaml"
        "$venv/bin/kubernetes-validate" --strict "$work/$name.yaml"
        # A field that is none must be refused, or the check is worth nothing.
        sed 's/completions:/completionz:/' "$work/$name.yaml" >"$work/wrong.yaml"
        if "$venv/bin/kubernetes-validate" --strict "$work/wrong.yaml" >/dev/null 2>&1; then
            echo "kubernetes-validate takes a field that is none" >&2
            exit 1
        fi
    done
    echo "kubernetes: both launch files fit the schemas"
}

slurm() {
    for tool in slurmctld sbatch sinfo munged; do
        command -v "$tool" >/dev/null || {
            skip slurm "no $tool"
            return
        }
    done
    if [ "$(id -u)" != 0 ]; then
        skip slurm "munged and slurmctld are started as root"
        return
    fi
    state=$(mktemp -d)
    host=$(hostname -s)
    started=""
    if ! munge -n >/dev/null 2>&1; then
        mkdir -p /run/munge && chown munge:munge /run/munge
        su -s /bin/sh munge -c /usr/sbin/munged && started=$(cat /run/munge/munged.pid)
    fi
    # Nodes of a cloud that are switched on when they get a job: they are there for the scheduler without a
    # slurmd each.
    cat >"$state/slurm.conf" <<CONF
ClusterName=virtual
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$state
SlurmctldPidFile=$state/slurmctld.pid
SlurmctldLogFile=$state/slurmctld.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
GresTypes=gpu
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=3600
PrivateData=cloud
NodeName=n[0001-1250] CPUs=128 Sockets=2 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=2000000 Gres=gpu:h100:8 State=CLOUD
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    echo "NodeName=n[0001-1250] Name=gpu Type=h100 Count=8" >"$state/gres.conf"
    export SLURM_CONF=$state/slurm.conf
    slurmctld -f "$SLURM_CONF" -c
    tries=0
    until sinfo >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || {
            tail "$state/slurmctld.log" >&2
            exit 1
        }
        sleep 1
    done
    sinfo --format '%D nodes %G %T'
    result=0
    for name in grok small; do
        emit "$name" slurm >"$work/$name.sbatch"
        echo "sbatch --test-only $name.sbatch:"
        sbatch --test-only "$work/$name.sbatch" || result=1
    done
    # One node more than there are must be refused, or the check is worth nothing.
    if sbatch --test-only --nodes=1251 "$work/grok.sbatch" 2>/dev/null; then
        echo "1,251 nodes are taken, of 1,250" >&2
        result=1
    fi
    kill "$(cat "$state/slurmctld.pid")"
    [ -z "$started" ] || kill "$started"
    [ "$result" = 0 ] || exit 1
    echo "slurm: both launch files are accepted"
}

case $part in
all)
    kubernetes
    slurm
    ;;
kubernetes) kubernetes ;;
slurm) slurm ;;
*)
    echo "usage: $0 [kubernetes|slurm]" >&2
    exit 2
    ;;
esac
[ "$skipped" = 0 ] || exit 77
