"""25,000 episodes of Taxi with the hyperparameters of the Deep RL Course, by one of three ways."""

import json
import sys
import time

began = time.perf_counter()
way, episodes = sys.argv[1], int(sys.argv[2])
import gymnasium  # noqa: E402

env = gymnasium.make("Taxi-v4", max_episode_steps=99, disable_env_checker=way != "course")
if way == "course":
    import random

    import numpy

    table = numpy.zeros((500, 6))

    def choose(state, epsilon):
        return numpy.argmax(table[state][:]) if random.uniform(0, 1) > epsilon else env.action_space.sample()

    steps, learning = 0, time.perf_counter()
    for episode in range(episodes):
        epsilon = 0.05 + 0.95 * numpy.exp(-0.005 * episode)
        state, _ = env.reset()
        for _ in range(99):
            action = choose(state, epsilon)
            following, reward, terminated, truncated, _ = env.step(action)
            table[state][action] = table[state][action] + 0.7 * (
                reward + 0.95 * numpy.max(table[following]) - table[state][action]
            )
            steps += 1
            if terminated or truncated:
                break
            state = following
else:
    from rl_experiments.algorithms.tabular.algorithm import Budget, QLearning
    from rl_experiments.algorithms.tabular.compiled import CompiledLearner
    from rl_experiments.algorithms.tabular.stepping import SteppingLearner
    from rl_experiments.algorithms.tabular.transitions import read_transitions

    settings, budget = QLearning(decay_rate=0.005), Budget(episodes)
    if way == "stepping":
        learner = SteppingLearner(env, settings, budget, 0)
    else:
        learner = CompiledLearner(read_transitions(env), settings, Budget(1), 0)
        learner.advance(1)  # compiled, or read from the disk
        learner = CompiledLearner(read_transitions(env), settings, budget, 0)
    learning = time.perf_counter()
    learner.advance(10**12)
    steps = learner.steps
    if way == "seeds":
        learning = time.perf_counter()
        from rl_experiments.algorithms.tabular.compiled import learn_many

        steps = sum(one.steps for one in learn_many(read_transitions(env), settings, budget, range(20)))
ended = time.perf_counter()
print(json.dumps({"steps": steps, "learning": ended - learning, "whole": ended - began}))
