"""SurfaceWaves: invert Rayleigh-wave dispersion curves for shear velocities of the ground."""

from nondiff.gym.family import Family
from nondiff.requirements import Need

FAMILY = Family(
    environments={
        "nondiff/SurfaceWaves-v0": ("surface_waves:surface_waves", {"layers": 10}),
        "nondiff/SurfaceWaves6-v0": ("surface_waves:surface_waves", {"layers": 6}),
    },
    needs=(Need("package", "disba", "pip install 'nondiff[surface-waves]'"),),
    vectorised=True,
)
