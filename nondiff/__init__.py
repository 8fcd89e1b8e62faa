"""Train neural networks against objectives that have no gradient.

Importing the package registers its environments with Gymnasium. It loads no learning library: each
public name is imported on first use.
"""

from nondiff.working_folder import leave_out_working_folder

leave_out_working_folder()  # before anything else is imported

from importlib.metadata import version  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from nondiff import envs as envs  # noqa: E402
from nondiff import errors as errors  # noqa: E402
from nondiff.agents import STRATEGIES  # noqa: E402
from nondiff.errors import NondiffError as NondiffError  # noqa: E402
from nondiff.lazy_names import lazy_names  # noqa: E402
from nondiff.old_names import find_moved_modules  # noqa: E402

if TYPE_CHECKING:  # the same names again, for type checkers and editors
    from nondiff.agents.api import Result as Result
    from nondiff.agents.api import train as train
    from nondiff.agents.capabilities import supported as supported
    from nondiff.agents.evolution.configs import CMAES as CMAES
    from nondiff.agents.pathwise.configs import Autodiff as Autodiff
    from nondiff.agents.pathwise.configs import FiniteDifference as FiniteDifference
    from nondiff.agents.pathwise.configs import Manual as Manual
    from nondiff.agents.pathwise.configs import Surrogate as Surrogate
    from nondiff.agents.pathwise.refinement import refine as refine
    from nondiff.agents.policies.model import save_policy as save_policy
    from nondiff.agents.policies.network import MLP as MLP
    from nondiff.agents.policies.network import NetworkPolicy as NetworkPolicy
    from nondiff.agents.presets import Preset as Preset
    from nondiff.agents.presets import find_preset as find_preset
    from nondiff.agents.sb3.algorithms.a2c import A2C as A2C
    from nondiff.agents.sb3.algorithms.crossq import CrossQ as CrossQ
    from nondiff.agents.sb3.algorithms.ddpg import DDPG as DDPG
    from nondiff.agents.sb3.algorithms.dqn import DQN as DQN
    from nondiff.agents.sb3.algorithms.ppo import PPO as PPO
    from nondiff.agents.sb3.algorithms.qrdqn import QRDQN as QRDQN
    from nondiff.agents.sb3.algorithms.sac import SAC as SAC
    from nondiff.agents.sb3.algorithms.td3 import TD3 as TD3
    from nondiff.agents.sb3.algorithms.tqc import TQC as TQC
    from nondiff.agents.sb3.algorithms.trpo import TRPO as TRPO
    from nondiff.agents.sb3.vec_envs.batched import BatchedVecEnv as BatchedVecEnv
    from nondiff.agents.strategy import Strategy as Strategy
    from nondiff.black_box import BlackBox as BlackBox
    from nondiff.black_box import BlackBoxEnv as BlackBoxEnv
    from nondiff.black_box import BlackBoxVectorEnv as BlackBoxVectorEnv
    from nondiff.black_box import FunctionBox as FunctionBox
    from nondiff.black_box import Start as Start
    from nondiff.black_box import find_black_box as find_black_box
    from nondiff.black_box.executable import Executable as Executable
    from nondiff.black_box.executable import Last as Last
    from nondiff.black_box.executable import Quantity as Quantity
    from nondiff.envs import arm as arm
    from nondiff.experiments.api import load_policy as load_policy
    from nondiff.experiments.api import resume_run as resume_run
    from nondiff.experiments.api import train_run as train_run
    from nondiff.experiments.commands.check_gradients import check_gradients as check_gradients
    from nondiff.experiments.commands.compare import CompareOptions as CompareOptions
    from nondiff.experiments.commands.compare import compare as compare
    from nondiff.experiments.commands.evaluate import EvaluateOptions as EvaluateOptions
    from nondiff.experiments.commands.evaluate import evaluate as evaluate
    from nondiff.experiments.commands.resume import ResumeOptions as ResumeOptions
    from nondiff.experiments.commands.train import TrainOptions as TrainOptions
    from nondiff.experiments.evaluation.episodes import play as play
    from nondiff.experiments.evaluation.evaluation import Evaluation as Evaluation
    from nondiff.experiments.run.folder import Run as Run
    from nondiff.gym.wrappers import PlainAction as PlainAction
    from nondiff.processes.sandbox import Limits as Limits
    from nondiff.processes.sandbox import PersistentProcess as PersistentProcess
    from nondiff.processes.vector_env import ParallelVectorEnv as ParallelVectorEnv

find_moved_modules()
__version__ = version("nondiff")

# The module of each public name. Strategies come from their own table.
_PLACES = {place.partition(":")[2]: place.partition(":")[0] for place in STRATEGIES.values()}
_PLACES |= {
    name: module
    for module, names in {
        "nondiff.agents.api": ("Result", "train"),
        "nondiff.agents.capabilities": ("supported",),
        "nondiff.agents.pathwise.refinement": ("refine",),
        "nondiff.agents.policies.model": ("save_policy",),
        "nondiff.agents.policies.network": ("MLP", "NetworkPolicy"),
        "nondiff.agents.presets": ("Preset", "find_preset"),
        "nondiff.agents.sb3.vec_envs.batched": ("BatchedVecEnv",),
        "nondiff.agents.strategy": ("Strategy",),
        "nondiff.black_box": (
            *("BlackBox", "BlackBoxEnv", "BlackBoxVectorEnv", "FunctionBox", "Start"),
            "find_black_box",
        ),
        "nondiff.black_box.executable": ("Executable", "Last", "Quantity"),
        "nondiff.envs": ("arm",),
        "nondiff.experiments.api": ("load_policy", "resume_run", "train_run"),
        "nondiff.experiments.commands.check_gradients": ("check_gradients",),
        "nondiff.experiments.commands.compare": ("CompareOptions", "compare"),
        "nondiff.experiments.commands.evaluate": ("EvaluateOptions", "evaluate"),
        "nondiff.experiments.commands.resume": ("ResumeOptions",),
        "nondiff.experiments.commands.train": ("TrainOptions",),
        "nondiff.experiments.evaluation.episodes": ("play",),
        "nondiff.experiments.evaluation.evaluation": ("Evaluation",),
        "nondiff.experiments.run.folder": ("Run",),
        "nondiff.gym.wrappers": ("PlainAction",),
        "nondiff.processes.sandbox": ("Limits", "PersistentProcess"),
        "nondiff.processes.vector_env": ("ParallelVectorEnv",),
    }.items()
    for name in names
}

__all__ = sorted([*_PLACES, "NondiffError", "envs", "errors"])

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(globals(), _PLACES)
