"""A lab: one machine with volumes, writers, providers and workloads, described by one TOML file, in memory or on disk."""

from vss.lab.configuration import LabConfiguration, configuration_schema, parse_configuration
from vss.lab.lab import Lab
from vss.lab.templates import template_names, template_text

__all__ = ["Lab", "LabConfiguration", "configuration_schema", "parse_configuration", "template_names", "template_text"]
