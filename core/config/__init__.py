"""What the owner decided: one frozen Config, read once from locker.toml, the environment and the command line."""

from core.config.checks import environment_name, setting_names
from core.config.decisions import Config, Limits
from core.config.loading import CONFIG_BYTES_MAX, load_config

__all__ = ["CONFIG_BYTES_MAX", "Config", "Limits", "environment_name", "load_config", "setting_names"]
