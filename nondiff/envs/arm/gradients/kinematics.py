"""The arm's kinematics and dynamics in torch, from the URDF that PyBullet loads."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nondiff.envs.arm.world.simulation import GRAVITY


@dataclass(frozen=True)
class LinkPoses:
    """Poses of the links of a chain: rotations (n, links, 3, 3), origins (n, links, 3) [m]."""

    rotation: Tensor
    origin: Tensor


class Chain:
    """The revolute joints of a URDF as differentiable functions of their angles (n, joints).

    Links and joints are in the order of the file, as in PyBullet. Other joints, such as fingers,
    stay at zero. Everything is float64, in the world frame.

    Args:
        urdf: path of the file.
        tip: name of the link used as the end effector.
        base: (3,) position of the root [m].
    """

    def __init__(self, urdf: Path, tip: str, base: Sequence[float]) -> None:
        joints = ElementTree.parse(urdf).getroot().findall("joint")  # noqa: S314, PyBullet's own
        links = [_attribute(joint, "child", "link") for joint in joints]
        self._tip = links.index(tip)
        parents = [_attribute(joint, "parent", "link") for joint in joints]
        self._parents = [links.index(name) if name in links else None for name in parents]
        self._revolute = [i for i, joint in enumerate(joints) if joint.get("type") == "revolute"]
        self._offset = torch.stack([_vector(joint, "origin", "xyz") for joint in joints])
        self._turn = torch.stack([_rotation(_vector(joint, "origin", "rpy")) for joint in joints])
        self._axes = torch.stack([_vector(joints[i], "axis", "xyz") for i in self._revolute])
        self._base = torch.tensor(base, dtype=torch.float64)
        self.carried = self._carried()

    def _carried(self) -> Tensor:
        """Matrix (links, joints) with 1 where a joint moves a link, else 0."""
        carried = torch.zeros(len(self._parents), len(self._revolute), dtype=torch.float64)
        for link, parent in enumerate(self._parents):
            if parent is not None:
                carried[link] = carried[parent]
            if link in self._revolute:
                carried[link, self._revolute.index(link)] = 1
        return carried

    def poses(self, angles: Tensor) -> LinkPoses:
        """Compute link poses as products of joint transforms, from the root outwards."""
        turned = self._turn[self._revolute] @ _about(self._axes, angles)
        rotations: list[Tensor] = []
        origins: list[Tensor] = []
        for link, parent in enumerate(self._parents):
            local = self._turn[link].expand(len(angles), 3, 3)
            if link in self._revolute:
                local = turned[:, self._revolute.index(link)]
            if parent is None:
                rotations.append(local)
                origins.append((self._base + self._offset[link]).expand(len(angles), 3))
            else:
                rotations.append(rotations[parent] @ local)
                origins.append(origins[parent] + rotations[parent] @ self._offset[link])
        return LinkPoses(torch.stack(rotations, 1), torch.stack(origins, 1))

    def tip_pose(self, poses: LinkPoses) -> tuple[Tensor, Tensor]:
        """Position (n, 3) [m] and rotation (n, 3, 3) of the tip."""
        return poses.origin[:, self._tip], poses.rotation[:, self._tip]

    def axes(self, poses: LinkPoses) -> Tensor:
        """Directions (n, joints, 3) of the joint axes."""
        return (poses.rotation[:, self._revolute] @ self._axes[..., None])[..., 0]

    def jacobian(self, poses: LinkPoses) -> Tensor:
        """Compute the geometric Jacobian (n, 6, joints) of the tip, linear above angular.

        Its columns are z x (tip - origin) above z (Siciliano et al. 2009, Robotics, section 3.1).
        """
        z = self.axes(poses)
        arm = poses.origin[:, self._tip, None] - poses.origin[:, self._revolute]
        carried = self.carried[self._tip, :, None]
        return torch.cat([torch.linalg.cross(z, arm) * carried, z * carried], -1).mT

    def reach(
        self, angles: Tensor, position: Tensor, rotation: Tensor, damping: float, iterations: int
    ) -> Tensor:
        """Solve inverse kinematics as PyBullet does; returns angles (n, joints) [rad].

        Damped least squares (Buss 2004, Introduction to inverse kinematics). The orientation error
        is the axis times the sine of the angle instead of the angle, which is small here.

        Args:
            angles: (n, joints) initial angles [rad].
            position: (n, 3) goal positions of the tip [m].
            rotation: (3, 3) goal rotation of the tip.
            damping: added to the diagonal of J J'.
            iterations: number of iterations.
        """
        damped = damping * torch.eye(6, dtype=torch.float64)
        for _ in range(iterations):
            poses = self.poses(angles)
            reached, turned = self.tip_pose(poses)
            jacobian = self.jacobian(poses)
            skew = rotation @ turned.mT
            turn = torch.stack([(skew - skew.mT)[:, i, j] / 2 for i, j in ((2, 1), (0, 2), (1, 0))])
            error = torch.cat([position - reached, turn.T], 1)
            step = torch.linalg.solve(jacobian @ jacobian.mT + damped, error)
            angles = angles + (jacobian.mT @ step[..., None])[..., 0]
        return angles

    def inertia(
        self, poses: LinkPoses, velocities: Tensor, masses: Tensor, moments: Tensor, centres: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mass matrices (n, joints, joints) [kg m^2], torques (n, joints) [N m] to keep velocities.

        Sums over the links of m Jv'Jv + Jw'I Jw, and of Jv'm (a - g) + Jw'(I alpha + w x I w),
        where a and alpha are a link's accelerations at constant joint velocities (Siciliano et al.
        2009, Robotics, sections 7.1 and 7.5). The joints must form an unbranched chain.

        Args:
            poses: poses of the links.
            velocities: (n, joints) [rad/s].
            masses: (links,) [kg].
            moments: (links, 3) principal moments [kg m^2], about axes parallel to the link's.
            centres: (links, 3) centres of mass [m], in the links' frames.
        """
        z = self.axes(poses)[:, None] * self.carried[..., None]  # (n, links, joints, 3)
        centre = poses.origin + (poses.rotation @ centres[..., None])[..., 0]
        linear = torch.linalg.cross(z, centre[:, :, None] - poses.origin[:, None, self._revolute])
        local = z @ poses.rotation  # the axes in each link's frame
        mass = (linear * masses[:, None, None]) @ linear.mT
        mass = mass + (local * moments[:, None]) @ local.mT

        speed = velocities[:, None, :, None]
        spin = (speed * z).cumsum(2)  # of each joint's far side
        before = spin - speed * z
        lift = torch.tensor([0.0, 0.0, -GRAVITY], dtype=z.dtype)
        moved = (speed * torch.linalg.cross(spin + before, linear)).sum(2) + lift
        turned = (speed * torch.linalg.cross(before, z)).sum(2)
        spun, turned = (_into(poses.rotation, vector) for vector in (spin[:, :, -1], turned))
        moment = moments * turned + torch.linalg.cross(spun, moments * spun)
        force = masses[:, None] * moved
        torques = linear @ force[..., None] + local @ moment[..., None]
        return mass.sum(1), torques.sum(1)[..., 0]


def _into(rotation: Tensor, vector: Tensor) -> Tensor:
    """Transform world vectors (..., 3) to the frames given by `rotation` (..., 3, 3)."""
    turned: Tensor = vector[..., None, :] @ rotation
    return turned[..., 0, :]


def _attribute(joint: ElementTree.Element, child: str, name: str) -> str:
    element = joint.find(child)
    return "" if element is None else element.get(name, "")


def _vector(joint: ElementTree.Element, child: str, name: str) -> Tensor:
    text = _attribute(joint, child, name) or "0 0 0"
    return torch.tensor([float(number) for number in text.split()], dtype=torch.float64)


def _rotation(rpy: Tensor) -> Tensor:
    """Rotation (3, 3) by roll, pitch, yaw about fixed x, y, z, as in URDF."""
    roll, pitch, yaw = _about(torch.eye(3, dtype=torch.float64), rpy[None])[0]
    turned: Tensor = yaw @ pitch @ roll
    return turned


def _about(axes: Tensor, angles: Tensor) -> Tensor:
    """Rotations (n, k, 3, 3) by angles (n, k) about unit axes (k, 3): Rodrigues' formula."""
    x, y, z = axes.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    sine, cosine = angles.sin()[..., None, None], angles.cos()[..., None, None]
    turned: Tensor = torch.eye(3, dtype=axes.dtype) + sine * cross + (1 - cosine) * (cross @ cross)
    return turned
