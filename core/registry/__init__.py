"""What could run and what is installed: the catalog of connectors, and the services with their settings."""

from core.registry.catalog import Catalog, FolderFault
from core.registry.environments import REQUIREMENTS_IGNORED, Environments, ignores_requirements
from core.registry.naming import TITLE_CHARS_MAX
from core.registry.reads import Reads
from core.registry.restored import begin_anew, begin_in_new_folder, begin_owner_log, let_sync, owner_epoch
from core.registry.service import Service, does_provide, provided
from core.registry.services import Services
from core.registry.settings import validate

__all__ = [
    "REQUIREMENTS_IGNORED",
    "TITLE_CHARS_MAX",
    "Catalog",
    "Environments",
    "FolderFault",
    "Reads",
    "Service",
    "Services",
    "begin_anew",
    "begin_in_new_folder",
    "begin_owner_log",
    "does_provide",
    "ignores_requirements",
    "let_sync",
    "owner_epoch",
    "provided",
    "validate",
]
