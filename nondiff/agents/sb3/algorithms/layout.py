"""Where the policies of Stable-Baselines3 keep their layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Names of the tensors of a policy.

    Args:
        actor: prefix of the layers that lead to an action, or to the values of all actions.
        outputs: the tensor that makes an action of the last hidden layer, by its names, of which a
            policy has one; none: the last of `actor`.
        critic: prefix of the layers that lead to the value of an observation or an action; None:
            there are none beside those of `actor`.
        critic_ends: whether the last of the critic's layers is its output.
    """

    actor: str
    outputs: tuple[str, ...] = ()
    critic: str | None = "critic.qf0."
    critic_ends: bool = True


GAUSSIAN = Layout(
    "mlp_extractor.policy_net.", ("action_net.weight",), "mlp_extractor.value_net.", False
)
SQUASHED_GAUSSIAN = Layout("actor.latent_pi.", ("actor.mu.weight", "actor.mu.0.weight"))
DETERMINISTIC = Layout("actor.mu.")
