"""Reports of the ``%qianfan`` subcommands as MIME bundles."""
