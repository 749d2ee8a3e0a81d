#!/usr/bin/env bash
# From nothing but Python 3.11 and pip to an agent for Space Invaders, trained, watched and packed for the Hub.
# A few minutes on two cores, installation aside. HF_USERNAME names the owner of the Hub repository.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

algo=dqn
env=SpaceInvadersNoFrameskip-v4
owner=${HF_USERNAME:-YOUR_HF_USERNAME}
repo=$algo-$env
bundle=hub/$owner/$repo
scores=logs/demo_scores.json
python=.venv/bin/python

step() { printf '\n== %s\n' "$*"; }

bash scripts/setup_env.sh

# The tuned budget is 10 million steps, the first 100,000 of them without learning. Here learning starts at 1,000.
step "Training $algo on $env for 5000 steps"
"$python" -m rl_experiments.train --algo "$algo" --env "$env" -f logs/ -c hyperparams/dqn.yml -n 5000 --seed 0 \
    -params learning_starts:1000 buffer_size:5000

step "Playing three episodes"
"$python" -m rl_experiments.enjoy --algo "$algo" --env "$env" -f logs/ --no-render --n-episodes 3 --json "$scores"

step "Packing the agent for the Hub"
"$python" -m rl_experiments.push_to_hub --algo "$algo" --env "$env" --repo-name "$repo" -orga "$owner" -f logs/ \
    --env-kwargs 'render_mode:"rgb_array"' --no-upload

step "Done"
score=$("$python" -c '
import json, sys
results = json.load(open(sys.argv[1]))
print("{mean_reward:.2f} +/- {std_reward:.2f} over {n_eval_episodes} episodes".format(**results))
' "$bundle/results.json")
run=$(find "logs/$algo" -maxdepth 1 -name "${env}_*" | sort -V | tail -n 1)
[ -s "$bundle/replay.mp4" ] || { echo "demo.sh: $bundle/replay.mp4 is missing" >&2; exit 1; }
echo "Score:  $score"
echo "Run:    $run"
echo "Bundle: $bundle"
(cd -- "$bundle" && find . -type f | sort | sed 's|^\./|        |')
echo "Upload: .venv/bin/hf upload $owner/$repo $bundle"
