"""
Environments of Brax, and of MuJoCo Playground where that is installed.

- ``names``: their names, and how they come into Gymnasium's registry
- ``simulation``: one environment and its compiled functions
- ``face``: the same as an environment of Gymnasium, one at a time, with pictures
- ``scene``: bodies, shapes and poses, for replays in a browser
"""
