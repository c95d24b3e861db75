"""Requestors: backup, verification and restore as programs over a machine's sessions, and the ``betest`` command.

Imports are the reader's: ``vss_requestors.backup``, ``vss_requestors.restore``, ``vss_requestors.verify`` and
``vss_requestors.repository``; nothing is imported here, so that loading the plugin stays cheap.
"""
