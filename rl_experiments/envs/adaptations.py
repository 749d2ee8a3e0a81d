"""
Environments that went by another name, or were otherwise, when old agents were trained.

Every difference between then and now that an agent must not feel stands in :data:`ADAPTATIONS`: the id that it was
trained with, the id that plays it today, what is put between the two, why, and where that can be read. To add one,
add an entry; the first that matches counts. Wrappers named here stand in :mod:`rl_experiments.envs.adapters`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_ADAPTERS = "rl_experiments.envs.adapters."
Adapter = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Adaptation:
    """
    :param old: the id that agents were trained with, as a regular expression
    :param new: the id that plays them, with the groups of ``old``; None where there is no successor
    :param reason: what is the same, what was adapted, and what cannot be the same; goes on after a colon
    :param source: where that can be read or was measured
    :param adapters: wrappers right around the environment, innermost first
    :param replaced: names of wrappers in the run's configuration that another one takes the place of
    :param kwargs: arguments of the environment's constructor that make it as it was
    :param of_gym: whether it is only for models that were trained with ``gym``, before gymnasium
    :param observation_size: whether it is only for models with observations of this many numbers
    """

    old: str
    new: str | None
    reason: str
    source: str
    adapters: tuple[Adapter, ...] = ()
    replaced: Mapping[str, str] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    of_gym: bool = False
    observation_size: int | None = None

    def of(self, env_id: str) -> Adaptation | None:
        """:return: this adaptation with its ids filled in, if it is one for ``env_id``"""
        match = re.fullmatch(self.old, env_id)
        if match is None:
            return None
        return replace(self, old=env_id, new=None if self.new is None else match.expand(self.new))

    @property
    def told(self) -> str:
        """What a user is told of it, in one line."""
        if self.new is None:
            return f"{self.old} cannot be played: {self.reason}"
        if self.new == self.old:
            return f"{self.old} is made as it was: {self.reason}"
        return f"{self.old} is played in {self.new}: {self.reason}"


_GYMNASIUM = "https://gymnasium.farama.org/environments/"
_PANDA = "sources of panda-gym 1.1.1, 2.0.2 and 3.0.7 compared"
_PANDA_PHYSICS = f"{_ADAPTERS}PandaPhysics"
_MINIGRID = "sources of gym-minigrid 1.0.3 and minigrid 3.2.0 compared"
_CHARACTERS = {"FlatObsWrapper": f"{_ADAPTERS}FlatObservationOf27Characters"}
_OF_27_CHARACTERS = 7 * 7 * 3 + 96 * 27
_FLAVOURS = "register_legacy_gym_envs in gym.py of ale-py 0.8.1"
_FORCES = (
    "gym 0.21 with MuJoCo 2 never computed the contact forces that it gave: 84 zeros (their variance in the statistics"
    " of published agents is 0)"
)

ADAPTATIONS: tuple[Adaptation, ...] = (
    # Classic control and Box2D
    Adaptation(
        r"(Pendulum(?:NoVel)?)-v0",
        r"\1-v1",
        "the same physics and observations",
        f"{_GYMNASIUM}classic_control/pendulum/#version-history",
    ),
    Adaptation(
        r"(LunarLander(?:Continuous)?(?:NoVel)?)-v2",
        r"\1-v3",
        "the same physics and observations; only the wind, which is off, was mended",
        f"{_GYMNASIUM}box2d/lunar_lander/#version-history",
    ),
    Adaptation(
        r"(BipedalWalker(?:Hardcore)?)-v2",
        r"\1-v3",
        "the same observations; the lidar no longer sees the walker itself",
        f"{_GYMNASIUM}box2d/bipedal_walker/#version-history",
    ),
    Adaptation(
        r"CarRacing-v[012]",
        "CarRacing-v3",
        "the same pictures and actions; v1 and later end a finished lap otherwise, so scores can differ",
        f"{_GYMNASIUM}box2d/car_racing/#version-history",
    ),
    # MuJoCo. Versions 2 and 3 need mujoco_py, which no longer installs; version 5 changed physics and observations.
    Adaptation(
        r"Ant-v[23]",
        "Ant-v4",
        "the same physics; 84 zeros follow the observation, where v3 had contact forces that were never computed",
        f"{_FORCES}; the action trace of a published PPO agent agrees, and with use_contact_forces=True it does not",
        adapters=((f"{_ADAPTERS}PaddedObservation", {"size": 111}),),
    ),
    Adaptation(
        r"(Humanoid)-v[23]",
        r"\1-v4",
        "the same physics; the last 84 numbers of the observation, contact forces, are 0 as they were in v3",
        f"{_FORCES}; gymnasium's mujoco_env.py computes them after each step, mujoco_py_env.py does not",
        adapters=((f"{_ADAPTERS}SilencedObservation", {"count": 84}),),
    ),
    Adaptation(
        r"HumanoidStandup-v[23]",
        "HumanoidStandup-v4",
        "the last 84 numbers of the observation, contact forces, are 0 as they were; v4 charges for these forces, so"
        " scores are a little lower",
        f"{_FORCES}; reward_impact in gymnasium's humanoidstandup_v4.py",
        adapters=((f"{_ADAPTERS}SilencedObservation", {"count": 84}),),
    ),
    Adaptation(
        r"(HalfCheetah|Swimmer)-v[23]",
        r"\1-v4",
        "the same observations, rewards and physics, computed by a newer MuJoCo",
        "sources of gymnasium 1.4.0 and gymnasium-robotics 1.4.2 compared; the trace of a published ARS agent agrees",
    ),
    Adaptation(
        r"(Hopper|Walker2d)-v[23]",
        r"\1-v4",
        "the same observations and rewards; a newer MuJoCo resolves contacts otherwise, so scores can differ",
        f"{_GYMNASIUM}mujoco/walker2d/#version-history",
    ),
    Adaptation(
        r"(Reacher|InvertedPendulum|InvertedDoublePendulum)-v[23]",
        r"\1-v4",
        "the same observations, rewards and physics, computed by a newer MuJoCo",
        "sources of gymnasium 1.4.0 and gymnasium-robotics 1.4.2 compared",
    ),
    Adaptation(
        r"Pusher-v[234]",
        "Pusher-v5",
        "the same observations; v4 does not run with MuJoCo 3, and v5 has a lighter object and another arm, so scores"
        " differ",
        f"{_GYMNASIUM}mujoco/pusher/#version-history",
    ),
    # Goal environments
    Adaptation(
        r"(Fetch(?:Reach|Push|Slide|PickAndPlace)(?:Dense)?)-v[0123]",
        r"\1-v4",
        "the same observations and actions, computed by a newer MuJoCo",
        "gymnasium-robotics 1.4.2; the trace of a published HER agent agrees",
    ),
    Adaptation(
        r"(HandReach(?:Dense)?)-v[012]",
        r"\1-v3",
        "the same observations and actions, computed by a newer MuJoCo",
        "ids in gymnasium-robotics 1.4.2",
    ),
    Adaptation(
        r"(HandManipulate\w+)-v0",
        r"\1-v1",
        "the same observations and actions, computed by a newer MuJoCo",
        "ids in gymnasium-robotics 1.4.2",
    ),
    Adaptation(
        r"(PandaReach(?:Joints)?(?:Dense)?)-v[12]",
        r"\1-v3",
        "the same observations and physics; an episode now ends with its success, which changes no return",
        f"{_PANDA}; the trace of a published TQC agent agrees",
    ),
    Adaptation(
        r"(PandaStack(?:Joints)?(?:Dense)?)-v2",
        r"\1-v3",
        "the same observations and physics; an episode now ends with its success",
        _PANDA,
    ),
    Adaptation(
        r"(Panda(?:Push|Slide|PickAndPlace|Flip)(?:Joints)?(?:Dense)?)-v2",
        r"\1-v3",
        "the same observations and physics; an episode now ends with its success",
        _PANDA,
    ),
    Adaptation(
        r"(PandaPush(?:Dense)?)-v1",
        r"\1-v3",
        "the same observations; mass and friction are those of v1, and an episode now ends with its success",
        f"{_PANDA}: from v2 on, the object has mass 1 and PyBullet's friction",
        adapters=((_PANDA_PHYSICS, {"mass": 2.0, "friction": 0.5, "fingers": 1.0}),),
    ),
    Adaptation(
        r"(Panda(?:PickAndPlace|Stack)(?:Dense)?)-v1",
        r"\1-v3",
        "the same observations; mass and friction are those of v1, and an episode now ends with its success",
        f"{_PANDA}: from v2 on, objects have mass 1 (of two, one has 2) and PyBullet's friction",
        adapters=((_PANDA_PHYSICS, {"mass": 2.0, "friction": 5.0, "fingers": 5.0}),),
    ),
    Adaptation(
        r"(PandaSlide(?:Dense)?)-v1",
        r"\1-v3",
        "the same observations; mass and friction are those of v1, and an episode now ends with its success",
        f"{_PANDA}: from v2 on, the puck has mass 1 and friction 0.04",
        adapters=((_PANDA_PHYSICS, {"mass": 2.0, "friction": 0.5, "fingers": 1.0}),),
    ),
    Adaptation(
        r"parking-v0",
        "parking-v0",
        "100 steps are the longest episode, and there are no walls",
        "sources of highway-env 1.2 and 1.12.1 compared: duration counted steps then and seconds now, and add_walls"
        " is new",
        # 100 steps of 0.2 seconds; the sum of as many floats is a little less than 20.
        kwargs={"config": {"duration": 19.9, "add_walls": False}},
        of_gym=True,
    ),
    # Grids and tables
    Adaptation(
        "MiniGrid-MultiRoom-N4-S5-v0",
        "MiniGrid-MultiRoom-N4-S5-v1",
        "v0 has six rooms today and had four; instructions are written with 27 characters",
        f"{_MINIGRID}: kwargs of the id",
        replaced=_CHARACTERS,
        observation_size=_OF_27_CHARACTERS,
    ),
    *(
        Adaptation(
            f"MiniGrid-GoToDoor-{size}x{size}-v0",
            f"MiniGrid-GoToDoor-{size}x{size}-v0",
            f"{5 * size**2} steps are the longest episode; instructions are written with 27 characters",
            f"{_MINIGRID}: max_steps in gotodoor.py",
            replaced=_CHARACTERS,
            kwargs={"max_steps": 5 * size**2},
            observation_size=_OF_27_CHARACTERS,
        )
        for size in (5, 6, 8)
    ),
    Adaptation(
        r"((?:MiniGrid|BabyAI)-.+)",
        r"\1",
        "instructions are written with 27 characters",
        f"{_MINIGRID}: numCharCodes in wrappers.py",
        replaced=_CHARACTERS,
        observation_size=_OF_27_CHARACTERS,
    ),
    Adaptation(
        r"Taxi-v3",
        "Taxi-v4",
        "the same map, states and rewards; only rain and fickle passengers, which are off, were mended",
        f"{_GYMNASIUM}toy_text/taxi/#version-history",
    ),
    Adaptation(
        r"(FrozenLake(?:8x8)?|CliffWalking)-v0",
        r"\1-v1",
        "the same map, states and rewards",
        f"{_GYMNASIUM}toy_text/",
    ),
    Adaptation(
        r"Taxi-v2",
        "Taxi-v4",
        "the same states and rewards; the map is that of v2, with a wall less",
        "sources of gym 0.12.1 and gymnasium 1.4.0 compared: MAP in taxi.py",
        adapters=((f"{_ADAPTERS}TaxiWithoutWall", {}),),
    ),
    Adaptation(
        r"Blackjack-v0",
        "Blackjack-v1",
        "the same cards and observations; a natural wins no more than any other 21, as in v0",
        "sources of gym 0.18.0 and gymnasium 1.4.0 compared: step in blackjack.py",
        kwargs={"sab": False, "natural": False},
    ),
    # Atari
    Adaptation(
        r"SpaceInvaders-ramDeterministic-v([04])",
        r"SpaceInvadersNoFrameskip-v\1",
        "the same game seen as its memory, 3 frames for each action",
        _FLAVOURS,
        kwargs={"frameskip": 3, "obs_type": "ram"},
    ),
    Adaptation(
        r"SpaceInvadersDeterministic-v([04])",
        r"SpaceInvadersNoFrameskip-v\1",
        "the same game, 3 frames for each action",
        _FLAVOURS,
        kwargs={"frameskip": 3},
    ),
    Adaptation(
        r"([A-Z]\w+)-ramDeterministic-v([04])",
        r"\1NoFrameskip-v\2",
        "the same game seen as its memory, 4 frames for each action",
        _FLAVOURS,
        kwargs={"frameskip": 4, "obs_type": "ram"},
    ),
    Adaptation(
        r"([A-Z]\w+)-ram((?:NoFrameskip)?)-v([04])",
        r"\1\2-v\3",
        "the same game seen as its memory",
        _FLAVOURS,
        kwargs={"obs_type": "ram"},
    ),
    Adaptation(
        r"([A-Z]\w+)Deterministic-v([04])",
        r"\1NoFrameskip-v\2",
        "the same game, 4 frames for each action",
        "https://ale.farama.org/environments/#version-history-and-naming-schemes",
        kwargs={"frameskip": 4},
    ),
    # What nobody carried over
    Adaptation(
        r"(?:Minitaur|Kuka|Racecar|CartPole|Humanoid(?:DeepMimic))\w*Bullet\w*Env-v\d+|MinitaurBulletDuckEnv-v0",
        None,
        "it was part of pybullet_envs for gym, and pybullet_envs_gymnasium has no successor of it",
        "ids in pybullet-envs-gymnasium 0.6.0",
    ),
)


MODULES = ("gym", "gym_minigrid", "gymnasium", "highway_env", "minigrid", "panda_gym", "pybullet_envs")
"""Modules that once had to stand before an id (``pybullet_envs:AntBulletEnv-v0``), and no longer do."""


def find_adaptation(env_id: str, *, of_gym: bool = True, observation_size: int | None = None) -> Adaptation | None:
    """
    :param env_id: what an agent was trained in
    :param of_gym: whether it was trained with ``gym``
    :param observation_size: how many numbers its observations have, where that is known
    :return: what has to be adapted today, with the ids filled in, or None
    """
    for entry in ADAPTATIONS:
        found = entry.of(env_id)
        if found is None or (found.of_gym and not of_gym):
            continue
        if found.observation_size in (None, observation_size):
            return found
    return None


def today(env_id: str) -> str:
    """:return: the id that plays the agents of ``env_id`` today, which may be the same"""
    found = find_adaptation(env_id)
    return found.new if found is not None and found.new is not None else env_id
