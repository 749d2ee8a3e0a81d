"""
Vectors of environments in native code, behind SB3's interface.

- ``sources``: what such a vector is to us
- ``adapter``: any of them as SB3's VecEnv
- ``books``: episode statistics and ``monitor.csv``, as SB3's Monitor has them
- ``atari``: ALE's ``AtariVectorEnv``
- ``cartpole``: Gymnasium's ``CartPoleVectorEnv``, and what else has a vector entry point
- ``pool``: EnvPool
- ``making``: which of them a recipe gets
"""
