"""Plugins: hooks (``hookspecs``), what they register (``registry``), the hosts factories are handed (``hosts``), loading.

Authors need ``hookimpl`` and the role faces of ``vss``; see ``docs/plugins.md``.
"""

from vss.plugins.hookspecs import hookimpl
from vss.plugins.loader import API_VERSION, Candidate, PluginHost, PluginRecord, load, plugin_host
from vss.plugins.registry import Kind, Origin, Problem, Registrar, Registration, Registry, nearest_names

__all__ = [
    "API_VERSION",
    "Candidate",
    "Kind",
    "Origin",
    "PluginHost",
    "PluginRecord",
    "Problem",
    "Registrar",
    "Registration",
    "Registry",
    "hookimpl",
    "load",
    "nearest_names",
    "plugin_host",
]
