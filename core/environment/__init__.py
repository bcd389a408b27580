"""Where installed packages stand: environments made beside the one in use, whole or not at all. Needs no package."""

from core.environment.builder import Blueprint, make_environment, python_of, told_as_faults
from core.environment.installer import Installer
from core.environment.progress import Progress
from core.environment.soundness import damage_in

__all__ = ["Blueprint", "Installer", "Progress", "damage_in", "make_environment", "python_of", "told_as_faults"]
