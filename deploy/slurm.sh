#!/bin/bash
# A search on the nodes of a Slurm job. The first node runs Ray's head and the search, and every
# other node joins it. Type the options of sbatch before this file's name and those of the search
# after it:
#
#   sbatch --nodes 4 --gpus-per-node 4 deploy/slurm.sh --num-samples 200 --gpus-per-trial 0.5
#
# Submit it in the project's folder, which every node must see at the same path, as it must see
# --storage-path. Five minutes before the time limit the search saves its state and the job is
# queued again; it then continues the same run. SCRIPT=tune_gan.py sbatch … searches the GAN.

#SBATCH --job-name=search
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=search-%j.log

set -euo pipefail

JOIN_WITHIN_S=300

warned=
search=
warn() {
  warned=yes
  [[ -z $search ]] || kill -USR1 "$search"
}
trap warn USR1

cd "$SLURM_SUBMIT_DIR"
[[ ! -d .venv ]] || export PATH="$PWD/.venv/bin:$PATH"

# Without the second variable, Ray outlives the job by 30 seconds.
export RAY_AUTH_MODE=token RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
(umask 077 && ray get-auth-token --generate >/dev/null)

# A job has its own port, in case another Ray is left on the node.
port=$((20000 + SLURM_JOB_ID % 10000))
address=$(python -c 'from ray.util import get_node_ip_address; print(get_node_ip_address())'):$port
export address port

log=search-$SLURM_JOB_ID-ray

# Slurm ends these processes when this script ends.
# shellcheck disable=SC2016 # each node expands its own variables
srun --cpu-bind=none --kill-on-bad-exit=1 --open-mode=append --output="$log-%n.log" bash -c '
  own=(--num-cpus "$SLURM_CPUS_ON_NODE" --disable-usage-stats --block)
  if ((SLURM_NODEID == 0)); then
    exec ray start --head --node-ip-address "${address%:*}" --port "$port" "${own[@]}"
  fi
  while true; do # a node whose Ray does not start, or is lost, joins again
    until ray health-check --address "$address" >/dev/null 2>&1; do sleep 1; done
    ray start --address "$address" "${own[@]}" || sleep 5
  done
' &
ray=$!

joined() {
  ray status --address "$address" 2>/dev/null | grep -c '^ *1 node_' || true
}
until (($(joined) >= SLURM_JOB_NUM_NODES)); do
  kill -0 "$ray" || { echo "Ray has ended: see $log-*.log" >&2; exit 1; }
  ((SECONDS < JOIN_WITHIN_S)) || { echo "a node has not joined: see $log-*.log" >&2; exit 1; }
  sleep 2
done

python "${SCRIPT:-tune_lstm.py}" --resume-or-start --name "slurm-$SLURM_JOB_ID" \
  --address "$address" "$@" &
search=$!
[[ -z $warned ]] || warn
status=0
while kill -0 "$search" 2>/dev/null; do # a signal ends the wait, not the search
  wait "$search" && status=0 || status=$?
done

if [[ -n $warned ]] && ((status == 130)); then
  echo "queued again: the job continues this run"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
