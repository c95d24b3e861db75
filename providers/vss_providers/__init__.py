"""Built-in providers. Import what you need from its module: ``vss_providers.copy_on_write``, ``vss_providers.clone``."""
