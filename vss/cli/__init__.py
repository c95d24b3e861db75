"""The command line. ``main`` is the entry, ``commands`` the table; each command is a module of its own, imported when used."""
