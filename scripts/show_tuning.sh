#!/usr/bin/env bash
# Tunes PPO on CartPole-v1 and A2C on Acrobot-v1 from deliberately bad defaults, two trials at once, and says how long
# each took. Expected within 15 minutes each on 2 cores: 475 and -100, confirmed over 3 fresh seeds.
#   scripts/show_tuning.sh [FOLDER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
logs=${1:-$(mktemp -d)}
cd "$here/.."

tune() {
    local began=$SECONDS
    "${PYTHON:-python}" -m rl_experiments.tune "$@" \
        --n-trials 20 --n-jobs 2 --confirm 3 --confirm-seeds 3 --eval-episodes 10 --seed 1 -f "$logs"
    echo "That took $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
}

tune --algo ppo --env CartPole-v1 -c scripts/show_tuning/bad_ppo.yml --space scripts/show_tuning/quick_ppo.yml
tune --algo a2c --env Acrobot-v1 -c scripts/show_tuning/bad_a2c.yml
